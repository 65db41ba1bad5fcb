//! A meeting and its life cycle. Pure: the time is an argument.

mod draft;
mod recurrence;
mod way;

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use signaling_core::meeting::{MeetingCode, Presence, RoomHappening};
use signaling_core::message::{EndReason, LeaveReason, TopologyChoice};
use signaling_core::room::{MeetingTerms, RoomRecord};
use signaling_core::{
    Code, Digest, Entropy, HostClaims, LifeId, MeetingId, Refusal, RoomId, ServerKey, Timestamp,
};

pub use draft::{Attendee, Change, Draft, Wanted};
pub(crate) use draft::{Patch, time};
pub use recurrence::{Recurrence, RuleError};
pub use way::{Invitation, Way};

/// How far the clock may be set back without decisions being reverted.
const STEP: Duration = Duration::from_secs(2);
/// How long a meeting that nobody has joined stays open beyond its end.
const UNVISITED: Duration = Duration::from_hours(24);

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

/// The stored state of a meeting, independent of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nobody has joined yet.
    Planned,
    /// Somebody has joined since the present occurrence began to admit people.
    Live,
    /// Ended by somebody with that permission.
    Ended,
    /// Cancelled.
    Cancelled,
    /// Everybody left, or nobody came.
    Expired,
}

impl Status {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// How a meeting stands at a moment, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum State {
    Scheduled,
    Open,
    Ended,
    Cancelled,
    Expired,
}

impl State {
    /// What an `ETag` ends in where the clock alone has led here.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Scheduled => "-scheduled",
            Self::Open => "-open",
            Self::Ended => "-ended",
            Self::Cancelled => "-cancelled",
            Self::Expired => "-expired",
        }
    }
}

/// Something that others are told of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Event {
    Created,
    Changed,
    Started,
    Ended {
        reason: EndReason,
    },
    Cancelled,
    PeerJoined(Presence),
    PeerLeft {
        who: Presence,
        reason: LeaveReason,
    },
    /// Nobody is in its room any more, which is told by a `PeerLeft` of each.
    Emptied,
    RecordingReady {
        recording: String,
    },
}

/// A code as text, checked when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingCodeText(pub MeetingCode);

impl Serialize for MeetingCodeText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MeetingCodeText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
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

    /// Ends the present occurrence.
    pub fn end(&mut self, reason: EndReason, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        if self.is_over() {
            return Err(Refusal::new(Code::InvalidState, "the meeting is over already"));
        }
        self.status = if reason == EndReason::Expired { Status::Expired } else { Status::Ended };
        self.ended_at = Some(now);
        self.clocked_at = (reason == EndReason::Expired).then_some(now);
        if let Some(next) = self.occurrence_after(self.starts_at.max(now)) {
            self.last_ended = Some(self.starts_at);
            (self.starts_at, self.status) = (next, Status::Planned);
        }
        Ok(vec![Event::Emptied, Event::Ended { reason }])
    }

    /// Cancels all occurrences; does nothing if the meeting is already over.
    pub fn cancel(&mut self) -> Vec<Event> {
        if self.is_over() {
            return Vec::new();
        }
        self.status = Status::Cancelled;
        self.sequence += 1;
        vec![Event::Emptied, Event::Cancelled]
    }

    /// Applies an event of its room.
    pub fn happened(&mut self, what: &RoomHappening, at: Timestamp) -> Vec<Event> {
        match what {
            RoomHappening::Joined(who) => {
                let joined = Event::PeerJoined(who.clone());
                let is_history = self.ended_at.is_some_and(|ended_at| at <= ended_at);
                if self.status == Status::Planned && !is_history {
                    self.status = Status::Live;
                    return vec![Event::Started, joined];
                }
                vec![joined]
            }
            RoomHappening::Left { who, reason } => {
                vec![Event::PeerLeft { who: who.clone(), reason: *reason }]
            }
            RoomHappening::Ended { reason, visited } => {
                let events = self.room_ended(*reason, *visited, at);
                if events.is_empty() { vec![Event::Emptied] } else { events }
            }
            RoomHappening::Recording { .. } => Vec::new(),
        }
    }

    /// Its room no longer exists, and no end was reported: the process was killed right after the end.
    pub fn vanished(&mut self, at: Timestamp) -> Vec<Event> {
        let patience = Duration::from_secs(self.empty_timeout_seconds.into());
        match self.status {
            Status::Live if self.starts_at > at => self.status = Status::Planned,
            Status::Live => {
                let is_long_ago = self.updated_at + patience <= at;
                let reason = if is_long_ago { EndReason::Expired } else { EndReason::HostEnded };
                return self.end(reason, at).unwrap_or_default();
            }
            _ => {}
        }
        vec![Event::Emptied]
    }

    /// Since when the meeting has been over for good.
    pub fn over_at(&self) -> Option<Timestamp> {
        self.is_over().then_some(self.updated_at)
    }

    fn room_ended(&mut self, reason: EndReason, visited: bool, at: Timestamp) -> Vec<Event> {
        // An occurrence that was ended from outside has been replaced by the next one before its room reports the end.
        if self.is_over() || (self.status != Status::Live && self.ended_at.is_some()) {
            return Vec::new();
        }
        let patience = Duration::from_secs(self.empty_timeout_seconds.into());
        match reason {
            EndReason::HostEnded => self.end(EndReason::HostEnded, at).unwrap_or_default(),
            EndReason::Expired | EndReason::Empty if visited && self.starts_at + patience <= at => {
                self.end(EndReason::Expired, at).unwrap_or_default()
            }
            // Entering before the start, or waiting in the lobby in vain, does not use up the occurrence.
            EndReason::Expired | EndReason::Empty => {
                self.status = Status::Planned;
                Vec::new()
            }
            EndReason::Drained => Vec::new(),
        }
    }

    /// When the next scheduled work is due, if any.
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.status != Status::Planned {
            return None;
        }
        let forgotten = self.ends_at() + UNVISITED;
        Some(self.occurrence_after(self.starts_at).map_or(forgotten, |next| next.min(forgotten)))
    }

    /// Does what is due: an occurrence that nobody joined is replaced by the next one, or the meeting expires.
    pub fn handle_due(&mut self, now: Timestamp) -> Vec<Event> {
        if self.due_at().is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.catch_up(now);
        self.clocked_at = Some(now);
        if self.due_at().is_some_and(|due| due <= now) {
            return self.end(EndReason::Expired, now).unwrap_or_default();
        }
        Vec::new()
    }

    /// Reverts decisions made while the clock was ahead of the present time: expiry, and the choice of the occurrence.
    pub fn take_back(&mut self, now: Timestamp) {
        let is_ahead = |at: Option<Timestamp>| at.is_some_and(|at| at > now + STEP);
        if self.status == Status::Live || !(is_ahead(self.clocked_at) || is_ahead(self.ended_at)) {
            return;
        }
        if is_ahead(self.ended_at) {
            self.ended_at = Some(now);
        }
        let had_expired = self.status == Status::Expired && is_ahead(self.clocked_at);
        if had_expired || self.status == Status::Planned {
            self.status = Status::Planned;
            self.starts_at = match self.last_ended {
                Some(ended) => self.occurrence_after(ended.max(now)).unwrap_or(self.starts_at),
                None => self.first_starts_at,
            };
            self.catch_up(now);
        }
        self.clocked_at = self.clocked_at.map(|at| at.min(now));
    }

    /// Makes the latest occurrence that has begun the present one; the first one stays if none has begun.
    fn catch_up(&mut self, now: Timestamp) {
        while let Some(next) = self.occurrence_after(self.starts_at).filter(|next| *next <= now) {
            self.starts_at = next;
        }
        if self.ends_at() <= now
            && let Some(next) = self.occurrence_after(self.starts_at)
        {
            self.starts_at = next;
        }
    }

    fn occurrence_after(&self, after: Timestamp) -> Option<Timestamp> {
        let rule = self.recurrence.as_ref()?;
        let first = in_calendar(self.first_starts_at)?;
        let zone = self.zone();
        let later = rule.occurrences(first, &zone).filter_map(|at| at.as_millisecond().try_into().ok());
        let mut later = later.map(Timestamp::from_millis);
        later.find(|at| *at > after)
    }
}

/// Converts a time for calendar arithmetic.
pub(crate) fn in_calendar(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

#[cfg(test)]
mod tests;
