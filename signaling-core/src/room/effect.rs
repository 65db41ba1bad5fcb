//! What a room takes in, and what follows from it.

use std::sync::Arc;

use super::{Admission, Announcement, Caption, Fact, RoomRecord};
use crate::message::{ClientMessage, EndReason, Host, LeaveReason, PeerLevel, QualityReason, Reply};
use crate::{MediaDemand, MediaEvent, PeerId};

/// An input to a room.
#[derive(Clone, Debug)]
pub enum RoomInput<'a> {
    /// A client asks to enter.
    Join(Box<Admission>),
    /// A peer sends a message.
    Message(PeerId, &'a ClientMessage),
    /// A peer is gone.
    Gone(PeerId, LeaveReason),
    /// The media plane reports an event.
    Media(MediaEvent),
    /// The meeting of the room has changed.
    Arrange(Box<RoomRecord>),
    /// The server's operator, or the bearer of a host token, starts or stops the recording.
    Record(bool),
    /// The server's operator, or the bearer of a host token, uses a power of hosts.
    Host(&'a Host),
    /// A program sends a line of captions.
    Caption(&'a Caption),
    /// A program sends a chat message to everybody.
    Announce(&'a Announcement),
    /// The room must end.
    End(EndReason),
}

/// A consequence of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A fact, which must be applied and logged.
    Fact(Fact),
    /// A demand on the media plane, which leaves no trace in the room.
    Demand(MediaDemand),
    /// An event for the sessions in the room, which is not logged.
    Fleeting(FleetingEvent),
}

/// Events that are of interest only at present.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in `Reply`")]
pub enum FleetingEvent {
    Reaction {
        from: PeerId,
        emoji: Arc<str>,
    },
    Speakers(Vec<PeerLevel>),
    Quality {
        peer: PeerId,
        level: u8,
        track: Option<Arc<str>>,
        layer: Option<Arc<str>>,
        reason: Option<QualityReason>,
        to: Option<PeerId>,
    },
    Layers {
        to: PeerId,
        track: Arc<str>,
        active: Arc<[Arc<str>]>,
    },
}

impl FleetingEvent {
    pub(crate) fn reply(&self) -> Reply {
        match self.clone() {
            Self::Reaction { from, emoji } => Reply::Reaction { from, emoji },
            Self::Speakers(speakers) => Reply::Speakers { speakers },
            Self::Quality { peer, level, track, layer, reason, .. } => {
                Reply::Quality { peer, level, track, layer, reason }
            }
            Self::Layers { track, active, .. } => Reply::Layers { track, active },
        }
    }

    /// The only recipient, if the event is not for everyone.
    pub(crate) fn to(&self) -> Option<PeerId> {
        match self {
            Self::Quality { to, .. } => *to,
            Self::Layers { to, .. } => Some(*to),
            Self::Reaction { .. } | Self::Speakers(_) => None,
        }
    }
}
