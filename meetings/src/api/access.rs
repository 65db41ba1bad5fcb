//! Who asks, and for what.

use std::time::Duration;

use http::HeaderMap;
use signaling_core::message::EndReason;
use signaling_core::{Code, HostClaims, MeetingId, Refusal, Scope};

use super::problem::Problem;
use super::request::{Client, bearer};
use crate::keys::is_key;
use crate::meeting::{Meeting, Way};
use crate::payer::Payer;
use crate::service::Meetings;
use crate::store::{KeyRecord, StoreError};

/// Whoever sent a request, as far as it shows.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// An application with a key.
    Key(KeyRecord),
    /// Somebody with the host token of a room.
    Host(HostClaims),
    /// Somebody.
    Anonymous,
}

/// What of a meeting is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
}

impl Want {
    fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::MeetingsRead,
            Self::Write => Scope::MeetingsWrite,
        }
    }
}

impl Principal {
    /// Reads the bearer. One that is neither a key with the scope nor a host token is refused, not ignored.
    pub(super) async fn of(
        meetings: &Meetings,
        headers: &HeaderMap,
        client: &Client,
        want: Want,
    ) -> Result<Self, Problem> {
        let Some(bearer) = bearer(headers) else {
            if headers.contains_key(http::header::AUTHORIZATION) {
                return Err(Refusal::new(Code::Unauthorized, "`Authorization` is `Bearer` and a key").into());
            }
            meetings.count_reader(client)?;
            return Ok(Self::Anonymous);
        };
        if is_key(bearer) {
            return Ok(Self::Key(meetings.key(bearer, want.scope()).await?));
        }
        meetings.count_reader(client)?;
        HostClaims::open(&meetings.inner.key, bearer).map(Self::Host).ok_or_else(|| {
            Refusal::new(Code::Unauthorized, "the bearer is neither an API key nor a host token").into()
        })
    }

    /// Whose the meetings are that this one makes.
    pub(super) fn owner(&self) -> Option<String> {
        match self {
            Self::Key(key) => Some(key.customer.clone().unwrap_or_else(|| key.id.clone())),
            Self::Host(_) | Self::Anonymous => None,
        }
    }

    /// Whether everybody's meetings are its own: an administrator's key, and one that may read and nothing else unless it
    /// belongs to a customer.
    pub(super) fn sees_all(&self) -> bool {
        match self {
            Self::Key(key) => {
                let is_reader = !key.scopes.iter().any(|scope| scope.includes(Scope::MeetingsWrite));
                key.scopes.contains(&Scope::Admin) || (is_reader && key.customer.is_none())
            }
            Self::Host(_) | Self::Anonymous => false,
        }
    }

    /// Whether a meeting is its own.
    pub(crate) fn may_see(&self, meeting: &Meeting) -> bool {
        match self {
            Self::Key(_) => self.sees_all() || (meeting.owner.is_some() && meeting.owner == self.owner()),
            Self::Host(claims) => claims.room == meeting.room && claims.life == meeting.life,
            Self::Anonymous => false,
        }
    }

    /// The meeting, if it is this one's; somebody else's is not there.
    pub(super) async fn meeting(&self, meetings: &Meetings, id: &str) -> Result<Meeting, Problem> {
        if matches!(self, Self::Anonymous) {
            return Err(
                Refusal::new(Code::Unauthorized, "an API key or the host token is needed as bearer").into()
            );
        }
        let meeting = find(meetings, id).await?;
        if self.may_see(&meeting) { Ok(meeting) } else { Err(Problem::not_found()) }
    }

    /// Takes a meeting out that cannot be read, if it is one and this one's; whether it was.
    pub(super) async fn removes_broken(&self, meetings: &Meetings, id: &str) -> Result<bool, Problem> {
        let (Self::Key(_), Ok(id)) = (self, id.parse::<MeetingId>()) else { return Ok(false) };
        let store = &meetings.inner.store;
        if !matches!(store.patiently(store.meeting(id)).await, Err(StoreError::Broken { .. })) {
            return Ok(false);
        }
        let Some((owner, room)) = store.patiently(store.place_of(id)).await? else { return Ok(false) };
        let is_own = self.sees_all() || (owner.is_some() && owner == self.owner());
        if !is_own {
            return Err(Problem::not_found());
        }
        store.patiently(store.erase(id)).await?;
        tracing::warn!(meeting = %id, "a meeting that could not be read is deleted");
        if let (Some(rooms), Ok(room)) = (meetings.rooms(), room.parse()) {
            rooms.end(room, EndReason::HostEnded).await;
        }
        Ok(true)
    }

    /// Whether it may have the host's link.
    pub(super) fn is_organiser(&self) -> bool {
        match self {
            Self::Key(key) => key.scopes.iter().any(|scope| scope.includes(Scope::MeetingsWrite)),
            Self::Host(_) => true,
            Self::Anonymous => false,
        }
    }
}

/// The meeting of an id in a path.
pub(super) async fn find(meetings: &Meetings, id: &str) -> Result<Meeting, Problem> {
    let id: MeetingId = id.parse().map_err(|_| Problem::not_found())?;
    let store = &meetings.inner.store;
    store.patiently(store.meeting(id)).await?.ok_or_else(Problem::not_found)
}

/// The meeting of an invitation's id in a path: the meeting's own, or that of one invited address.
pub(super) async fn find_invited(meetings: &Meetings, id: &str) -> Result<(Meeting, Way), Problem> {
    let id: MeetingId = id.parse().map_err(|_| Problem::not_found())?;
    let store = &meetings.inner.store;
    let meeting = store.patiently(store.invited(id)).await?.ok_or_else(Problem::not_found)?;
    let way = meeting.way_by_id(id).ok_or_else(Problem::not_found)?;
    Ok((meeting, way))
}

impl Meetings {
    /// Counts a request without a key.
    pub(super) fn count_reader(&self, client: &Client) -> Result<(), Refusal> {
        match client.ip {
            Some(ip) => self.count(Payer::Address(ip), 300, Duration::from_millis(50)),
            None => Ok(()),
        }
    }

    /// The origin of links that others are given. A program may ask under a name that only leads here from where it runs; so
    /// may one that names no host at all.
    pub(super) fn lasting_origin(
        &self,
        client: &Client,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<String, Refusal> {
        let is_program = matches!(principal, Principal::Key(_)) && !client.is_own_page(headers);
        let is_known = self.inner.public_url.is_some()
            // Whoever serves these routes without saying who asks makes links of their own.
            || client.ip.is_none()
            || (client.origin.is_some() && (!is_program || client.is_at_home()));
        if is_known {
            return Ok(self.origin(client));
        }
        Err(Refusal::new(
            Code::InvalidState,
            "nobody knows by which address people reach this server: its operator sets `--public-url`",
        ))
    }

    /// The origin of links: as it is configured, else as the request has it.
    pub(super) fn origin(&self, client: &Client) -> String {
        let own = self.inner.public_url.as_ref().or(client.origin.as_ref());
        own.cloned().unwrap_or_default()
    }
}
