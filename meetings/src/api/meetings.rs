//! `/api/v1/meetings`.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use signaling_core::message::EndReason;
use signaling_core::{Code, MeetingId, Refusal, Repeatable, Timestamp};
use utoipa::ToSchema;

use super::access::{Principal, Want};
use super::problem::Problem;
use super::request::{Client, JsonBody, header};
use super::view::MeetingView;
use crate::keys::sha256_hex;
use crate::meeting::{self, Change, Event, Meeting, Patch, Wanted, time};
use crate::payer::Payer;
use crate::service::Meetings;
use crate::store::{Filter, Outgoing, Presences, Reply, StoreError};
use crate::webhook;

/// Meetings that an address may make at once without a key, and how soon it may make another.
const ANONYMOUS: (u32, Duration) = (200, Duration::from_secs(2));

/// `POST /api/v1/meetings`
pub(super) async fn create(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    match &principal {
        Principal::Key(_) => {}
        Principal::Host(_) => {
            return Err(Refusal::new(Code::Forbidden, "a host token makes no other meetings").into());
        }
        Principal::Anonymous if !meetings.inner.anonymous => {
            return Err(Refusal::new(Code::Unauthorized, "an API key is needed to make meetings").into());
        }
        Principal::Anonymous => {
            if let Some(ip) = client.ip {
                meetings.count(Payer::Maker(ip), ANONYMOUS.0, ANONYMOUS.1)?;
            }
        }
    }
    let (wanted, body) = body.read::<Wanted>().await?;
    let now = meetings.now();
    let draft = wanted.check(now)?;
    if !draft.attendees.is_empty() && principal.owner().is_none() {
        return Err(Refusal::new(Code::Forbidden, "an API key is needed to invite people by mail").into());
    }
    let origin = meetings.lasting_origin(&client, &headers, &principal)?;
    let request = header(&headers, "idempotency-key")?.map(|key| Repeatable {
        owner: principal
            .owner()
            .unwrap_or_else(|| format!("@{}", client.ip.map_or_else(String::new, |ip| ip.to_string()))),
        key: key.to_owned(),
        digest: sha256_hex(&body),
    });
    let store = &meetings.inner.store;
    if let Some(request) = &request
        && let Some(reply) = store.patiently(store.replied(request)).await?
    {
        return Ok(created(&reply));
    }
    let mut meeting = meetings
        .with_entropy(|entropy| Meeting::new(&draft, principal.owner(), &meetings.inner.key, now, entropy));
    let secret = meetings.point_webhook(&mut meeting, draft.webhook_secret.as_deref()).await?;
    let view = MeetingView::new(&meeting, &origin, now, Some(&meetings.inner.key)).with_secret(secret);
    let body = serde_json::to_string(&view).map_err(StoreError::from)?;
    let reply = Reply { body, etag: etag(&meeting, now, true) };
    let messages =
        meetings.with_entropy(|entropy| webhook::messages(&meeting, &[Event::Created], now, entropy));
    let letters = meetings.letters(None, &meeting, &origin)?;
    let outgoing = Outgoing { messages, letters, presences: Presences::default() };
    let former = store.patiently(store.create(&meeting, &outgoing, request.as_ref(), &reply)).await?;
    meetings.told();
    Ok(created(&former.unwrap_or(reply)))
}

fn created(reply: &Reply) -> Response {
    #[derive(Deserialize)]
    struct Place {
        meeting: String,
    }
    let place =
        serde_json::from_str::<Place>(&reply.body).map(|place| format!("/api/v1/meetings/{}", place.meeting));
    (
        StatusCode::CREATED,
        [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
            (ETAG, &*reply.etag),
            (LOCATION, &*place.unwrap_or_default()),
        ],
        reply.body.clone(),
    )
        .into_response()
}

/// The version of a meeting as somebody sees it. It is another one where the clock has changed what is seen since the last
/// change, and for who is not shown everything.
fn etag(meeting: &Meeting, now: Timestamp, is_organiser: bool) -> String {
    let state = meeting.state(now);
    let state = if state == meeting.state(meeting.updated_at) { "" } else { state.suffix() };
    let reader = if is_organiser { "" } else { "-r" };
    format!("\"{}{state}{reader}\"", meeting.version)
}

/// The tags of a list, without their quotes. Something on the way that compresses has made them weak: what they say is the same.
fn tags(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let tags = value.to_str().unwrap_or_default().split(',');
    tags.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
}

/// Whether a request may change this version of a meeting.
fn may_change(headers: &HeaderMap, meeting: &Meeting) -> Result<(), StoreError> {
    let own = meeting.version.to_string();
    let is_own = |tag: &str| tag == "*" || tag.split('-').next() == Some(&own);
    match headers.get(IF_MATCH) {
        Some(wanted) if !tags(wanted).any(is_own) => Err(StoreError::Stale),
        _ => Ok(()),
    }
}

/// Whether a reader has this version already (RFC 9110 section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let own = etag.trim_matches('"');
    headers.get_all(IF_NONE_MATCH).iter().flat_map(tags).any(|tag| tag == "*" || tag == own)
}

impl Meetings {
    fn shown(&self, principal: &Principal, client: &Client, meeting: &Meeting) -> MeetingView {
        let host = principal.is_organiser().then_some(&self.inner.key);
        MeetingView::new(&self.present(meeting.clone()), &self.origin(client), self.now(), host)
    }

    fn answer(&self, principal: &Principal, client: &Client, meeting: &Meeting) -> Response {
        let view = self.shown(principal, client, meeting);
        let etag = etag(meeting, self.now(), principal.is_organiser());
        ([(CACHE_CONTROL, "no-store"), (ETAG, &*etag)], Json(view)).into_response()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageWanted {
    after: Option<String>,
    limit: Option<u32>,
    state: Option<meeting::State>,
    from: Option<String>,
    to: Option<String>,
}

/// Meetings, in the order of their making.
#[derive(Serialize, ToSchema)]
#[schema(as = MeetingPage)]
pub(super) struct PageView {
    meetings: Vec<MeetingView>,
    /// Ids of meetings of this page that cannot be read, if there are any: all that can be done with them is to delete them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    broken: Vec<String>,
    /// `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next: Option<String>,
}

/// `GET /api/v1/meetings`
pub(super) async fn list(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    wanted: Result<Query<PageWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Read).await?;
    if !matches!(principal, Principal::Key(_)) {
        return Err(Refusal::new(Code::Unauthorized, "an API key is needed to list meetings").into());
    }
    let Query(wanted) = wanted.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::bad_request("`limit` is from 1 to 100").into());
    }
    let after = wanted.after.map(|after| after.parse::<MeetingId>()).transpose();
    let after = after.map_err(|_| Refusal::bad_request("`after` is the `next` of a page"))?;
    let instant = |name, text: Option<String>| text.map(|text| time(name, &text)).transpose();
    let filter = Filter {
        owner: if principal.sees_all() { None } else { principal.owner() },
        state: wanted.state,
        from: instant("from", wanted.from)?,
        to: instant("to", wanted.to)?,
    };
    let store = &meetings.inner.store;
    let page = store.patiently(store.page(&filter, meetings.now(), after, limit)).await?;
    let view = PageView {
        meetings: page.meetings.iter().map(|meeting| meetings.shown(&principal, &client, meeting)).collect(),
        broken: page.broken,
        next: page.next.map(|next| next.to_string()),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// `GET /api/v1/meetings/{id}`
pub(super) async fn show(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Read).await?;
    let meeting = principal.meeting(&meetings, &id).await?;
    let etag = etag(&meeting, meetings.now(), principal.is_organiser());
    if is_known(&headers, &etag) {
        let head = [(CACHE_CONTROL, "no-store"), (ETAG, &*etag)];
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    Ok(meetings.answer(&principal, &client, &meeting))
}

/// `PATCH /api/v1/meetings/{id}`
pub(super) async fn change(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    let known = principal.meeting(&meetings, &id).await?;
    if !headers.contains_key(IF_MATCH) {
        let detail = "`If-Match` with the version that is to be changed is missing";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    }
    let (change, _) = body.read::<Change>().await?;
    if change.invites() && principal.owner().is_none() {
        return Err(Refusal::new(Code::Forbidden, "an API key is needed to invite people by mail").into());
    }
    let mut pointed = known.clone();
    if change.webhook_url != Patch::Keep {
        pointed.webhook_url = match &change.webhook_url {
            Patch::Set(url) => Some(url.clone()),
            Patch::Keep | Patch::Clear => None,
        };
        meetings.point_webhook(&mut pointed, None).await?;
    }
    let key = meetings.inner.key.clone();
    let origin = meetings.origin(&client);
    let changed = meetings
        .update_and_invite(known.id, &origin, |meeting, now| {
            may_change(&headers, meeting)?;
            let before = (meeting.webhook.clone(), meeting.webhook_url.clone());
            if change.webhook_url != Patch::Keep {
                (meeting.webhook, meeting.webhook_url) = (pointed.webhook, pointed.webhook_url);
            }
            let is_pointed = before != (meeting.webhook.clone(), meeting.webhook_url.clone());
            let mut events = meeting.change(&change, &key, now)?;
            if events.is_empty() && is_pointed {
                events.push(Event::Changed);
            }
            Ok(((), events))
        })
        .await?;
    let (meeting, ()) = changed.ok_or_else(Problem::not_found)?;
    if let (Some(rooms), Ok(record)) = (meetings.rooms(), meeting.room_record()) {
        rooms.arrange(record).await;
    }
    Ok(meetings.answer(&principal, &client, &meeting))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseWanted {
    #[serde(default)]
    erase: bool,
}

/// `DELETE /api/v1/meetings/{id}`: calls it off; with `?erase=true` nothing is left of it either.
pub(super) async fn cancel(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
    wanted: Result<Query<EraseWanted>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    if principal.removes_broken(&meetings, &id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let known = principal.meeting(&meetings, &id).await?;
    let Query(EraseWanted { erase }) = wanted.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let origin = meetings.origin(&client);
    meetings.catch_up().await;
    let cancelled = meetings
        .update_and_invite(known.id, &origin, |meeting, _| {
            may_change(&headers, meeting)?;
            if meeting.is_over() && !erase {
                let why = "the meeting is over already; `?erase=true` erases what is kept of it";
                return Err(Refusal::new(Code::InvalidState, why).into());
            }
            Ok(((), meeting.cancel()))
        })
        .await?;
    cancelled.ok_or_else(Problem::not_found)?;
    if let Some(rooms) = meetings.rooms() {
        rooms.end(known.room, EndReason::HostEnded).await;
    }
    if erase {
        let store = &meetings.inner.store;
        store.patiently(store.erase(known.id)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/meetings/{id}/end`
pub(super) async fn end(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    let known = principal.meeting(&meetings, &id).await?;
    meetings.catch_up().await;
    let ended =
        meetings.update(known.id, |meeting, now| Ok(((), meeting.end(EndReason::HostEnded, now)?))).await?;
    let (meeting, ()) = ended.ok_or_else(Problem::not_found)?;
    if let Some(rooms) = meetings.rooms() {
        rooms.end(known.room, EndReason::HostEnded).await;
    }
    Ok(meetings.answer(&principal, &client, &meeting))
}
