//! The events of a meeting.

use signaling_core::meeting::Presence;
use signaling_core::message::{EndReason, LeaveReason};

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
