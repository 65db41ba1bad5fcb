//! The occurrences of a meeting: which of them is present, and how it begins and ends.

use std::time::Duration;

use signaling_core::meeting::RoomHappening;
use signaling_core::message::EndReason;
use signaling_core::{Code, Refusal, Timestamp};

use super::{Event, Meeting, Status, in_calendar};

/// How far the clock may be set back without decisions being reverted.
const STEP: Duration = Duration::from_secs(2);
/// How long a meeting that nobody has joined stays open beyond its end.
const UNVISITED: Duration = Duration::from_hours(24);

impl Meeting {
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
    pub(super) fn catch_up(&mut self, now: Timestamp) {
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
