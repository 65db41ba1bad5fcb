//! Handles requests from the rooms and from WHIP and WHEP clients.

use std::sync::Arc;

use signaling_core::message::{Attention, Role};
use signaling_core::{HttpOffer, HttpSession, MediaDemand, MediaEvent, PeerId, Reach, RoomId};

use super::{Input, NegotiationError, Shard};
use crate::keys::{PeerKey, SubscriptionKey, TransportKey};
use crate::time::Micros;
use crate::transport::Transport;

impl Shard {
    pub(super) fn on_input(&mut self, now: Micros, input: Input) {
        let Some(input) = self.pass_on_http(input) else { return };
        match input {
            Input::Demand { room, demand } => self.on_demand(now, &room, demand),
            Input::Offer { offer, reply } => {
                let HttpOffer { room, peer, session, sdp, via } = offer;
                let key = self.rooms.find(&room, peer).ok_or(NegotiationError::UnknownPeer);
                reply(key.and_then(|key| {
                    self.become_http(key, session);
                    match session {
                        HttpSession::Publish => self.on_publish_offer(now, key, &sdp, via),
                        HttpSession::Play { .. } => self.on_play_offer(now, key, &sdp, via),
                    }
                }));
            }
            Input::Patch { patch, reply } => {
                let key = self.rooms.find(&patch.room, patch.peer).ok_or(NegotiationError::UnknownPeer);
                reply(key.and_then(|key| self.on_patch(key, &patch)));
            }
            Input::Reach { room, peer, reply } => {
                reply(Ok(self.reach(&room, peer).unwrap_or_default()));
            }
            Input::Statistics { room, reply } => reply(Ok(self.statistics(now, &room))),
            Input::Record { room, tap } => self.on_record(now, &room, tap),
            Input::Keyframe { room, track } => self.on_recorder_wish(now, &room, &track),
        }
        self.negotiate_pending(now);
    }

    /// What has arrived of a peer, on the connections of this shard.
    fn reach(&self, room: &RoomId, peer: PeerId) -> Option<Reach> {
        let peer = self.rooms.peer(self.rooms.find(room, peer)?)?;
        let reached = |key: Option<TransportKey>| self.connections.get(key?).map(Transport::reached);
        Some(Reach { publish: reached(peer.publish), subscribe: reached(peer.subscribe) })
    }

    fn on_demand(&mut self, now: Micros, room: &RoomId, demand: MediaDemand) {
        let Some(demand) = self.pass_on(room, demand) else { return };
        let find = |peer| self.rooms.find(room, peer);
        match demand {
            MediaDemand::Join { peer, role } => self.join(now, room, peer, role),
            MediaDemand::Leave { peer } => {
                if let Some(key) = find(peer) {
                    self.remove_peer(key);
                }
            }
            MediaDemand::Offer { peer, sdp, negotiation } => {
                if let Some(key) = find(peer) {
                    self.on_signaled_offer(now, key, &sdp, negotiation);
                }
            }
            MediaDemand::Answer { peer, sdp, negotiation } => {
                if let Some(key) = find(peer) {
                    self.on_answer(now, key, &sdp, negotiation);
                }
            }
            MediaDemand::RestartIce { peer } => {
                if let Some(key) = find(peer) {
                    self.restart_ice(key);
                }
            }
            MediaDemand::Resend { peer } => {
                if let Some(key) = find(peer) {
                    self.resend(key);
                }
            }
            MediaDemand::Returned { peer } => {
                for track in find(peer).map(|key| self.rooms.publications(key)).unwrap_or_default() {
                    self.tell_watched(track);
                }
            }
            MediaDemand::Publish { peer, tracks } => {
                if let Some(state) = self.rooms.find_mut(room, peer) {
                    state.announced = tracks;
                }
            }
            MediaDemand::Subscribe { peer, track, attention } => {
                if let Some(key) = find(peer) {
                    self.on_attention(key, track, attention);
                }
            }
            MediaDemand::Mute { peer, muted } => {
                if let Some(state) = self.rooms.find_mut(room, peer) {
                    state.is_muted = muted;
                }
            }
            MediaDemand::End => {
                for key in self.rooms.members(room) {
                    self.remove_peer(key);
                }
                self.rooms.end(room);
            }
            // Demands for the recorder, which receives them by another route, and demands added to the core later.
            _ => {}
        }
    }

    fn join(&mut self, now: Micros, room: &RoomId, id: PeerId, role: Role) {
        if let Some(key) = self.rooms.find(room, id) {
            let (is_home, index) = (self.is_home(room), self.index);
            let Some(peer) = self.rooms.peer_mut(key) else { return };
            peer.role = role;
            if !is_home {
                // Until now this shard knew the peer only as a publisher; from now on it also serves the peer.
                peer.served_by = index;
                self.renegotiate.push(key);
            }
            return;
        }
        if self.rooms.room(room).is_some_and(|room| room.members().len() >= self.config.max_peers_per_room) {
            self.events.push_back((room.clone(), MediaEvent::Failed { peer: id }));
            return;
        }
        let key = self.rooms.add(room, id, role, self.index);
        self.place(now, room, key);
        self.renegotiate.push(key);
    }

    fn remove_peer(&mut self, key: PeerKey) {
        let Some(peer) = self.rooms.peer(key) else { return };
        let (id, room, served_by) = (peer.id, peer.room.clone(), peer.served_by);
        for transport in [peer.publish, peer.subscribe].into_iter().flatten() {
            self.close_transport(transport);
        }
        // Mirrors have no transport here.
        for mirror in self.rooms.publications(key) {
            self.unpublish(mirror);
        }
        self.take_leave(&room, id, served_by);
        self.rooms.remove(key);
    }

    /// A peer turns out to be a WHIP or WHEP client only with its first offer. It has not received any offer made to it
    /// before, so the subscribing connection is closed.
    fn become_http(&mut self, key: PeerKey, session: HttpSession) {
        let Some(peer) = self.rooms.peer_mut(key) else { return };
        let is_new = peer.http.replace(session).is_none();
        if let Some(transport) = peer.subscribe.filter(|_| is_new) {
            self.close_transport(transport);
        }
    }

    fn on_attention(&mut self, key: PeerKey, track: Arc<str>, attention: Attention) {
        let publications = &self.tracks.publications;
        let known = publications.iter().find(|(_, publication)| publication.id == track).map(|(key, _)| key);
        let (Some(publication), Some(peer)) = (known, self.rooms.peer_mut(key)) else { return };
        peer.attention.insert(track, attention);
        self.tracks.changed.push(publication);
        let sections = peer.subscribe.map(|transport| self.connections.sends(transport)).unwrap_or_default();
        let is_sent = |section: &SubscriptionKey| self.tracks.sent_in(*section) == Some(publication);
        let Some(section) = sections.into_iter().find(is_sent) else { return };
        let Some(state) = self.tracks.subscription_mut(section) else { return };
        let was_wanted = state.flow.wanted;
        if !state.attend(&attention) {
            return;
        }
        if state.flow.wanted != was_wanted {
            state.leave();
        }
        self.tracks.choose_for(section);
        self.tracks.start(section);
    }
}
