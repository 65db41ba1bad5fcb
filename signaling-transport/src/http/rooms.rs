//! `/api/v1/rooms`.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use signaling_core::message::{Name, PeerView, Role, Topology, TopologyChoice};
use signaling_core::{
    Code, EndReason, HostClaims, MalformedRoomName, Refusal, RoomId, RoomSummary, Scope, WallClock as _,
};

use super::Problem;
use super::credentials::bearer;
use super::problem::{JsonBody, check_json, object};
use crate::caller::Caller;
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
    host_token: String,
}

/// `POST /api/v1/rooms`: a room with a name that nobody guesses.
pub(super) async fn make(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted: Wanted = if body.is_empty() {
        Wanted::default()
    } else {
        if headers.contains_key(CONTENT_TYPE) {
            check_json(&headers)?;
        }
        object(&body)?
    };
    signaling.pass_gate(&caller)?;
    match bearer(&headers) {
        Some(key) if signaling.is_api_key(key) => signaling.check_key(Some(key), Scope::Rooms).await?,
        other => signaling.may_make_room(other)?,
    }
    let made = signaling.hub().make_room(wanted.topology).await?;
    let url = signaling.url(&caller, &format!("/r/{}", made.room));
    let location = format!("/api/v1/rooms/{}", made.room);
    let made = Made { room: made.room, url, host_token: made.host_token };
    Ok((StatusCode::CREATED, [(LOCATION, location), (CACHE_CONTROL, "no-store".into())], Json(made))
        .into_response())
}

fn room_id(text: &str) -> Result<RoomId, Refusal> {
    RoomId::of(text).map_err(|malformed| Refusal::bad_request(malformed.to_string()))
}

/// The room that a path names, by its name or its id.
pub(super) struct RoomPath(RoomId);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(room) = path.map_err(|_| Refusal::bad_request(MalformedRoomName.to_string()))?;
        Ok(Self(room_id(&room)?))
    }
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
            peers: summary.peers,
            viewers: summary.viewers,
        }
    }
}

#[derive(Deserialize)]
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

/// `GET /api/v1/rooms`: those there are at present in the order of their names, for a key with the scope `rooms`.
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
    Ok(([(CACHE_CONTROL, "no-store")], Json(Page { rooms, next })).into_response())
}

/// `GET /api/v1/rooms/{room}`: without a right to know more, the same for every name.
pub(super) async fn show(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    RoomPath(room): RoomPath,
) -> Result<Response, Problem> {
    let bearer = bearer(&headers);
    let claims = bearer.and_then(|token| HostClaims::open(signaling.key(), token));
    let claims = claims.filter(|claims| claims.room == room);
    let mut more = None;
    let mut has_key = false;
    if bearer.is_some_and(|token| signaling.is_api_key(token)) {
        signaling.check_key(bearer, Scope::Rooms).await?;
        has_key = true;
    }
    if has_key || claims.is_some() || bearer.is_some_and(|token| signaling.is_join_token(&room, token)) {
        let summary = signaling.hub().summary(room.clone()).await?;
        // A host token of an earlier room of that name says nothing of this one.
        let is_current = |life| claims.as_ref().is_none_or(|claims| claims.life == life);
        more = summary.filter(|summary| is_current(summary.life)).map(More::from);
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(Shown { room, more })).into_response())
}

fn no_room() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such room at present")
}

#[derive(Serialize)]
struct Participants {
    participants: Vec<PeerView>,
}

/// `GET /api/v1/rooms/{room}/participants`: who is in, for a key with the scope `rooms`.
pub(super) async fn participants(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    RoomPath(room): RoomPath,
) -> Result<Response, Problem> {
    signaling.check_key(bearer(&headers), Scope::Rooms).await?;
    let participants = signaling.hub().people(room).await?.ok_or_else(no_room)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(Participants { participants })).into_response())
}

/// `POST /api/v1/rooms/{room}/end`: everybody is told, and sent out.
pub(super) async fn end(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    RoomPath(room): RoomPath,
) -> Result<StatusCode, Problem> {
    signaling.check_key(bearer(&headers), Scope::Rooms).await?;
    if signaling.hub().end_room(room, EndReason::HostEnded).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_room().into())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenWanted {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    host: bool,
    #[serde(default = "an_hour", deserialize_with = "whole")]
    ttl_seconds: u32,
}

fn an_hour() -> u32 {
    3_600
}

/// A number without a fraction; 60.0 is one as well (JSON Schema's idea of an integer).
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?.to_string();
    let wrong = || serde::de::Error::custom(format!("{number} is no number from 0 to {}", u32::MAX));
    number.strip_suffix(".0").unwrap_or(&number).parse().map_err(|_| wrong())
}

/// Seconds that a token may live at most.
const LONGEST_TOKEN: u32 = 30 * 24 * 3_600;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    token: String,
    expires_at: signaling_core::Timestamp,
}

/// `POST /api/v1/rooms/{room}/tokens`: a join token for the room.
pub(super) async fn mint(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    RoomPath(room): RoomPath,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    signaling.check_key(bearer(&headers), Scope::Rooms).await?;
    let wanted: TokenWanted = object(&body)?;
    let name = wanted.name.as_deref().map(Name::parse).transpose()?;
    if !(1..=LONGEST_TOKEN).contains(&wanted.ttl_seconds) {
        return Err(Refusal::bad_request(format!("`ttlSeconds` is from 1 to {LONGEST_TOKEN}")).into());
    }
    let minter = signaling.minter();
    let minter =
        minter.ok_or_else(|| Refusal::new(Code::InvalidState, "this server makes no join tokens"))?;
    let now = signaling.hub().clock().now();
    let expires_at = now + Duration::from_secs(wanted.ttl_seconds.into());
    let token = minter.mint(&room, name.as_ref().map(Name::as_str), wanted.role, wanted.host, expires_at);
    let answer = Json(Minted { token, expires_at });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], answer).into_response())
}
