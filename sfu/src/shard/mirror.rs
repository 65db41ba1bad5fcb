//! Rooms that several workers serve.
//!
//! A room has one home, the worker that its name falls to: all who publish do so there. When a room has grown, those who
//! receive are spread: the subscribing connection of a further peer lives on another worker, an annex of the room. An annex
//! holds the peers that it serves and, for each track of the room, a mirror: a publication whose packets come from the home,
//! a batch at a time, and whose subscribers it serves as if they were the home's. What else it needs to know comes in notes,
//! in order. Where a peer goes depends on the order of joining alone.

use std::time::Instant;

use signaling_core::message::{PeerConnection, Role};
use signaling_core::{MediaDemand, PeerId, RoomId, shard_hash};

use super::{HttpSession, Input, PeerKey, PublicationKey, Worker};
use crate::publication::{Described, Origin, Publication, SenderClock};

/// Subscribers whom the home serves alone: handing packets over costs something, too.
const AT_HOME: u32 = 12;

/// What one worker has to tell another.
pub(crate) enum Note {
    /// What the rooms ask about a peer that the receiver serves.
    Input(Input),
    /// A track is published, or described anew.
    Published(Box<Published>),
    /// The track that the sender knows by this key is over.
    Unpublished(PublicationKey),
    /// What its publisher reported of its clocks.
    Clock(PublicationKey, SenderClock),
    /// Somebody needs a key frame of the track that the receiver knows by this key.
    KeyframeWanted(PublicationKey),
}

/// A track as an annex has to know it.
pub(crate) struct Published {
    key: PublicationKey,
    room: RoomId,
    peer: PeerId,
    described: Described,
}

/// The worker at which a room's publishers are.
pub(crate) fn home_of(room: &RoomId, workers: u16) -> u16 {
    u16::try_from(shard_hash(room) % u64::from(workers.max(1))).unwrap_or(0)
}

impl Worker {
    pub(super) fn is_home(&self, room: &RoomId) -> bool {
        home_of(room, self.shared.config.workers) == self.index
    }

    fn note(&mut self, to: u16, note: Note) {
        self.notes.push((to, note));
    }

    fn note_demand(&mut self, to: u16, room: &RoomId, demand: MediaDemand) {
        self.note(to, Note::Input(Input::Demand { room: room.clone(), demand }));
    }

    /// Passes a demand on to those who serve the peers that it is about; what is left is to be done here.
    pub(super) fn pass_on(&mut self, room: &RoomId, demand: MediaDemand) -> Option<MediaDemand> {
        if self.shared.config.workers < 2 || !self.is_home(room) {
            return Some(demand);
        }
        match &demand {
            MediaDemand::Resend { peer } | MediaDemand::Subscribe { peer, .. } => {
                self.pass_to_server(room, *peer, demand)
            }
            MediaDemand::Signal { peer, body } if body.pc == Some(PeerConnection::Subscribe) => {
                self.pass_to_server(room, *peer, demand)
            }
            MediaDemand::Mute { .. } => {
                for annex in self.annexes(room) {
                    self.note_demand(annex, room, demand.clone());
                }
                Some(demand)
            }
            _ => Some(demand),
        }
    }

    /// The demand itself when the peer is served here.
    fn pass_to_server(&mut self, room: &RoomId, peer: PeerId, demand: MediaDemand) -> Option<MediaDemand> {
        match self.served_elsewhere(room, peer) {
            Some(annex) => {
                self.note_demand(annex, room, demand);
                None
            }
            None => Some(demand),
        }
    }

    /// The worker that has the peer's subscribing connection, when it is another one.
    pub(super) fn served_elsewhere(&self, room: &RoomId, peer: PeerId) -> Option<u16> {
        let peer = self.peers.get(self.peer_key(room, peer)?)?;
        (peer.served_by != self.index).then_some(peer.served_by)
    }

    /// Passes on what a player asks over HTTP.
    pub(super) fn pass_on_http(&mut self, input: Input) -> Option<Input> {
        let (Input::Offer { room, peer, session: HttpSession::Play { .. }, .. }
        | Input::Fragment { room, peer, .. }) = &input
        else {
            return Some(input);
        };
        let publishes = self.peer_key(room, *peer).and_then(|key| self.peers.get(key)?.publish).is_some();
        match self.served_elsewhere(room, *peer).filter(|_| !publishes) {
            Some(annex) => {
                self.note(annex, Note::Input(input));
                None
            }
            None => Some(input),
        }
    }

    /// Other workers that serve peers of a room whose home this is.
    fn annexes(&self, room: &RoomId) -> Vec<u16> {
        let served = self.rooms.get(room).map(|room| room.served.as_slice()).unwrap_or_default();
        let others = (0..).zip(served).filter(|(worker, peers)| *worker != self.index && **peers > 0);
        others.map(|(worker, _)| worker).collect()
    }

    /// Chooses the worker that serves a peer who has just joined, and tells it.
    pub(super) fn place(&mut self, now_micros: u64, room: &RoomId, key: PeerKey) {
        if self.shared.config.workers < 2 || !self.is_home(room) {
            return;
        }
        let Some(peer) = self.peers.get(key) else { return };
        let (id, role) = (peer.id, peer.role);
        let Some(state) = self.rooms.get_mut(room) else { return };
        state.served.resize(usize::from(self.shared.config.workers), 0);
        let count = |worker: u16| state.served.get(usize::from(worker)).copied().unwrap_or(u32::MAX);
        let home = self.index;
        // Who only publishes receives next to nothing.
        let chosen = if role == Role::Broadcaster || count(home) < AT_HOME {
            home
        } else {
            let others =
                (1..self.shared.config.workers).map(|step| (home + step) % self.shared.config.workers);
            others.fold(home, |best, other| if count(other) < count(best) { other } else { best })
        };
        let is_new = count(chosen) == 0 && chosen != home;
        if let Some(served) = state.served.get_mut(usize::from(chosen)) {
            *served += 1;
        }
        if chosen == home {
            return;
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.served_by = chosen;
        }
        self.note_demand(chosen, room, MediaDemand::Join { peer: id, role });
        if is_new {
            self.open_annex(now_micros, room, chosen);
        }
    }

    /// Tells a worker that is new to a room what is published there.
    fn open_annex(&mut self, now_micros: u64, room: &RoomId, annex: u16) {
        for key in self.rooms.get(room).map(|room| room.order.clone()).unwrap_or_default() {
            for key in self.peers.get(key).map(|peer| peer.publications.clone()).unwrap_or_default() {
                self.announce_to(now_micros, key, annex);
            }
        }
    }

    /// Tells all annexes of its room how a track is described now.
    pub(super) fn announce(&mut self, now_micros: u64, key: PublicationKey) {
        let Some(publication) = self.publications.get(key) else { return };
        let Some(peer) = self.peers.get(publication.peer) else { return };
        let room = peer.room.clone();
        if self.is_home(&room) {
            for annex in self.annexes(&room) {
                self.announce_to(now_micros, key, annex);
            }
        }
    }

    fn announce_to(&mut self, now_micros: u64, key: PublicationKey, annex: u16) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let Some(peer) = self.peers.get(publication.peer) else { return };
        let is_new = !publication.annexes.contains(&annex);
        if is_new {
            publication.annexes.push(annex);
        }
        let described = publication.described();
        let published = Published { key, room: peer.room.clone(), peer: peer.id, described };
        let (clock, muted) = (publication.clock, peer.muted.then(|| (peer.room.clone(), peer.id)));
        self.note(annex, Note::Published(Box::new(published)));
        if let Some((room, peer)) = muted {
            self.note_demand(annex, &room, MediaDemand::Mute { peer, muted: true });
        }
        if let Some(clock) = clock {
            self.note(annex, Note::Clock(key, clock));
        }
        if is_new {
            self.hand_on_entry(now_micros, key, annex);
        }
    }

    /// Tells the annexes that a track is over.
    pub(super) fn retract(&mut self, key: PublicationKey, publication: &Publication) {
        if let Origin::Home { worker, key } = publication.origin {
            self.mirrors.remove(&(worker, key));
        }
        for annex in &publication.annexes {
            self.notes.push((*annex, Note::Unpublished(key)));
        }
    }

    /// Tells the annexes of a room that a peer leaves; one that served nobody else is closed.
    pub(super) fn take_leave(&mut self, room: &RoomId, peer: PeerId, served_by: u16) {
        if self.shared.config.workers < 2 || !self.is_home(room) {
            return;
        }
        let Some(state) = self.rooms.get_mut(room) else { return };
        let mut is_empty = false;
        if let Some(served) = state.served.get_mut(usize::from(served_by)) {
            *served = served.saturating_sub(1);
            is_empty = *served == 0;
        }
        if is_empty && served_by != self.index {
            self.note_demand(served_by, room, MediaDemand::End);
            for publication in self.publications.values_mut() {
                publication.annexes.retain(|annex| {
                    *annex != served_by
                        || self.peers.get(publication.peer).is_none_or(|publisher| publisher.room != *room)
                });
            }
        }
        for annex in self.annexes(room) {
            self.note_demand(annex, room, MediaDemand::Leave { peer });
        }
    }

    /// Takes what another worker has to tell.
    pub(crate) fn handle_note(&mut self, now: Instant, from: u16, note: Note) {
        let now_micros = self.micros(now);
        match note {
            Note::Input(input) => self.handle_input(now, input),
            Note::Published(published) => self.mirror(now_micros, from, *published),
            Note::Unpublished(key) => {
                if let Some(mirror) = self.mirrors.get(&(from, key)).copied() {
                    self.unpublish(mirror);
                }
            }
            Note::Clock(key, clock) => {
                if let Some(mirror) = self.mirrors.get(&(from, key)).copied() {
                    self.on_clock(now_micros, mirror, clock);
                }
            }
            Note::KeyframeWanted(key) => self.want_keyframe(now_micros, key),
        }
        self.negotiate_pending(now_micros);
    }

    /// Makes the mirror of a track, or describes it anew.
    fn mirror(&mut self, now_micros: u64, from: u16, published: Published) {
        let Published { key, room, peer, described } = published;
        if let Some(mirror) = self.mirrors.get(&(from, key)).and_then(|key| self.publications.get_mut(*key)) {
            mirror.codecs = described.codecs;
            return;
        }
        // Without the room its last peer here has left meanwhile.
        let Some(owner) = self.publisher_of_mirror(&room, peer, from) else { return };
        let mirror = Publication::new(owner, Origin::Home { worker: from, key }, described);
        let mirror = self.publications.insert(mirror);
        self.mirrors.insert((from, key), mirror);
        if let Some(owner) = self.peers.get_mut(owner) {
            owner.publications.push(mirror);
        }
        self.on_published(now_micros, mirror);
    }
}
