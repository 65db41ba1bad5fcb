//! What outsiders learn of a meeting's room.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{EndReason, Json, LeaveReason, RecordingState, Role};
use crate::room::{Fact, Member, Room};
use crate::{LifeId, PeerId, RoomId, Timestamp};

/// An event in the room of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The room.
    pub room: RoomId,
    /// The id of this life of the room.
    pub life: LifeId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: RoomHappening,
}

/// A peer in a room, as outsiders see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The peer.
    pub peer: PeerId,
    /// The display name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The peer's identity for the signer of its join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The metadata that the signer asserts.
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

/// The events that outsiders learn of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RoomHappening {
    /// A peer has entered the room, past the lobby.
    Joined(Presence),
    /// A peer has left the room.
    Left { who: Presence, reason: LeaveReason },
    /// A recording has begun or ended.
    Recording { state: RecordingState, recording: Option<Arc<str>> },
    /// The room has ended; `visited` if any peer ever entered.
    Ended { reason: EndReason, visited: bool },
}

impl RoomHappening {
    /// What a fact means to outsiders. `room` is the state before the fact.
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
