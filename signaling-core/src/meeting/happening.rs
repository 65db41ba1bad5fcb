//! What others than its members are told of a meeting's room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{EndReason, Json, LeaveReason, RecordingState, Role};
use crate::room::{Fact, Member, Room};
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

/// Somebody who is in a room, as those are told who are outside of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The peer.
    pub peer: PeerId,
    /// What people call it.
    pub name: String,
    /// What for it is there.
    pub role: Role,
    /// Who it is for the service that signed its join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What that service says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

impl Presence {
    fn of(member: &Member) -> Self {
        let signed = member.signed.clone().unwrap_or_default();
        Self {
            peer: member.id,
            name: member.name.as_str().to_owned(),
            role: member.role,
            sub: signed.sub,
            metadata: signed.metadata,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RoomHappening {
    /// Somebody is in, past the lobby.
    Joined(Presence),
    /// Somebody who was in has gone.
    Left { who: Presence, reason: LeaveReason },
    /// A recording was begun or ended.
    Recording { state: RecordingState, recording: Option<Arc<str>> },
    /// The room is over; `visited`, when anybody was ever in.
    Ended { reason: EndReason, visited: bool },
}

impl RoomHappening {
    /// What a fact is for others, seen from the room before it.
    pub(crate) fn of(fact: &Fact, room: &Room) -> Option<Self> {
        match fact {
            Fact::Joined(member) if member.is_joined() => Some(Self::Joined(Presence::of(member))),
            Fact::Admitted { peer } => room.member(*peer).map(|member| Self::Joined(Presence::of(member))),
            Fact::Left { peer, reason } => {
                let member = room.member(*peer).filter(|member| member.is_joined())?;
                Some(Self::Left { who: Presence::of(member), reason: *reason })
            }
            Fact::Recording { state, recording, .. } => {
                Some(Self::Recording { state: *state, recording: recording.clone() })
            }
            Fact::Ended { reason } => Some(Self::Ended { reason: *reason, visited: room.was_entered() }),
            _ => None,
        }
    }
}
