//! The rooms and peers of a shard.

use std::collections::HashMap;
use std::sync::Arc;

use signaling_core::message::{Attention, PublishTrack, Role, TrackKind};
use signaling_core::{HttpSession, PeerId, RoomId};
use slotmap::SlotMap;

use crate::codec::MediaKind;
use crate::keys::{PeerKey, PublicationKey, TransportKey};
use crate::tap::{Tap, TapEvent};
use crate::transport::Purpose;

/// Subscribers that the home shard of a room serves alone, because mirroring packets has a cost.
const AT_HOME: u32 = 12;

/// The home shard of a room, which has the connections of all of its publishers.
pub(crate) fn home_of(room: &RoomId, shards: u16) -> u16 {
    u16::try_from(room.shard(shards.into())).unwrap_or(0)
}

/// The tables of rooms and peers.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: HashMap<RoomId, Room>,
    peers: SlotMap<PeerKey, Peer>,
}

/// A room as the media server sees it.
#[derive(Default)]
pub(super) struct Room {
    peers: HashMap<PeerId, PeerKey>,
    /// The peers in the order of joining, which determines the first publisher.
    order: Vec<PeerKey>,
    /// On the home shard: the number of peers that each shard serves.
    served: Vec<u32>,
    /// Whether the last report of speakers contained any.
    pub(super) is_speaking: bool,
    /// On the home shard of a large room: the microphones whose sound is sent to everybody.
    pub(super) chosen: Vec<PublicationKey>,
    /// Receives the media of a recorded room.
    pub(super) tap: Option<Arc<dyn Tap>>,
}

/// A peer that uses the media server.
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) room: RoomId,
    pub(super) role: Role,
    /// The client's announcement of the tracks in its next offer.
    pub(super) announced: Arc<[PublishTrack]>,
    pub(super) publish: Option<TransportKey>,
    pub(super) subscribe: Option<TransportKey>,
    pub(super) publications: Vec<PublicationKey>,
    pub(super) is_muted: bool,
    pub(super) is_flowing: bool,
    /// Whether the publishing connection has not been heard for some time: neither RTP nor RTCP nor consent.
    pub(super) is_lost: bool,
    /// The shard that has the subscribing connection.
    pub(super) served_by: u16,
    /// The peer's preferences for individual tracks.
    pub(super) attention: HashMap<Arc<str>, Attention>,
    /// The role of a WHIP or WHEP client, which cannot be sent offers.
    pub(super) http: Option<HttpSession>,
}

/// The shard that serves a peer that has joined.
pub(super) struct Placement {
    pub(super) shard: u16,
    /// Whether the shard serves no other peer of the room yet.
    pub(super) is_new: bool,
}

impl Peer {
    /// Whether a host has silenced this kind of track.
    pub(super) fn silences(&self, kind: MediaKind) -> bool {
        self.is_muted && kind == MediaKind::Audio
    }

    /// The connection for one direction.
    pub(super) fn connection_mut(&mut self, purpose: Purpose) -> &mut Option<TransportKey> {
        match purpose {
            Purpose::Publish => &mut self.publish,
            Purpose::Subscribe => &mut self.subscribe,
        }
    }

    /// The client's announcement of the track in this section.
    pub(super) fn announcement(&self, mid: &str, kind: MediaKind) -> Option<&PublishTrack> {
        let kind = TrackKind::from(kind);
        self.announced.iter().find(|track| track.mid == mid && track.kind == kind)
    }
}

impl Room {
    /// The peers in the order of joining.
    pub(super) fn members(&self) -> &[PeerKey] {
        &self.order
    }

    pub(super) fn find(&self, peer: PeerId) -> Option<PeerKey> {
        self.peers.get(&peer).copied()
    }
}

impl Rooms {
    pub(super) fn room(&self, id: &RoomId) -> Option<&Room> {
        self.rooms.get(id)
    }

    pub(super) fn room_mut(&mut self, id: &RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(id)
    }

    /// The room, created if it does not exist.
    pub(super) fn entry(&mut self, id: &RoomId) -> &mut Room {
        self.rooms.entry(id.clone()).or_default()
    }

    pub(super) fn split_mut(
        &mut self,
    ) -> (impl Iterator<Item = (&RoomId, &mut Room)>, &SlotMap<PeerKey, Peer>) {
        (self.rooms.iter_mut(), &self.peers)
    }

    /// The numbers of rooms and peers.
    pub(super) fn population(&self) -> (usize, usize) {
        (self.rooms.len(), self.peers.len())
    }

    pub(super) fn peer(&self, key: PeerKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    pub(super) fn peer_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.peers.get_mut(key)
    }

    pub(super) fn find(&self, room: &RoomId, peer: PeerId) -> Option<PeerKey> {
        self.rooms.get(room)?.find(peer)
    }

    pub(super) fn find_mut(&mut self, room: &RoomId, peer: PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(self.rooms.get(room)?.find(peer)?)
    }

    /// The peers of a room, in the order of joining.
    pub(super) fn members(&self, room: &RoomId) -> Vec<PeerKey> {
        self.rooms.get(room).map(|room| room.order.clone()).unwrap_or_default()
    }

    /// The other peers of a peer's room, in the order of joining.
    pub(super) fn others(&self, key: PeerKey) -> impl Iterator<Item = PeerKey> {
        let room = self.room_of(key);
        room.into_iter().flat_map(|room| &room.order).copied().filter(move |other| *other != key)
    }

    pub(super) fn room_of(&self, key: PeerKey) -> Option<&Room> {
        self.rooms.get(&self.peers.get(key)?.room)
    }

    /// The tracks of a peer.
    pub(super) fn publications(&self, key: PeerKey) -> Vec<PublicationKey> {
        self.peers.get(key).map(|peer| peer.publications.clone()).unwrap_or_default()
    }

    /// Adds a peer, and its room if it does not exist.
    pub(super) fn add(&mut self, room: &RoomId, id: PeerId, role: Role, served_by: u16) -> PeerKey {
        let key = self.peers.insert(Peer {
            id,
            room: room.clone(),
            role,
            announced: Arc::new([]),
            publish: None,
            subscribe: None,
            publications: Vec::new(),
            is_muted: false,
            is_flowing: false,
            is_lost: false,
            served_by,
            attention: HashMap::new(),
            http: None,
        });
        let state = self.entry(room);
        state.peers.insert(id, key);
        state.order.push(key);
        key
    }

    /// Removes a peer, and its room if that is empty and not recorded.
    pub(super) fn remove(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.remove(key) else { return };
        let Some(room) = self.rooms.get_mut(&peer.room) else { return };
        room.peers.remove(&peer.id);
        room.order.retain(|other| *other != key);
        if let Some(tap) = &room.tap {
            tap.take(TapEvent::Left(peer.id));
        } else if room.order.is_empty() {
            self.rooms.remove(&peer.room);
        }
    }

    /// Removes a room whose peers have been removed.
    pub(super) fn end(&mut self, room: &RoomId) {
        if let Some(tap) = self.rooms.remove(room).and_then(|room| room.tap) {
            tap.take(TapEvent::Ended);
        }
    }

    /// Whether the peer's room is recorded.
    pub(super) fn is_recorded(&self, key: PeerKey) -> bool {
        self.room_of(key).is_some_and(|room| room.tap.is_some())
    }

    /// Starts or stops recording the room.
    pub(super) fn set_tap(&mut self, room: &RoomId, tap: Option<Arc<dyn Tap>>) {
        let is_over = tap.is_none();
        let state = self.entry(room);
        state.tap = tap;
        if is_over && state.order.is_empty() {
            self.rooms.remove(room);
        }
    }

    /// On the home shard: chooses the shard that serves a peer that has just joined, by how many peers each one serves.
    pub(super) fn place(&mut self, key: PeerKey, home: u16, shards: u16) -> Option<Placement> {
        let peer = self.peers.get_mut(key)?;
        let served = &mut self.rooms.get_mut(&peer.room)?.served;
        served.resize(usize::from(shards), 0);
        let count = |shard: u16| served.get(usize::from(shard)).copied().unwrap_or(u32::MAX);
        // A peer that only publishes causes almost no sending load.
        let shard = if peer.role == Role::Broadcaster || count(home) < AT_HOME {
            home
        } else {
            let others = (1..shards).map(|step| (home + step) % shards);
            others.fold(home, |best, other| if count(other) < count(best) { other } else { best })
        };
        let is_new = count(shard) == 0 && shard != home;
        *served.get_mut(usize::from(shard))? += 1;
        peer.served_by = shard;
        Some(Placement { shard, is_new })
    }

    /// On the home shard: removes a peer served by `shard` from the count. Returns whether it was the last one.
    pub(super) fn unplace(&mut self, room: &RoomId, shard: u16) -> bool {
        let room = self.rooms.get_mut(room);
        let Some(served) = room.and_then(|room| room.served.get_mut(usize::from(shard))) else {
            return false;
        };
        *served = served.saturating_sub(1);
        *served == 0
    }

    /// The other shards that serve peers of a room whose home this shard is.
    pub(super) fn annexes(&self, room: &RoomId, home: u16) -> Vec<u16> {
        let served = self.rooms.get(room).map(|room| room.served.as_slice()).unwrap_or_default();
        let others = (0..).zip(served).filter(|(shard, peers)| *shard != home && **peers > 0);
        others.map(|(shard, _)| shard).collect()
    }
}
