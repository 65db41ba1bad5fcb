//! Rooms and peers: who is there, and what is asked of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use signaling_core::message::{Attention, PeerConnection, PublishTrack, Role};
use signaling_core::{MediaDemand, MediaEvent, PeerId, RoomId};

use super::{HttpSession, Input, NegotiationError, PeerKey, PublicationKey, TransportKey, Worker};
use crate::codec::MediaKind;
use crate::tap::{Tap, TapEvent};

/// A room as the media server sees it.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) peers: HashMap<PeerId, PeerKey>,
    /// In the order of joining: the first publisher is the first here.
    pub(crate) order: Vec<PeerKey>,
    /// At home: how many peers each worker serves.
    pub(super) served: Vec<u32>,
    pub(super) speaking: bool,
    /// The room is recorded.
    pub(super) tap: Option<Arc<dyn Tap>>,
}

/// A peer that uses the media server.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) role: Role,
    /// What the tracks of the next offer are.
    pub(crate) announced: Arc<[PublishTrack]>,
    pub(crate) publish: Option<TransportKey>,
    pub(crate) subscribe: Option<TransportKey>,
    pub(crate) publications: Vec<PublicationKey>,
    pub(super) muted: bool,
    pub(super) flowing: bool,
    /// The worker that has the subscribing connection.
    pub(super) served_by: u16,
    /// What the peer wants of single tracks.
    pub(crate) attention: HashMap<Arc<str>, Attention>,
    /// A WHIP or WHEP client, whom we cannot make offers.
    pub(crate) http: Option<HttpSession>,
}

impl Peer {
    /// Whether a host has silenced this kind of track.
    pub(crate) fn silences(&self, kind: MediaKind) -> bool {
        self.muted && kind == MediaKind::Audio
    }

    /// Whether the peer wants this track.
    pub(crate) fn wants(&self, track: &str) -> bool {
        self.attention.get(track).and_then(|attention| attention.enabled).unwrap_or(true)
    }
}

impl Worker {
    /// Carries out what the outside asks.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let now_micros = self.micros(now);
        let Some(input) = self.pass_on_http(input) else { return };
        match input {
            Input::Demand { room, demand } => self.on_demand(now, &room, demand),
            Input::Offer { room, peer, session, sdp, via, reply } => {
                let result = match self.peer_key(&room, peer) {
                    None => Err(NegotiationError::UnknownPeer),
                    Some(key) => {
                        self.become_http(key, session);
                        match session {
                            HttpSession::Publish => self.on_publish_offer(now, key, &sdp, via),
                            HttpSession::Play { .. } => self.on_play_offer(now, key, &sdp, via),
                        }
                    }
                };
                reply(result);
            }
            Input::Fragment { room, peer, ice_sessions, sdp, reply } => {
                let key = self.peer_key(&room, peer).ok_or(NegotiationError::UnknownPeer);
                reply(key.and_then(|key| self.on_fragment(key, ice_sessions.as_deref(), &sdp)));
            }
            Input::Record { room, tap } => self.on_record(now_micros, &room, tap),
            Input::Keyframe { room, track } => self.on_recorder_wish(now_micros, &room, &track),
        }
        self.negotiate_pending(now_micros);
    }

    fn on_demand(&mut self, now: Instant, room: &RoomId, demand: MediaDemand) {
        let now_micros = self.micros(now);
        let Some(demand) = self.pass_on(room, demand) else { return };
        match demand {
            MediaDemand::Join { peer, role } => self.join(now_micros, room, peer, role),
            MediaDemand::Leave { peer } => {
                if let Some(key) = self.peer_key(room, peer) {
                    self.remove_peer(key);
                }
            }
            MediaDemand::Signal { peer, body } => {
                if let Some(key) = self.peer_key(room, peer) {
                    self.on_signal(now, key, &body);
                }
            }
            MediaDemand::Resend { peer } => {
                if let Some(key) = self.peer_key(room, peer) {
                    self.resend(key);
                }
            }
            MediaDemand::Publish { peer, tracks } => {
                if let Some(state) = self.peer_key(room, peer).and_then(|key| self.peers.get_mut(key)) {
                    state.announced = tracks;
                }
            }
            MediaDemand::Subscribe { peer, track, attention } => {
                if let Some(key) = self.peer_key(room, peer) {
                    self.on_attention(key, track, attention);
                }
            }
            MediaDemand::Mute { peer, muted } => {
                if let Some(state) = self.peer_key(room, peer).and_then(|key| self.peers.get_mut(key)) {
                    state.muted = muted;
                }
            }
            MediaDemand::End => {
                let peers = self.rooms.get(room).map(|room| room.order.clone()).unwrap_or_default();
                for key in peers {
                    self.remove_peer(key);
                }
                if let Some(tap) = self.rooms.remove(room).and_then(|room| room.tap) {
                    tap.take(TapEvent::Ended);
                }
            }
            // What is for the recorder, which hears of it elsewhere, and what is new in the core.
            _ => {}
        }
    }

    fn join(&mut self, now_micros: u64, room: &RoomId, id: PeerId, role: Role) {
        let (limit, is_home) = (self.shared.config.max_peers_per_room, self.is_home(room));
        let state = self.rooms.entry(room.clone()).or_default();
        if let Some(key) = state.peers.get(&id) {
            if let Some(peer) = self.peers.get_mut(*key) {
                peer.role = role;
                if !is_home {
                    // Known as a publisher until now; from now on this worker serves it, too.
                    peer.served_by = self.index;
                    self.renegotiate.push(*key);
                }
            }
            return;
        }
        if state.order.len() >= limit {
            self.events.push_back((room.clone(), MediaEvent::Failed { peer: id }));
            return;
        }
        let key = self.add_peer(room, id, role, self.index);
        self.place(now_micros, room, key);
        self.renegotiate.push(key);
    }

    fn add_peer(&mut self, room: &RoomId, id: PeerId, role: Role, served_by: u16) -> PeerKey {
        let key = self.peers.insert(Peer {
            id,
            room: room.clone(),
            role,
            announced: Arc::new([]),
            publish: None,
            subscribe: None,
            publications: Vec::new(),
            muted: false,
            flowing: false,
            served_by,
            attention: HashMap::new(),
            http: None,
        });
        let state = self.rooms.entry(room.clone()).or_default();
        state.peers.insert(id, key);
        state.order.push(key);
        key
    }

    /// The publisher of a mirrored track, whom another worker serves unless this one does.
    pub(super) fn publisher_of_mirror(&mut self, room: &RoomId, id: PeerId, home: u16) -> Option<PeerKey> {
        let known = self.rooms.get(room)?.peers.get(&id).copied();
        Some(known.unwrap_or_else(|| self.add_peer(room, id, Role::Participant, home)))
    }

    /// Only with its first offer a peer turns out to be a client of WHIP or WHEP. What was offered to it before, it has
    /// never heard of.
    fn become_http(&mut self, key: PeerKey, session: HttpSession) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let is_new = peer.http.replace(session).is_none();
        let unheard = peer.subscribe.filter(|_| is_new);
        if let Some(transport) = unheard {
            self.close_transport(transport);
        }
    }

    pub(super) fn peer_key(&self, room: &RoomId, peer: PeerId) -> Option<PeerKey> {
        self.rooms.get(room)?.peers.get(&peer).copied()
    }

    fn remove_peer(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let (id, room, served_by) = (peer.id, peer.room.clone(), peer.served_by);
        for transport in [peer.publish, peer.subscribe].into_iter().flatten() {
            self.close_transport(transport);
        }
        // Mirrors have no transport here.
        for mirror in self.peers.get(key).map(|peer| peer.publications.clone()).unwrap_or_default() {
            self.unpublish(mirror);
        }
        self.take_leave(&room, id, served_by);
        let Some(peer) = self.peers.remove(key) else { return };
        if let Some(room) = self.rooms.get_mut(&peer.room) {
            room.peers.remove(&peer.id);
            room.order.retain(|other| *other != key);
            if let Some(tap) = &room.tap {
                tap.take(TapEvent::Left(peer.id));
            } else if room.order.is_empty() {
                self.rooms.remove(&peer.room);
            }
        }
    }

    fn on_signal(&mut self, now: Instant, key: PeerKey, body: &signaling_core::message::SignalBody) {
        match (body.pc, &body.description) {
            (Some(PeerConnection::Publish), Some(description)) => {
                self.on_publish_signal(now, key, description, body);
            }
            (Some(PeerConnection::Subscribe), Some(description)) => {
                self.on_subscribe_answer(now, key, description, body.negotiation);
            }
            (Some(PeerConnection::Subscribe), None) if body.restart == Some(true) => {
                let now_micros = self.micros(now);
                self.restart_subscribe(now_micros, key);
            }
            // A lite agent has no use for candidates.
            _ => {}
        }
    }
}
