//! `/api/v1/meetings`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_api::{JsonBody, Problem, Repeatable, idempotency_key, no_store};
use serde::{Deserialize, Serialize};
use signaling_core::message::EndReason;
use signaling_core::{Code, MeetingId, Refusal, Timestamp, sha256_hex};
use utoipa::ToSchema;

use super::request::{BODY_BYTES, MeetingRequest, Request, no_meeting};
use super::view::MeetingView;
use crate::access::Principal;
use crate::meeting::{self, Change, Event, Meeting, Patch, Wanted, time};
use crate::store::{Filter, Outgoing, Presences, Reply, StoreError};
use crate::webhook;

/// `POST /api/v1/meetings`
pub(super) async fn create(request: Request, body: JsonBody) -> Result<Response, Problem> {
    let Request { meetings, principal, caller, headers } = &request;
    may_create(&request)?;
    let (wanted, body) = body.object::<Wanted>(BODY_BYTES).await?;
    let now = meetings.now();
    let draft = wanted.check(now)?;
    if !draft.attendees.is_empty() {
        may_invite(principal)?;
    }
    let origin = meetings.lasting_origin(caller, principal)?;
    let repeatable = idempotency_key(headers)?.map(|key| Repeatable {
        owner: principal
            .owner()
            .unwrap_or_else(|| format!("@{}", caller.ip.map_or_else(String::new, |ip| ip.to_string()))),
        key: key.to_owned(),
        digest: sha256_hex(&body),
    });
    let store = &meetings.inner.store;
    if let Some(repeatable) = &repeatable
        && let Some(reply) = store.replied(repeatable).await?
    {
        return Ok(created(&reply));
    }
    let mut meeting = meetings
        .with_entropy(|entropy| Meeting::new(&draft, principal.owner(), &meetings.inner.key, now, entropy));
    let secret = meetings.point_webhook(&mut meeting, draft.webhook_secret.as_deref()).await?;
    let view = MeetingView::new(&meeting, &origin, now, Some(&meetings.inner.key)).with_secret(secret);
    let body = serde_json::to_string(&view).map_err(StoreError::from)?;
    let reply = Reply { body, etag: etag(&meeting, now, true) };
    let server = meetings.server_endpoint().await?;
    let messages =
        meetings.with_entropy(|entropy| webhook::messages(&meeting, &[Event::Created], now, server, entropy));
    let letters = meetings.letters(None, &meeting, &origin)?;
    let outgoing = Outgoing { messages, letters, presences: Presences::default() };
    let former = store.create(&meeting, &outgoing, repeatable.as_ref(), &reply).await?;
    meetings.wake_outboxes();
    Ok(created(&former.unwrap_or(reply)))
}

/// Succeeds if the sender may create meetings and has not exceeded the limit.
fn may_create(request: &Request) -> Result<(), Refusal> {
    match &request.principal {
        Principal::Key(_) => Ok(()),
        Principal::Host(_) => Err(Refusal::new(Code::Forbidden, "a host token makes no other meetings")),
        Principal::Anonymous if !request.meetings.inner.anonymous => {
            Err(Refusal::new(Code::Unauthorized, "an API key is needed to make meetings"))
        }
        Principal::Anonymous => request.meetings.count_maker(request.caller.ip),
    }
}

/// Mail is sent only for applications with a key.
fn may_invite(principal: &Principal) -> Result<(), Refusal> {
    match principal {
        Principal::Key(_) => Ok(()),
        _ => Err(Refusal::new(Code::Forbidden, "an API key is needed to invite people by mail")),
    }
}

fn created(reply: &Reply) -> Response {
    #[derive(Deserialize)]
    struct Place {
        meeting: String,
    }
    let place =
        serde_json::from_str::<Place>(&reply.body).map(|place| format!("/api/v1/meetings/{}", place.meeting));
    let head =
        [(CONTENT_TYPE, "application/json"), (ETAG, &*reply.etag), (LOCATION, &*place.unwrap_or_default())];
    no_store((StatusCode::CREATED, head, reply.body.clone()))
}

/// The version of a meeting as the requester sees it. It differs if the clock has changed the visible state since the
/// last change, and for requesters who see only part of the meeting.
fn etag(meeting: &Meeting, now: Timestamp, is_organiser: bool) -> String {
    let state = meeting.state(now);
    let state = if state == meeting.state(meeting.updated_at) { "" } else { state.suffix() };
    let reader = if is_organiser { "" } else { "-r" };
    format!("\"{}{state}{reader}\"", meeting.version)
}

/// The tags of a list, without their quotes. A compressing proxy may have weakened them; they are compared all the
/// same.
fn tags(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let tags = value.to_str().unwrap_or_default().split(',');
    tags.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
}

/// Whether the request's precondition allows it to change this version of a meeting.
fn may_change(headers: &HeaderMap, meeting: &Meeting) -> Result<(), StoreError> {
    let own = meeting.version.to_string();
    let is_own = |tag: &str| tag == "*" || tag.split('-').next() == Some(&own);
    match headers.get(IF_MATCH) {
        Some(wanted) if !tags(wanted).any(is_own) => Err(StoreError::Stale),
        _ => Ok(()),
    }
}

/// Whether the client already has this version (RFC 9110 section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let own = etag.trim_matches('"');
    headers.get_all(IF_NONE_MATCH).iter().flat_map(tags).any(|tag| tag == "*" || tag == own)
}

impl Request {
    fn view(&self, meeting: &Meeting) -> MeetingView {
        let meetings = &self.meetings;
        let host = self.principal.is_organiser().then_some(&meetings.inner.key);
        MeetingView::new(
            &meetings.present(meeting.clone()),
            &meetings.origin(&self.caller),
            meetings.now(),
            host,
        )
    }

    fn etag(&self, meeting: &Meeting) -> String {
        etag(meeting, self.meetings.now(), self.principal.is_organiser())
    }

    fn answer(&self, meeting: &Meeting) -> Response {
        no_store(([(ETAG, self.etag(meeting))], Json(self.view(meeting))))
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
    request: Request,
    wanted: Result<Query<PageWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Request { meetings, principal, .. } = &request;
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
    let page = meetings.inner.store.page(&filter, meetings.now(), after, limit).await?;
    let view = PageView {
        meetings: page.meetings.iter().map(|meeting| request.view(meeting)).collect(),
        broken: page.broken,
        next: page.next.map(|next| next.to_string()),
    };
    Ok(no_store(Json(view)))
}

/// `GET /api/v1/meetings/{id}`
pub(super) async fn show(MeetingRequest { request, meeting }: MeetingRequest) -> Response {
    let etag = request.etag(&meeting);
    if is_known(&request.headers, &etag) {
        return no_store((StatusCode::NOT_MODIFIED, [(ETAG, etag)]));
    }
    request.answer(&meeting)
}

/// `PATCH /api/v1/meetings/{id}`
pub(super) async fn change(
    MeetingRequest { request, meeting: known }: MeetingRequest,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Request { meetings, principal, caller, headers } = &request;
    if !headers.contains_key(IF_MATCH) {
        let missing = Refusal::bad_request("`If-Match` with the version that is to be changed is missing");
        return Err(Problem::with_status(StatusCode::PRECONDITION_REQUIRED, missing));
    }
    let (change, _) = body.object::<Change>(BODY_BYTES).await?;
    if change.invites() {
        may_invite(principal)?;
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
    let changed = meetings
        .update_and_invite(known.id, &meetings.origin(caller), |meeting, now| {
            may_change(headers, meeting)?;
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
    let (meeting, ()) = changed.ok_or_else(no_meeting)?;
    if let (Some(rooms), Ok(record)) = (meetings.rooms(), meeting.room_record()) {
        rooms.arrange(record).await;
    }
    Ok(request.answer(&meeting))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseWanted {
    #[serde(default)]
    erase: bool,
}

/// `DELETE /api/v1/meetings/{id}`: cancels the meeting; `?erase=true` also erases all its data.
pub(super) async fn cancel(
    request: Request,
    Path(id): Path<String>,
    wanted: Result<Query<EraseWanted>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    if request.erases_broken(&id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let known = request.meeting(&id).await?;
    let Query(EraseWanted { erase }) = wanted.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let meetings = &request.meetings;
    meetings.catch_up().await;
    let cancelled = meetings
        .update_and_invite(known.id, &meetings.origin(&request.caller), |meeting, _| {
            may_change(&request.headers, meeting)?;
            if meeting.is_over() && !erase {
                let why = "the meeting is over already; `?erase=true` erases what is kept of it";
                return Err(Refusal::new(Code::InvalidState, why).into());
            }
            Ok(((), meeting.cancel()))
        })
        .await?;
    cancelled.ok_or_else(no_meeting)?;
    if let Some(rooms) = meetings.rooms() {
        rooms.end(known.room, EndReason::HostEnded).await;
    }
    if erase {
        meetings.inner.store.erase(known.id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/meetings/{id}/end`
pub(super) async fn end(
    MeetingRequest { request, meeting: known }: MeetingRequest,
) -> Result<Response, Problem> {
    let meetings = &request.meetings;
    meetings.catch_up().await;
    let ended =
        meetings.update(known.id, |meeting, now| Ok(((), meeting.end(EndReason::HostEnded, now)?))).await?;
    let (meeting, ()) = ended.ok_or_else(no_meeting)?;
    if let Some(rooms) = meetings.rooms() {
        rooms.end(known.room, EndReason::HostEnded).await;
    }
    Ok(request.answer(&meeting))
}
