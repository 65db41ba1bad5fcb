//! Checks common to all routes: the sender of a request, its permissions, and the meeting it concerns.

use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http_api::{Caller, Problem, Scope, bearer};
use serde::Deserialize;
use signaling_core::message::EndReason;
use signaling_core::{Code, HostClaims, MeetingId, Refusal};

use crate::access::Principal;
use crate::keys::is_key;
use crate::meeting::{Meeting, Way};
use crate::service::Meetings;
use crate::store::StoreError;

/// Maximum size of a request's body in bytes.
pub(super) const BODY_BYTES: usize = 64 * 1024;

/// A request whose sender is known. A bearer that is neither a key with the scope of the method nor a host token is
/// refused, not ignored.
pub(super) struct Request {
    pub(super) meetings: Meetings,
    pub(super) principal: Principal,
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
}

impl FromRequestParts<Meetings> for Request {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, meetings: &Meetings) -> Result<Self, Problem> {
        let caller = Caller::of(parts);
        let scope = if parts.method.is_safe() { Scope::MeetingsRead } else { Scope::MeetingsWrite };
        let principal = principal(meetings, &parts.headers, &caller, scope).await?;
        Ok(Self { meetings: meetings.clone(), principal, caller, headers: parts.headers.clone() })
    }
}

async fn principal(
    meetings: &Meetings,
    headers: &HeaderMap,
    caller: &Caller,
    scope: Scope,
) -> Result<Principal, Refusal> {
    let Some(bearer) = bearer(headers) else {
        if headers.contains_key(AUTHORIZATION) {
            return Err(Refusal::new(Code::Unauthorized, "`Authorization` is `Bearer` and a key"));
        }
        meetings.count_reader(caller.ip)?;
        return Ok(Principal::Anonymous);
    };
    if is_key(bearer) {
        return Ok(Principal::Key(meetings.key(bearer, scope).await?));
    }
    meetings.count_reader(caller.ip)?;
    HostClaims::open(&meetings.inner.key, bearer)
        .map(Principal::Host)
        .ok_or_else(|| Refusal::new(Code::Unauthorized, "the bearer is neither an API key nor a host token"))
}

impl Request {
    /// The meeting of an id in a path, if it is the sender's; other meetings are reported as not found.
    pub(super) async fn meeting(&self, id: &str) -> Result<Meeting, Problem> {
        if matches!(self.principal, Principal::Anonymous) {
            let why = "an API key or the host token is needed as bearer";
            return Err(Refusal::new(Code::Unauthorized, why).into());
        }
        let meeting = self.meetings.inner.store.meeting(meeting_id(id)?).await?.ok_or_else(no_meeting)?;
        if self.principal.may_see(&meeting) { Ok(meeting) } else { Err(no_meeting().into()) }
    }

    /// Erases a meeting that cannot be read, if there is one and it is the sender's; returns whether it did.
    pub(super) async fn erases_broken(&self, id: &str) -> Result<bool, Problem> {
        let (Principal::Key(_), Ok(id)) = (&self.principal, id.parse::<MeetingId>()) else {
            return Ok(false);
        };
        let store = &self.meetings.inner.store;
        if !matches!(store.meeting(id).await, Err(StoreError::Broken { .. })) {
            return Ok(false);
        }
        let Some((owner, room)) = store.place_of(id).await? else { return Ok(false) };
        if !self.principal.owns(owner.as_deref()) {
            return Err(no_meeting().into());
        }
        store.erase(id).await?;
        tracing::warn!(meeting = %id, "a meeting that could not be read is deleted");
        if let (Some(rooms), Ok(room)) = (self.meetings.rooms(), room.parse()) {
            rooms.end(room, EndReason::HostEnded).await;
        }
        Ok(true)
    }
}

#[derive(Deserialize)]
struct MeetingPath {
    id: String,
}

async fn path_id(parts: &mut Parts, meetings: &Meetings) -> Result<String, Problem> {
    let path = Path::<MeetingPath>::from_request_parts(parts, meetings).await;
    // A path that is not UTF-8 names no meeting.
    Ok(path.map_err(|_| no_meeting())?.0.id)
}

/// A request about one of the sender's own meetings.
pub(super) struct MeetingRequest {
    pub(super) request: Request,
    pub(super) meeting: Meeting,
}

impl FromRequestParts<Meetings> for MeetingRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, meetings: &Meetings) -> Result<Self, Problem> {
        let request = Request::from_request_parts(parts, meetings).await?;
        let meeting = request.meeting(&path_id(parts, meetings).await?).await?;
        Ok(Self { request, meeting })
    }
}

/// A request with an invitation's id: the meeting, and the way in that the id belongs to.
pub(super) struct Invited {
    pub(super) meetings: Meetings,
    pub(super) caller: Caller,
    pub(super) meeting: Meeting,
    pub(super) way: Way,
}

impl FromRequestParts<Meetings> for Invited {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, meetings: &Meetings) -> Result<Self, Problem> {
        let caller = Caller::of(parts);
        meetings.count_reader(caller.ip)?;
        let (meeting, way) = find_invited(meetings, &path_id(parts, meetings).await?).await?;
        Ok(Self { meetings: meetings.clone(), caller, meeting, way })
    }
}

/// The meeting of an invitation's id in a path: its common invitation, or that of one invited address.
pub(super) async fn find_invited(meetings: &Meetings, id: &str) -> Result<(Meeting, Way), Problem> {
    let id = meeting_id(id)?;
    let meeting = meetings.inner.store.invited(id).await?.ok_or_else(no_meeting)?;
    let way = meeting.way_by_id(id).ok_or_else(no_meeting)?;
    Ok((meeting, way))
}

fn meeting_id(text: &str) -> Result<MeetingId, Refusal> {
    text.parse().map_err(|_| no_meeting())
}

pub(super) fn no_meeting() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such meeting")
}
