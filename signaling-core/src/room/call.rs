//! The one-to-one call: `idle → ringing → connecting → connected → ended`.

use serde::{Deserialize, Serialize};

use super::{Fact, Room};
use crate::message::{Call, CallAction, CallEnd, CallState, LeaveReason};
use crate::{CallId, Code, Entropy, PeerId, Refusal, Timestamp};

/// A call between two peers of a room. A peer without a call is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call's id.
    pub call: CallId,
    /// The caller.
    pub from: PeerId,
    /// The callee.
    pub to: PeerId,
    /// How far it is.
    pub progress: CallProgress,
}

/// How far a call is, with what the room needs to know for its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallProgress {
    /// The callee has not answered yet.
    Ringing {
        /// When the call counts as unanswered.
        until: Timestamp,
    },
    /// Accepted; media is being set up. One of the two peers may have reported that it flows.
    Connecting {
        /// The peer that has reported.
        connected: Option<PeerId>,
    },
    /// Media flows for both.
    Connected,
    /// The call is over.
    Ended(CallEnd),
}

impl CallProgress {
    /// The state as clients know it, and why the call ended, if it did.
    pub(super) fn view(self) -> (CallState, Option<CallEnd>) {
        match self {
            Self::Ringing { .. } => (CallState::Ringing, None),
            Self::Connecting { .. } => (CallState::Connecting, None),
            Self::Connected => (CallState::Connected, None),
            Self::Ended(reason) => (CallState::Ended, Some(reason)),
        }
    }
}

impl CallRecord {
    fn involves(&self, peer: PeerId) -> bool {
        self.from == peer || self.to == peer
    }

    fn moved(self, progress: CallProgress) -> Fact {
        Fact::CallMoved(Self { progress, ..self })
    }

    fn ended(self, reason: CallEnd) -> Fact {
        self.moved(CallProgress::Ended(reason))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(Code::InvalidState, message)
}

impl Room {
    pub(super) fn decide_call(
        &self,
        now: Timestamp,
        from: PeerId,
        call: &Call,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Fact>, Refusal> {
        if call.action == CallAction::Ring {
            return self.decide_ring(now, from, call.to.as_deref(), entropy);
        }
        // A peer is in one call at most, so a step needs no call id.
        let mine = self.state.calls.values().find(|record| record.involves(from));
        let is_meant =
            |record: &&CallRecord| call.call.as_deref().is_none_or(|id| record.call.as_str() == id);
        let record = *mine.filter(is_meant).ok_or_else(|| invalid("you are in no such call"))?;
        let is_caller = record.from == from;
        Ok(vec![match (record.progress, call.action) {
            (CallProgress::Ringing { .. }, CallAction::Accept) if !is_caller => {
                record.moved(CallProgress::Connecting { connected: None })
            }
            (CallProgress::Ringing { .. }, CallAction::Decline) if !is_caller => {
                record.ended(CallEnd::Declined)
            }
            (CallProgress::Ringing { .. }, CallAction::Cancel) if is_caller => {
                record.ended(CallEnd::Cancelled)
            }
            (CallProgress::Connecting { connected }, CallAction::Connected) if connected != Some(from) => {
                record.moved(match connected {
                    Some(_) => CallProgress::Connected,
                    None => CallProgress::Connecting { connected: Some(from) },
                })
            }
            (CallProgress::Connecting { .. } | CallProgress::Connected, CallAction::Hangup) => {
                record.ended(CallEnd::HungUp)
            }
            (CallProgress::Connecting { .. } | CallProgress::Connected, CallAction::Failed) => {
                record.ended(CallEnd::Failed)
            }
            _ => return Err(invalid("the call is in no state for that")),
        }])
    }

    fn decide_ring(
        &self,
        now: Timestamp,
        from: PeerId,
        to: Option<&str>,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Fact>, Refusal> {
        let to =
            self.other_member(from, to.ok_or_else(|| Refusal::bad_request("`to` says whom to ring"))?)?.id;
        if let Some(mine) = self.state.calls.values().find(|record| record.involves(from)) {
            // The two peers rang each other, which accepts the call.
            let crossing = mine.from == to && matches!(mine.progress, CallProgress::Ringing { .. });
            return if crossing {
                Ok(vec![mine.moved(CallProgress::Connecting { connected: None })])
            } else {
                Err(invalid("you are in a call already"))
            };
        }
        let progress = CallProgress::Ringing { until: now + self.rules.limits.ring };
        let record = CallRecord { call: CallId::random(entropy), from, to, progress };
        if self.state.calls.values().any(|other| other.involves(to)) {
            let record = CallRecord { progress: CallProgress::Ended(CallEnd::Busy), ..record };
            return Ok(vec![Fact::CallRefused { record }]);
        }
        Ok(vec![Fact::CallMoved(record)])
    }

    /// The facts that end the calls of a leaving peer.
    pub(super) fn calls_ended_by(&self, peer: PeerId, reason: LeaveReason) -> Vec<Fact> {
        let involved = self.state.calls.values().filter(|record| record.involves(peer));
        let ended = involved.map(|record| {
            let end = match record.progress {
                CallProgress::Ringing { .. } if record.from == peer => CallEnd::Cancelled,
                CallProgress::Ringing { .. } => CallEnd::Unanswered,
                _ if reason == LeaveReason::Timeout => CallEnd::Failed,
                _ => CallEnd::HungUp,
            };
            record.ended(end)
        });
        ended.collect()
    }

    pub(super) fn calls_unanswered(&self, now: Timestamp) -> Vec<Fact> {
        let late = |progress| matches!(progress, CallProgress::Ringing { until } if until <= now);
        let calls = self.state.calls.values().filter(|record| late(record.progress));
        calls.map(|record| record.ended(CallEnd::Unanswered)).collect()
    }

    pub(super) fn next_call_timeout(&self) -> Option<Timestamp> {
        let until = self.state.calls.values().filter_map(|record| match record.progress {
            CallProgress::Ringing { until } => Some(until),
            _ => None,
        });
        until.min()
    }

    pub(super) fn apply_call(&mut self, record: CallRecord) {
        if matches!(record.progress, CallProgress::Ended(_)) {
            self.state.calls.remove(&record.call);
        } else {
            self.state.calls.insert(record.call, record);
        }
    }
}
