//! What others than its members are told of a meeting's room.

use std::sync::Arc;

use crate::message::{EndReason, LeaveReason, RecordingState, Role};
use crate::room::{Fact, Room};
use crate::{LifeId, PeerId, RoomId, Timestamp};

/// Something happened in a room that was arranged for a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The room.
    pub room: RoomId,
    /// Which life of it.
    pub life: LifeId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: RoomHappening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RoomHappening {
    /// Somebody is in, past the lobby.
    Joined { peer: PeerId, name: Arc<str>, role: Role },
    /// Somebody who was in has gone.
    Left { peer: PeerId, name: Arc<str>, reason: LeaveReason },
    /// A recording was begun or ended.
    Recording { state: RecordingState, recording: Option<Arc<str>> },
    /// The room is over; `visited`, when anybody was ever in.
    Ended { reason: EndReason, visited: bool },
}

impl RoomHappening {
    /// What a fact is for others, seen from the room before it.
    pub(crate) fn of(fact: &Fact, room: &Room) -> Option<Self> {
        let joined = |peer: PeerId, name: &crate::message::Name, role| {
            Some(Self::Joined { peer, name: name.as_str().into(), role })
        };
        match fact {
            Fact::Joined(member) if member.is_joined() => joined(member.id, &member.name, member.role),
            Fact::Admitted { peer } => room.member(*peer).and_then(|it| joined(it.id, &it.name, it.role)),
            Fact::Left { peer, reason } => {
                let member = room.member(*peer).filter(|member| member.is_joined())?;
                Some(Self::Left { peer: *peer, name: member.name.as_str().into(), reason: *reason })
            }
            Fact::Recording { state, recording, .. } => {
                Some(Self::Recording { state: *state, recording: recording.clone() })
            }
            Fact::Ended { reason } => Some(Self::Ended { reason: *reason, visited: room.was_entered() }),
            _ => None,
        }
    }
}
