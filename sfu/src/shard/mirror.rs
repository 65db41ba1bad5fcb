//! Rooms that are served by several shards.
//!
//! A room has one home, the shard that its name hashes to, where all publishers are connected. When a room has grown,
//! its subscribers are distributed: the subscribing connection of a further peer is placed on another shard, an annex
//! of the room. An annex holds the peers that it serves and, for each track of the room, a mirror: a publication whose
//! packets arrive in batches from the home and are forwarded to the annex's subscribers in the usual way. State changes
//! arrive as notes, in order. The placement of a peer depends only on the order of joining and leaving.

use signaling_core::{HttpSession, MediaDemand, PeerId, RoomId};
use smallvec::SmallVec;

use super::message::{Content, MirroredPacket, Note, Published};
use super::rooms::{Placement, home_of};
use super::{Input, Shard};
use crate::keys::{PeerKey, PublicationKey};
use crate::layer::{LayerState, MAX_LAYERS};
use crate::publication::{Audience, Origin, Publication};
use crate::time::Micros;

impl Shard {
    pub(super) fn is_home(&self, room: &RoomId) -> bool {
        home_of(room, self.config.shards) == self.index
    }

    /// Whether other shards may serve peers of this room on behalf of this shard.
    fn may_have_annexes(&self, room: &RoomId) -> bool {
        self.links.exist() && self.is_home(room)
    }

    pub(super) fn note(&mut self, to: u16, note: Note) {
        self.links.send(to, Content::Note(note));
    }

    fn note_demand(&mut self, to: u16, room: &RoomId, demand: MediaDemand) {
        self.note(to, Note::Input(Input::Demand { room: room.clone(), demand }));
    }

    /// Forwards a demand to the shards that serve the peers concerned. Returns it if this shard has to handle it.
    pub(super) fn pass_on(&mut self, room: &RoomId, demand: MediaDemand) -> Option<MediaDemand> {
        if !self.may_have_annexes(room) {
            return Some(demand);
        }
        match &demand {
            MediaDemand::Resend { peer }
            | MediaDemand::Subscribe { peer, .. }
            | MediaDemand::Answer { peer, .. }
            | MediaDemand::RestartIce { peer } => {
                let Some(annex) = self.served_elsewhere(room, *peer) else { return Some(demand) };
                self.note_demand(annex, room, demand);
                None
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

    /// The shard that has the peer's subscribing connection, if it is not this one.
    fn served_elsewhere(&self, room: &RoomId, peer: PeerId) -> Option<u16> {
        let peer = self.rooms.peer(self.rooms.find(room, peer)?)?;
        (peer.served_by != self.index).then_some(peer.served_by)
    }

    /// Forwards the HTTP request of a player to the shard that serves it.
    pub(super) fn pass_on_http(&mut self, input: Input) -> Option<Input> {
        let (room, peer) = match &input {
            Input::Offer { offer, .. } if offer.session != HttpSession::Publish => (&offer.room, offer.peer),
            Input::Patch { patch, .. } => (&patch.room, patch.peer),
            _ => return Some(input),
        };
        let publishes = self.rooms.find(room, peer).and_then(|key| self.rooms.peer(key)?.publish).is_some();
        let Some(annex) = self.served_elsewhere(room, peer).filter(|_| !publishes) else {
            return Some(input);
        };
        self.note(annex, Note::Input(input));
        None
    }

    pub(super) fn annexes(&self, room: &RoomId) -> Vec<u16> {
        self.rooms.annexes(room, self.index)
    }

    /// Chooses the shard that serves a peer that has just joined, and notifies that shard.
    pub(super) fn place(&mut self, now: Micros, room: &RoomId, key: PeerKey) {
        if !self.may_have_annexes(room) {
            return;
        }
        let Some(Placement { shard, is_new }) = self.rooms.place(key, self.index, self.config.shards) else {
            return;
        };
        let Some(peer) = self.rooms.peer(key).filter(|_| shard != self.index) else { return };
        let join = MediaDemand::Join { peer: peer.id, role: peer.role };
        self.note_demand(shard, room, join);
        if is_new {
            for peer in self.rooms.members(room) {
                for track in self.rooms.publications(peer) {
                    self.announce_to(now, track, shard);
                }
            }
        }
    }

    /// Sends the current description of a track to all annexes of its room.
    pub(super) fn announce(&mut self, now: Micros, key: PublicationKey) {
        let publisher = self.tracks.publication(key).and_then(|track| self.rooms.peer(track.peer));
        let Some(room) = publisher.map(|peer| peer.room.clone()) else { return };
        if self.is_home(&room) {
            for annex in self.annexes(&room) {
                self.announce_to(now, key, annex);
            }
        }
    }

    fn announce_to(&mut self, now: Micros, key: PublicationKey, annex: u16) {
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let Some(peer) = self.rooms.peer(publication.peer) else { return };
        let is_new = !publication.annexes.contains(&annex);
        if is_new {
            publication.annexes.push(annex);
        }
        if is_new && !publication.is_simulcast() {
            publication.layers.iter_mut().for_each(|layer| layer.annexes.push(annex));
        }
        let (audience, lead_micros) = (publication.audience, publication.lead_micros);
        let described = publication.described();
        let published = Published { key, room: peer.room.clone(), peer: peer.id, described };
        let clocks: SmallVec<[_; MAX_LAYERS]> = publication.layers.iter().map(|layer| layer.clock).collect();
        let states = publication.layers.iter().map(|layer| layer.state).collect();
        let (is_simulcast, muted) =
            (publication.is_simulcast(), peer.is_muted.then(|| (peer.room.clone(), peer.id)));
        self.note(annex, Note::Published(Box::new(published)));
        if audience == Audience::Few {
            self.note(annex, Note::Audience(key, audience, lead_micros));
        }
        if let Some((room, peer)) = muted {
            self.note_demand(annex, &room, MediaDemand::Mute { peer, muted: true });
        }
        for (at, clock) in clocks.into_iter().enumerate() {
            if let Some(clock) = clock {
                self.note(annex, Note::Clock(key, at, clock));
            }
        }
        if is_simulcast {
            self.note(annex, Note::Layers(key, states));
        } else if is_new {
            self.mirror_entry(now, key, 0, annex);
        }
    }

    /// Tells the annexes of a room that a peer leaves; an annex that has served its last peer is closed.
    pub(super) fn take_leave(&mut self, room: &RoomId, peer: PeerId, served_by: u16) {
        if !self.may_have_annexes(room) {
            return;
        }
        let is_empty = self.rooms.unplace(room, served_by);
        if is_empty && served_by != self.index {
            self.note_demand(served_by, room, MediaDemand::End);
            for publication in self.tracks.publications.values_mut() {
                let is_here = self.rooms.peer(publication.peer).is_some_and(|peer| peer.room == *room);
                if is_here {
                    publication.annexes.retain(|annex| *annex != served_by);
                    for layer in &mut publication.layers {
                        layer.annexes.retain(|annex| *annex != served_by);
                    }
                }
            }
        }
        for annex in self.annexes(room) {
            self.note_demand(annex, room, MediaDemand::Leave { peer });
        }
    }

    /// Handles a note from another shard.
    pub(super) fn on_note(&mut self, now: Micros, from: u16, note: Note) {
        match note {
            Note::Input(input) => self.on_input(now, input),
            Note::Published(published) => self.mirror(now, from, *published),
            Note::Unpublished(key) => {
                if let Some(mirror) = self.tracks.mirror(from, key) {
                    self.unpublish(mirror);
                }
            }
            Note::Clock(key, at, clock) => {
                if let Some(mirror) = self.tracks.mirror(from, key) {
                    self.on_clock(now, mirror, at, clock);
                }
            }
            Note::Layers(key, states) => {
                if let Some(mirror) = self.tracks.mirror(from, key) {
                    self.on_layers(mirror, &states);
                }
            }
            Note::Audience(key, audience, lead_micros) => {
                if let Some(mirror) = self.tracks.mirror(from, key) {
                    self.on_audience(mirror, audience, lead_micros);
                }
            }
            Note::LayerWanted(key, at, wanted) => self.on_layer_wanted(now, from, key, at, wanted),
            Note::Lost { room, peer, is_lost } => {
                if let Some(key) = self.rooms.find(&room, peer) {
                    self.set_lost(now, key, is_lost);
                }
            }
            Note::KeyframeWanted(key, at) => self.want_keyframe(now, key, at),
        }
        self.negotiate_pending(now);
    }

    /// Creates the mirror of a track, or updates its description.
    fn mirror(&mut self, now: Micros, home: u16, published: Published) {
        let Published { key, room, peer, described } = published;
        if let Some(mirror) = self.tracks.mirror(home, key) {
            if let Some(mirror) = self.tracks.publication_mut(mirror) {
                mirror.codecs = described.codecs;
            }
            return;
        }
        // Without the room, the last peer served here has left in the meantime.
        let Some(state) = self.rooms.room(&room) else { return };
        let owner = state
            .find(peer)
            .unwrap_or_else(|| self.rooms.add(&room, peer, signaling_core::message::Role::Participant, home));
        let mirror =
            self.tracks.publish(Publication::new(owner, Origin::Home { shard: home, key }, described));
        if let Some(owner) = self.rooms.peer_mut(owner) {
            owner.publications.push(mirror);
        }
        self.on_published(now, mirror);
    }

    /// Copies the packets received since the last call for the annexes of their tracks.
    pub(super) fn mirror_pending(&mut self, now: Micros) {
        if !self.links.exist() {
            return;
        }
        for (key, at) in &self.tracks.dirty {
            let publication = self.tracks.publications.get_mut(*key);
            let Some(layer) = publication.and_then(|track| track.layer_mut(*at)) else { continue };
            let new = layer.pending.get(layer.mirrored..).unwrap_or_default();
            for annex in &layer.annexes {
                let Some(batch) = self.links.media_mut(*annex) else { continue };
                for packet in new.iter().filter_map(|position| layer.ring.packet(*position)) {
                    batch.push((*key, *at), &packet, now);
                }
            }
            layer.mirrored = layer.pending.len();
        }
    }

    /// Copies the packets from the newest key frame on to an annex that is new to a layer. What has not been copied to
    /// other annexes yet follows with the rest.
    fn mirror_entry(&mut self, now: Micros, key: PublicationKey, at: usize, annex: u16) {
        let publication = self.tracks.publications.get(key);
        let Some(layer) = publication.and_then(|track| track.layer(at)) else { return };
        let Some(batch) = self.links.media_mut(annex) else { return };
        let Some(entry) = layer.fresh_entry(now) else { return };
        for packet in layer.ring.since(entry.position) {
            batch.push((key, at), &packet, entry.arrived_at());
        }
    }

    /// Starts or stops to send a layer to an annex.
    fn on_layer_wanted(&mut self, now: Micros, annex: u16, key: PublicationKey, at: usize, wanted: bool) {
        let publication = self.tracks.publications.get_mut(key);
        let Some(track) = publication.filter(|track| track.annexes.contains(&annex)) else { return };
        let Some(layer) = track.layer_mut(at) else { return };
        let is_sent = layer.annexes.contains(&annex);
        if wanted && !is_sent {
            layer.annexes.push(annex);
            self.mirror_entry(now, key, at, annex);
        } else if !wanted {
            layer.annexes.retain(|other| *other != annex);
        }
        self.note_watched(now, key);
    }

    /// Records what the home tells of the layers of a track.
    fn on_layers(&mut self, key: PublicationKey, states: &[LayerState]) {
        let Some(publication) = self.tracks.publications.get_mut(key) else { return };
        for (layer, state) in publication.layers.iter_mut().zip(states) {
            layer.state = *state;
        }
        self.tracks.changed.push(key);
    }

    /// Handles a packet from the home of its room.
    pub(super) fn on_mirrored(
        &mut self,
        now: Micros,
        from: u16,
        packet: &MirroredPacket,
        extensions: &[u8],
        payload: &[u8],
    ) {
        let Some(key) = self.tracks.mirror(from, packet.publication) else { return };
        let Some(mirror) = self.tracks.publications.get_mut(key) else { return };
        let Some(codec) = mirror.codec_of(packet.info.payload_type) else { return };
        let Some(layer) = mirror.layer_mut(packet.layer) else { return };
        layer.generation = packet.info.generation;
        layer.rate.add(now, payload.len() as u64);
        if packet.info.starts_picture {
            layer.on_entry(&packet.info, packet.at);
        }
        if layer.ring.insert(now, packet.info, extensions, payload) {
            if layer.pending.is_empty() {
                self.tracks.dirty.push((key, packet.layer));
            }
            layer.pending.push(packet.info.position);
        }
        if mirror.codec != codec {
            mirror.codec = codec;
            self.renegotiate_receivers(key);
        }
    }
}
