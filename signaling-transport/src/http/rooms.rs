//! `/api/v1/rooms`: rooms, for pages and for other programs.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use http_api::{Caller, JsonBody, Problem, Repeatable, Scope, bearer, idempotency_key, no_store};
use serde::{Deserialize, Serialize};
use signaling_core::message::{Topology, TopologyChoice};
use signaling_core::{
    Code, EndReason, HostClaims, PeerStatistics, Person, Refusal, RoomId, RoomSummary, sha256_hex,
};

use super::media::{ask, media_of};
use super::room_path::{RoomPath, room_id};
use crate::service::Signaling;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    topology: TopologyChoice,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    room: RoomId,
    url: String,
    host_url: String,
    host_token: String,
}

/// `POST /api/v1/rooms`: makes a room with an unguessable id.
pub(super) async fn make(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    signaling.pass_gate(&caller)?;
    let bearer = bearer(&headers);
    let key = bearer.filter(|bearer| signaling.is_api_key(bearer));
    match key {
        Some(key) => signaling.check_key(Some(key), Scope::Rooms).await?,
        None => signaling.may_make_room(bearer)?,
    }
    let (wanted, body): (Wanted, _) = body.object_or_default(signaling.limits().message_bytes).await?;
    let link = signaling.origins().link(&caller, key.is_some(), "/r/")?;
    let repeatable = repeatable(&caller, &headers, bearer, &body)?;
    if let Some(repeatable) = &repeatable
        && let Some(former) = signaling.replies().former(repeatable).await?
    {
        return Ok(made(former));
    }
    let room = signaling.hub().make_room(wanted.topology).await?;
    let url = format!("{link}{}", room.room);
    let host_url = format!("{url}#host={}", room.host_token);
    let answer = Made { room: room.room.clone(), url, host_url, host_token: room.host_token };
    let answer = serde_json::to_string(&answer)
        .map_err(|_| Refusal::new(Code::Internal, "the room cannot be described"))?;
    if let Some(repeatable) = &repeatable
        && let Some(former) = signaling.replies().keep(repeatable, &answer).await?
    {
        // The same request came twice at the same time, so this room is superfluous.
        signaling.hub().end_room(room.room, EndReason::HostEnded).await?;
        return Ok(made(former));
    }
    Ok(made(answer))
}

fn made(answer: String) -> Response {
    #[derive(Deserialize)]
    struct Place {
        room: String,
    }
    let place = serde_json::from_str::<Place>(&answer).map(|place| format!("/api/v1/rooms/{}", place.room));
    let head = [(LOCATION, place.unwrap_or_default()), (CONTENT_TYPE, "application/json".into())];
    no_store((StatusCode::CREATED, head, answer))
}

/// The request's idempotency key and digest, if it has a key.
fn repeatable(
    caller: &Caller,
    headers: &HeaderMap,
    bearer: Option<&str>,
    body: &[u8],
) -> Result<Option<Repeatable>, Refusal> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    let who = bearer.map_or_else(|| caller.ip.map(|ip| ip.to_string()).unwrap_or_default(), str::to_owned);
    let owner = format!("rooms {}", sha256_hex(who.as_bytes()));
    Ok(Some(Repeatable { owner, key: key.to_owned(), digest: sha256_hex(body) }))
}

#[derive(Serialize)]
struct Shown {
    room: RoomId,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    more: Option<More>,
}

#[derive(Serialize)]
struct More {
    name: String,
    topology: Topology,
    epoch: u64,
    locked: bool,
    lobby: bool,
    password: bool,
    peers: usize,
    viewers: usize,
}

impl From<RoomSummary> for More {
    fn from(summary: RoomSummary) -> Self {
        Self {
            name: summary.room.name,
            topology: summary.room.topology,
            epoch: summary.room.epoch,
            locked: summary.room.locked,
            lobby: summary.room.lobby,
            password: summary.room.password,
            peers: summary.peers,
            viewers: summary.viewers,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageWanted {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page {
    rooms: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RoomId>,
}

/// `GET /api/v1/rooms`: the present rooms in the order of their ids, for a key with the scope `rooms`.
pub(super) async fn list(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    wanted: Result<Query<PageWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    signaling.check_key(bearer(&headers), Scope::Rooms).await?;
    let Query(wanted) = wanted.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::bad_request("`limit` is from 1 to 100").into());
    }
    let after = wanted.after.as_deref().map(room_id).transpose()?;
    let mut found = signaling.hub().rooms_after(after.as_ref(), limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| last.room.id.clone());
    let rooms = found
        .into_iter()
        .map(|summary| Shown { room: summary.room.id.clone(), more: Some(summary.into()) })
        .collect();
    Ok(no_store(Json(Page { rooms, next })))
}

/// `GET /api/v1/rooms/{room}`: the same answer for every name, unless the caller may know more.
pub(super) async fn show(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
) -> Result<Response, Problem> {
    let Some(bearer) = bearer(&headers) else {
        return Ok(shown(Shown { room: path.id, more: None }));
    };
    let room = path.room(&signaling, &caller).await?;
    let claims = HostClaims::open(signaling.key(), bearer).filter(|claims| claims.room == room);
    let has_key = signaling.is_api_key(bearer);
    if has_key {
        signaling.check_room_key(bearer, &room, Scope::MeetingsRead).await?;
    }
    let mut more = None;
    if has_key || claims.is_some() || signaling.is_join_token(&room, bearer).await {
        let summary = signaling.hub().summary(room.clone()).await?;
        // A host token of an earlier room of that name gives no right to this one.
        let is_current = |life| claims.as_ref().is_none_or(|claims| claims.life == life);
        more = summary.filter(|summary| is_current(summary.life)).map(More::from);
    }
    Ok(shown(Shown { room, more }))
}

/// A room with everything that its host sees of it.
pub(super) fn described(summary: RoomSummary) -> Response {
    shown(Shown { room: summary.room.id.clone(), more: Some(summary.into()) })
}

fn shown(shown: Shown) -> Response {
    no_store(Json(shown))
}

pub(super) fn no_bearer() -> Refusal {
    Refusal::new(Code::Unauthorized, "an API key or the room's host token is needed as bearer")
}

pub(super) fn no_room() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such room at present")
}

/// Requires a key for all rooms or for the meeting in this one, or the host token of this life of the room.
pub(super) async fn check_power(
    signaling: &Signaling,
    headers: &HeaderMap,
    room: &RoomId,
    own: Scope,
) -> Result<(), Refusal> {
    let bearer = bearer(headers).ok_or_else(no_bearer)?;
    if signaling.is_api_key(bearer) {
        return signaling.check_room_key(bearer, room, own).await;
    }
    let claims = HostClaims::open(signaling.key(), bearer).ok_or_else(no_bearer)?;
    let life = signaling.hub().summary(room.clone()).await?.map(|summary| summary.life);
    if claims.room == *room && life.is_none_or(|life| life == claims.life) {
        return Ok(());
    }
    Err(Refusal::new(Code::Forbidden, "the token is one of another room"))
}

#[derive(Serialize)]
struct Participants {
    participants: Vec<Person>,
}

#[derive(Serialize)]
struct Peers {
    peers: Vec<Person>,
}

async fn people(
    signaling: &Signaling,
    caller: &Caller,
    headers: &HeaderMap,
    path: &RoomPath,
) -> Result<Vec<Person>, Problem> {
    // A caller without credentials must not learn about codes either.
    bearer(headers).ok_or_else(|| Refusal::new(Code::Unauthorized, "an API key is needed as bearer"))?;
    let room = path.room(signaling, caller).await?;
    check_power(signaling, headers, &room, Scope::MeetingsRead).await?;
    Ok(signaling.hub().people(room).await?.ok_or_else(no_room)?)
}

/// `GET /api/v1/rooms/{room}/participants`: the peers in the room.
pub(super) async fn participants(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
) -> Result<Response, Problem> {
    let participants = people(&signaling, &caller, &headers, &path).await?;
    Ok(no_store(Json(Participants { participants })))
}

/// `GET /api/v1/rooms/{room}/peers`: the same, under the name in the wire protocol.
pub(super) async fn peers(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
) -> Result<Response, Problem> {
    let peers = people(&signaling, &caller, &headers, &path).await?;
    Ok(no_store(Json(Peers { peers })))
}

#[derive(Serialize)]
struct Statistics {
    peers: Vec<PeerStatistics>,
}

/// `GET /api/v1/rooms/{room}/stats`: what the media server measures of the peers in the room.
pub(super) async fn statistics(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
) -> Result<Response, Problem> {
    bearer(&headers).ok_or_else(no_bearer)?;
    let room = path.room(&signaling, &caller).await?;
    check_power(&signaling, &headers, &room, Scope::MeetingsRead).await?;
    let people = signaling.hub().people(room.clone()).await?.ok_or_else(no_room)?;
    let mut measured = match media_of(&signaling) {
        Ok(media) => ask(|reply| media.statistics(room, reply)).await?,
        // All media is between the peers.
        Err(_) => Vec::new(),
    };
    let unmeasured =
        people.into_iter().filter(|person| !measured.iter().any(|peer| peer.peer == person.view.id));
    let unmeasured: Vec<_> = unmeasured.map(|person| PeerStatistics::new(person.view.id)).collect();
    measured.extend(unmeasured);
    Ok(no_store(Json(Statistics { peers: measured })))
}

/// `POST /api/v1/rooms/{room}/end`: ends the room for every peer.
pub(super) async fn end(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
) -> Result<StatusCode, Problem> {
    bearer(&headers).ok_or_else(|| Refusal::new(Code::Unauthorized, "an API key is needed as bearer"))?;
    let room = path.room(&signaling, &caller).await?;
    check_power(&signaling, &headers, &room, Scope::MeetingsWrite).await?;
    if signaling.hub().end_room(room, EndReason::HostEnded).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_room().into())
    }
}
