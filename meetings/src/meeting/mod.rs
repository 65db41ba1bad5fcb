//! A meeting and its life cycle. Pure: the time is an argument.

mod code;
mod draft;
mod event;
mod occurrence;
mod recurrence;
mod status;
mod way;

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use signaling_core::meeting::MeetingCode;
use signaling_core::message::TopologyChoice;
use signaling_core::room::{MeetingTerms, RoomRecord};
use signaling_core::{
    Code, Digest, Entropy, HostClaims, LifeId, MeetingId, Refusal, RoomId, ServerKey, Timestamp,
};

pub use code::MeetingCodeText;
pub use draft::{Attendee, Change, Draft, NewAttendee, Wanted};
pub(crate) use draft::{Patch, time, webhook_secret};
pub use event::Event;
pub use recurrence::{Recurrence, RuleError};
pub use status::{State, Status};
pub use way::{Invitation, Way};

/// A meeting, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meeting {
    /// The id of the meeting and its page.
    pub id: MeetingId,
    /// The owner: a customer of the HTTP interface, or nobody known.
    pub owner: Option<String>,
    /// The code that people type.
    pub code: MeetingCodeText,
    /// The room of the meeting.
    pub room: RoomId,
    /// The one life of that room, over all occurrences.
    pub life: LifeId,
    /// 1 to 200 characters without controls.
    pub title: String,
    /// The organiser's zone, a name of the IANA's.
    pub time_zone: String,
    /// Whether it has a start time; otherwise it is open from its creation on.
    pub has_time: bool,
    /// The start of the series.
    pub first_starts_at: Timestamp,
    /// The start of the present occurrence.
    pub starts_at: Timestamp,
    /// The planned duration of an occurrence.
    pub duration_minutes: u32,
    /// The recurrence rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// The capacity, if lower than the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Whether newcomers wait until a host admits them.
    #[serde(default)]
    pub lobby: bool,
    /// Whether others wait until a host is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait_for_host: bool,
    /// The digest of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Digest>,
    /// Seconds without anybody after which the meeting expires.
    pub empty_timeout_seconds: u32,
    /// The invited people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Attendee>,
    /// The personal way in of each invited address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<Invitation>,
    /// The UID in calendars, if it is not the id: the holder of a calendar file must not learn the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_uid: Option<MeetingId>,
    /// The id of its webhook endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The URL of that endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The stored state.
    pub status: Status,
    /// When an occurrence was last ended; earlier reports of its room are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The occurrence that was ended last, if another one followed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ended: Option<Timestamp>,
    /// When the clock alone last changed the state: to expired, or to another occurrence. If the clock is set back
    /// before that time, the change is reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocked_at: Option<Timestamp>,
    /// Increases with every change.
    pub version: u64,
    /// Increases with every change that is relevant to calendars (RFC 5545 section 3.8.7.4).
    pub sequence: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Meeting {
    /// A new meeting, with ids of its own.
    pub fn new(
        draft: &Draft,
        owner: Option<String>,
        key: &ServerKey,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let starts_at = draft.starts_at.unwrap_or(now);
        let mut meeting = Self {
            id: MeetingId::random(entropy),
            owner,
            code: MeetingCodeText(MeetingCode::random(entropy)),
            room: RoomId::made_by_server(key, entropy),
            life: LifeId::random(entropy),
            title: draft.title.clone(),
            time_zone: draft.time_zone.clone(),
            has_time: draft.starts_at.is_some(),
            first_starts_at: starts_at,
            starts_at,
            duration_minutes: draft.duration_minutes,
            recurrence: draft.recurrence.clone(),
            capacity: draft.capacity,
            lobby: draft.lobby,
            wait_for_host: draft.wait_for_host,
            password: None,
            empty_timeout_seconds: draft.empty_timeout_seconds,
            attendees: draft.attendees.clone(),
            invitations: Vec::new(),
            calendar_uid: Some(MeetingId::random(entropy)),
            webhook: None,
            webhook_url: draft.webhook_url.clone(),
            status: Status::Planned,
            ended_at: None,
            last_ended: None,
            clocked_at: None,
            version: 1,
            sequence: 0,
            created_at: now,
            updated_at: now,
        };
        meeting.invite(entropy);
        meeting.set_password(key, draft.password.as_deref());
        meeting.catch_up(now);
        meeting
    }

    fn set_password(&mut self, key: &ServerKey, password: Option<&str>) {
        let mut record = RoomRecord::new(self.room.clone(), self.life, self.created_at, TopologyChoice::Auto);
        record.set_password(key, password);
        self.password = record.settings.password;
    }

    /// When the present occurrence is planned to end.
    pub fn ends_at(&self) -> Timestamp {
        self.starts_at + Duration::from_mins(self.duration_minutes.into())
    }

    /// The state of the meeting at a moment.
    pub fn state(&self, now: Timestamp) -> State {
        match self.status {
            Status::Planned | Status::Live if self.starts_at > now => State::Scheduled,
            Status::Planned | Status::Live => State::Open,
            Status::Ended => State::Ended,
            Status::Cancelled => State::Cancelled,
            Status::Expired => State::Expired,
        }
    }

    /// Whether the meeting is over for good.
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Ended | Status::Cancelled | Status::Expired)
    }

    /// The organiser's zone.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// The token that grants host power in its room, and control of the meeting.
    pub fn host_token(&self, key: &ServerKey) -> String {
        HostClaims { room: self.room.clone(), life: self.life }.seal_same(key)
    }

    /// The settings with which its room is opened, unless the meeting is over.
    pub fn room_record(&self) -> Result<RoomRecord, Refusal> {
        if self.is_over() {
            let why = match self.status {
                Status::Cancelled => "the meeting was called off",
                Status::Expired => "the meeting has expired",
                _ => "the meeting has ended",
            };
            return Err(Refusal::new(Code::RoomEnded, why));
        }
        let mut record = RoomRecord::new(self.room.clone(), self.life, self.created_at, TopologyChoice::Auto);
        record.title = Some(self.title.as_str().into());
        record.capacity = self.capacity.and_then(|capacity| usize::try_from(capacity).ok());
        record.empty_timeout_seconds = Some(self.empty_timeout_seconds.into());
        record.ends_at = self.has_time.then(|| self.ends_at());
        record.meeting = Some(MeetingTerms {
            starts_at: self.has_time.then_some(self.starts_at),
            wait_for_host: self.wait_for_host,
        });
        record.settings.lobby = self.lobby;
        record.settings.password = self.password;
        Ok(record)
    }

    /// Applies the changes of a request, unless the meeting is over.
    pub fn change(
        &mut self,
        change: &Change,
        key: &ServerKey,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        if self.is_over() {
            return Err(Refusal::new(Code::InvalidState, "the meeting is over and cannot be changed"));
        }
        let before = self.clone();
        change.apply(self, now)?;
        match &change.password {
            Patch::Keep => {}
            Patch::Clear => self.set_password(key, None),
            Patch::Set(password) => self.set_password(key, Some(password)),
        }
        if self.first_starts_at != before.first_starts_at || self.recurrence != before.recurrence {
            self.starts_at = self.first_starts_at;
            (self.last_ended, self.clocked_at) = (None, None);
            self.catch_up(now);
        }
        if *self == before {
            return Ok(Vec::new());
        }
        let calendar = |meeting: &Self| {
            let Self { title, time_zone, first_starts_at, duration_minutes, recurrence, .. } = meeting;
            (title.clone(), time_zone.clone(), *first_starts_at, *duration_minutes, recurrence.clone())
        };
        if calendar(self) != calendar(&before) || self.attendees != before.attendees {
            self.sequence += 1;
        }
        Ok(vec![Event::Changed])
    }

    /// Since when the meeting has been over for good.
    pub fn over_at(&self) -> Option<Timestamp> {
        self.is_over().then_some(self.updated_at)
    }
}

/// Converts a time for calendar arithmetic.
pub(crate) fn in_calendar(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

#[cfg(test)]
mod tests;
