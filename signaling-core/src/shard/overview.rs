//! The rooms as an administrator sees them.

use serde::Serialize;

use super::Shard;
use crate::message::{PeerView, RoomView};
use crate::room::Member;
use crate::{LifeId, RoomId};

/// A room as an administrator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// The room as its peers see it.
    pub room: RoomView,
    /// The id of this life of the room.
    pub life: LifeId,
    /// The number of listed peers.
    pub peers: usize,
    /// The number of viewers.
    pub viewers: usize,
}

/// A peer in a room, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Person {
    /// The peer as other peers see it.
    #[serde(flatten)]
    pub view: PeerView,
    /// The peer's identity for the signer of its join token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

/// The numbers of rooms and peers that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Existing rooms.
    pub rooms: usize,
    /// Listed peers in the rooms.
    pub peers: usize,
    /// Viewers in the rooms.
    pub viewers: usize,
}

impl Shard {
    /// A room as an administrator sees it.
    pub fn summary(&self, room: &RoomId) -> Option<RoomSummary> {
        let live = self.rooms.get(room)?;
        let (peers, viewers) = live.room().counts();
        Some(RoomSummary { room: live.room().view(), life: live.room().life(), peers, viewers })
    }

    /// At most `limit` rooms with ids after `after`, in the order of their ids.
    pub fn rooms_after(&self, after: Option<&RoomId>, limit: usize) -> Vec<RoomSummary> {
        let mut names: Vec<&RoomId> =
            self.rooms.keys().filter(|room| after.is_none_or(|after| *room > after)).collect();
        if names.len() > limit {
            names.select_nth_unstable(limit);
            names.truncate(limit);
        }
        names.sort_unstable();
        names.into_iter().filter_map(|room| self.summary(room)).collect()
    }

    /// The peers in a room, viewers included.
    pub fn people(&self, room: &RoomId) -> Option<Vec<Person>> {
        let live = self.rooms.get(room)?;
        let person = |member: &Member| Person {
            view: member.view(),
            sub: member.signed.as_ref().and_then(|signed| signed.sub.clone()),
        };
        Some(live.room().joined().map(person).collect())
    }

    /// The number of rooms.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// The numbers of rooms, listed peers and viewers.
    pub fn census(&self) -> Census {
        self.rooms.values().fold(Census::default(), |sum, live| {
            let (peers, viewers) = live.room().counts();
            Census { rooms: sum.rooms + 1, peers: sum.peers + peers, viewers: sum.viewers + viewers }
        })
    }
}
