//! Rooms and peers: who is there, what they publish, and who gets it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use signaling_core::message::{Attention, PeerConnection, PeerLevel, PublishTrack, Role, TrackKind};
use signaling_core::{MediaDemand, MediaEvent, PeerId, RoomId};

use super::spread::home_of;
use super::{
    HttpSession, Input, NegotiationError, PeerKey, PublicationKey, SubscriptionKey, TransportKey, Worker,
};
use crate::codec::MediaKind;
use crate::ice::Credentials;
use crate::publication::Origin;
use crate::tap::{Tap, TapEvent};
use crate::transport::{Negotiation, Purpose, Section, Transport};

/// Who speaks is told this often, while somebody does.
const SPEAKERS_INTERVAL_MICROS: u64 = 500_000;
/// A publisher that sends nothing for so long has stopped.
const SILENCE_MICROS: u64 = 5_000_000;
/// The level from which somebody counts as speaking.
const SPEAKING: f32 = 0.3;
const MAX_SPEAKERS: usize = 5;

/// A room as the media server sees it.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) peers: HashMap<PeerId, PeerKey>,
    /// In the order of joining: the first publisher is the first here.
    pub(crate) order: Vec<PeerKey>,
    /// At home: how many peers each worker serves.
    pub(super) served: Vec<u32>,
    speaking: bool,
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
    flowing: bool,
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
        let Some(demand) = self.pass_on(room, demand) else { return };
        match demand {
            MediaDemand::Join { peer, role } => self.join(room, peer, role),
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
                    self.on_attention(now, key, track, attention);
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

    fn join(&mut self, room: &RoomId, id: PeerId, role: Role) {
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
        self.place(room, key);
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

    /// Makes an empty transport for a peer.
    pub(super) fn open_transport(
        &mut self,
        now: Instant,
        peer: PeerKey,
        purpose: Purpose,
        via: Option<IpAddr>,
    ) -> TransportKey {
        let now_micros = self.micros(now);
        let credentials = Credentials::generate(self.index, &mut self.rng);
        let ufrag = credentials.ufrag.clone();
        let (session, local_ssrc) = (u64::from(self.random_u32()), self.random_u32());
        let key = self.transports.insert(Transport {
            peer,
            purpose,
            credentials: vec![credentials],
            remote_ufrag: String::new(),
            fingerprint: None,
            remote: None,
            addresses: Vec::new(),
            via,
            handshake: None,
            handshake_due: None,
            keys: None,
            last_check: now_micros,
            sections: Vec::new(),
            session,
            version: 0,
            local_ssrc,
            routes: HashMap::default(),
            arrivals: crate::arrivals::Arrivals::default(),
            sender: crate::sender::Sender::default(),
            negotiation: Negotiation::default(),
            payload_types: Vec::new(),
            scheduled: u64::MAX,
            next_report: 0,
            probing: crate::transport::Probing::default(),
        });
        self.by_ufrag.insert(ufrag, key);
        if let Some(state) = self.peers.get_mut(peer) {
            match purpose {
                Purpose::Publish => state.publish = Some(key),
                Purpose::Subscribe => state.subscribe = Some(key),
            }
        }
        let consent = u64::try_from(self.shared.config.consent_timeout.as_micros()).unwrap_or(u64::MAX);
        self.schedule(key, now_micros.saturating_add(consent));
        key
    }

    /// Ends a transport and all that goes over it.
    pub(super) fn close_transport(&mut self, key: TransportKey) {
        let Some(mut transport) = self.transports.remove(key) else { return };
        if let (Some(to), Some(handshake)) = (transport.destination(), transport.handshake.as_mut()) {
            handshake.close();
            while let Ok(crate::dtls::DtlsEvent::Transmit(len)) = handshake.poll(&mut self.dtls_buf) {
                if let Some(packet) = self.dtls_buf.get(..len) {
                    self.egress.push_copy(to, packet);
                }
            }
        }
        for credentials in &transport.credentials {
            self.by_ufrag.remove(&credentials.ufrag);
        }
        for path in &transport.addresses {
            if self.by_address.get(&path.remote) == Some(&key) {
                self.by_address.remove(&path.remote);
            }
        }
        for section in &transport.sections {
            match section {
                Section::Receive { publication: Some(publication), .. } => self.unpublish(*publication),
                Section::Send { subscription, .. } => self.detach(*subscription, true),
                _ => {}
            }
        }
        if let Some(peer) = self.peers.get_mut(transport.peer) {
            match transport.purpose {
                Purpose::Publish => peer.publish = None,
                Purpose::Subscribe => peer.subscribe = None,
            }
            if transport.purpose == Purpose::Publish {
                self.tell_tracks(transport.peer);
                self.set_flowing(transport.peer, false);
            }
        }
    }

    /// The client has closed its connection.
    pub(super) fn on_closed(&mut self, key: TransportKey) {
        self.tell_http(key, |peer| MediaEvent::Closed { peer });
        self.close_transport(key);
    }

    /// No check has come for too long: nothing more is sent (RFC 7675). A client of WHIP or WHEP may come back to its
    /// transport, with an ICE restart or without; others make a new one.
    pub(super) fn on_consent_lost(&mut self, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let owner = transport.peer;
        if self.peers.get(owner).is_none_or(|peer| peer.http.is_none()) {
            tracing::info!("a peer's ICE consent expired");
            self.fail_transport(key);
            return;
        }
        if transport.addresses.is_empty() {
            return;
        }
        tracing::info!("a WHIP or WHEP session's ICE consent expired");
        transport.remote = None;
        for path in std::mem::take(&mut transport.addresses) {
            if self.by_address.get(&path.remote) == Some(&key) {
                self.by_address.remove(&path.remote);
            }
        }
        self.stop_flowing(owner);
        self.tell_http(key, |peer| MediaEvent::Failed { peer });
    }

    /// Tells the room something of a client of WHIP or WHEP.
    fn tell_http(&mut self, key: TransportKey, event: impl FnOnce(PeerId) -> MediaEvent) {
        let owner = self.transports.get(key).and_then(|transport| self.peers.get(transport.peer));
        if let Some(peer) = owner.filter(|peer| peer.http.is_some()) {
            self.events.push_back((peer.room.clone(), event(peer.id)));
        }
    }

    /// Notices that a publisher sends nothing any more.
    pub(super) fn note_silence(&mut self, now_micros: u64, key: TransportKey) {
        let Some(owner) = self.transports.get(key).map(|transport| transport.peer) else { return };
        let Some(peer) = self.peers.get(owner).filter(|peer| peer.flowing) else { return };
        let mut last =
            peer.publications.iter().filter_map(|track| self.publications.get(*track)?.last_packet);
        if !last.any(|at| at.saturating_add(SILENCE_MICROS) > now_micros) {
            self.stop_flowing(owner);
        }
    }

    /// Nothing flows; the next packet counts as the first.
    fn stop_flowing(&mut self, key: PeerKey) {
        let tracks = self.peers.get(key).map(|peer| peer.publications.clone()).unwrap_or_default();
        for track in tracks {
            if let Some(publication) = self.publications.get_mut(track) {
                publication.last_packet = None;
            }
        }
        self.set_flowing(key, false);
    }

    /// A transport that failed without anybody's wish.
    pub(super) fn fail_transport(&mut self, key: TransportKey) {
        let Some(transport) = self.transports.get(key) else { return };
        let peer = transport.peer;
        self.close_transport(key);
        if let Some(peer) = self.peers.get(peer) {
            self.events.push_back((peer.room.clone(), MediaEvent::Failed { peer: peer.id }));
        }
    }

    pub(super) fn on_connected(&mut self, now: Instant, key: TransportKey) {
        let now_micros = self.micros(now);
        self.tell_http(key, |peer| MediaEvent::Connected { peer });
        let Some(transport) = self.transports.get(key) else { return };
        let wanted: Vec<_> = transport
            .sections
            .iter()
            .filter_map(|section| match section {
                Section::Send { subscription, .. } => self.subscriptions.get(*subscription)?.publication,
                _ => None,
            })
            .collect();
        for publication in wanted {
            self.want_keyframe(now_micros, publication);
        }
        self.schedule(key, now_micros);
    }

    /// The first packet of a track, or one of another codec than before.
    pub(super) fn on_first_media(&mut self, key: PublicationKey, codec_changed: bool) {
        let Some(publication) = self.publications.get(key) else { return };
        let peer = publication.peer;
        if codec_changed {
            self.tell_tracks(peer);
            let subscribers = self.subscribers_of(key);
            self.renegotiate.extend(subscribers);
        }
        self.set_flowing(peer, true);
    }

    pub(super) fn subscribers_of(&self, key: PublicationKey) -> Vec<PeerKey> {
        let Some(publication) = self.publications.get(key) else { return Vec::new() };
        let transport = |key: &SubscriptionKey| Some(self.subscriptions.get(*key)?.transport);
        let subscribers = publication.subscriptions.iter().filter_map(transport);
        subscribers.filter_map(|transport| Some(self.transports.get(transport)?.peer)).collect()
    }

    fn set_flowing(&mut self, key: PeerKey, flowing: bool) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.flowing != flowing {
            peer.flowing = flowing;
            self.events.push_back((peer.room.clone(), MediaEvent::Flowing { peer: peer.id, flowing }));
        }
    }

    /// Tells the room what the peer publishes now.
    pub(super) fn tell_tracks(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let tracks = peer
            .publications
            .iter()
            .filter_map(|publication| {
                self.publications.get(*publication).map(super::super::publication::Publication::describe)
            })
            .collect();
        self.events.push_back((peer.room.clone(), MediaEvent::Tracks { peer: peer.id, tracks }));
    }

    /// Offers a new track to everybody who should get it.
    pub(super) fn on_published(&mut self, now_micros: u64, key: PublicationKey) {
        let Some(publication) = self.publications.get(key) else { return };
        let Some(room) = self.peers.get(publication.peer).and_then(|peer| self.rooms.get(&peer.room)) else {
            return;
        };
        let publisher = publication.peer;
        let others: Vec<_> = room.order.iter().copied().filter(|peer| *peer != publisher).collect();
        for peer in others {
            match self.peers.get(peer).and_then(|peer| peer.http) {
                None => self.renegotiate.push(peer),
                Some(HttpSession::Play { .. }) => self.fill_player(now_micros, peer),
                Some(HttpSession::Publish) => {}
            }
        }
    }

    /// Gives a WHEP client's waiting sections the tracks of the publisher that it watches.
    pub(super) fn fill_player(&mut self, now_micros: u64, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let (Some(HttpSession::Play { publisher }), Some(transport)) = (peer.http, peer.subscribe) else {
            return;
        };
        let Some(room) = self.rooms.get(&peer.room) else { return };
        let waiting: Vec<_> = self.sections_to_send(transport);
        let watched = waiting.iter().find_map(|subscription| {
            let publication = self.subscriptions.get(*subscription)?.publication?;
            Some(self.publications.get(publication)?.peer)
        });
        let publishes =
            |peer: &PeerKey| self.peers.get(*peer).is_some_and(|peer| !peer.publications.is_empty());
        let chosen = match publisher {
            Some(id) => room.peers.get(&id).copied(),
            // Whoever is being watched stays; only a newcomer chooses the first.
            None => {
                watched.or_else(|| room.order.iter().copied().find(|peer| *peer != key && publishes(peer)))
            }
        };
        let Some(tracks) = chosen.and_then(|peer| self.peers.get(peer)).map(|peer| peer.publications.clone())
        else {
            return;
        };
        for subscription in waiting {
            let Some(state) = self.subscriptions.get(subscription) else { continue };
            if state.publication.is_some() {
                continue;
            }
            let taken = |track: &PublicationKey| {
                self.publications.get(*track).is_some_and(|p| {
                    p.subscriptions.iter().any(|other| {
                        self.subscriptions.get(*other).is_some_and(|other| other.transport == state.transport)
                    })
                })
            };
            let fitting = tracks.iter().copied().find(|track| {
                self.publications.get(*track).is_some_and(|p| p.kind == state.kind) && !taken(track)
            });
            if let Some(publication) = fitting {
                self.attach(now_micros, subscription, publication);
            }
        }
    }

    pub(super) fn sections_to_send(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let sections =
            self.transports.get(key).map(|transport| transport.sections.as_slice()).unwrap_or_default();
        sections
            .iter()
            .filter_map(|section| match section {
                Section::Send { subscription, .. } => Some(*subscription),
                _ => None,
            })
            .collect()
    }

    /// Sends this track in this section from now on.
    pub(super) fn attach(&mut self, now_micros: u64, key: SubscriptionKey, publication: PublicationKey) {
        self.detach(key, false);
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        subscription.attach(Some(publication));
        if let Some(publication) = self.publications.get_mut(publication) {
            publication.subscriptions.push(key);
        }
        self.want_keyframe(now_micros, publication);
    }

    /// Sends nothing in this section any more, and forgets it for good when `forget` says so.
    pub(super) fn detach(&mut self, key: SubscriptionKey, forget: bool) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let publication = subscription.publication;
        subscription.attach(None);
        if let Some(publication) = publication.and_then(|key| self.publications.get_mut(key)) {
            publication.subscriptions.retain(|other| *other != key);
        }
        if forget {
            self.subscriptions.remove(key);
        }
    }

    /// Ends a track.
    pub(super) fn unpublish(&mut self, key: PublicationKey) {
        let subscribers = self.subscribers_of(key);
        let Some(publication) = self.publications.remove(key) else { return };
        if let Some(tap) = &publication.tap {
            tap.take(TapEvent::Unpublished(&publication.id));
        }
        self.retract(key, &publication);
        for subscription in &publication.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                subscription.attach(None);
            }
        }
        if let Origin::Transport(transport) = publication.origin
            && let Some(transport) = self.transports.get_mut(transport)
        {
            transport.routes.retain(|_, route| {
                let (crate::transport::Route::Media(to) | crate::transport::Route::Retransmission(to)) =
                    route;
                *to != key
            });
        }
        if let Some(peer) = self.peers.get_mut(publication.peer) {
            peer.publications.retain(|other| *other != key);
            if peer.publications.is_empty() {
                self.set_flowing(publication.peer, false);
            }
        }
        self.dirty.retain(|other| *other != key);
        self.served = super::fanout::Served::default();
        self.renegotiate.extend(subscribers);
    }

    fn on_attention(&mut self, now: Instant, key: PeerKey, track: Arc<str>, attention: Attention) {
        let now_micros = self.micros(now);
        let known =
            self.publications.iter().find(|(_, publication)| publication.id == track).map(|(key, _)| key);
        let (Some(publication), Some(peer)) = (known, self.peers.get_mut(key)) else { return };
        peer.attention.insert(track, attention);
        let wanted = attention.enabled.unwrap_or(true);
        let subscriptions =
            peer.subscribe.map(|transport| self.sections_to_send(transport)).unwrap_or_default();
        for subscription in subscriptions {
            let Some(state) = self.subscriptions.get_mut(subscription) else { continue };
            if state.publication == Some(publication) && state.flow.wanted != wanted {
                state.flow.wanted = wanted;
                state.rewrite.leave();
                self.want_keyframe(now_micros, publication);
            }
        }
    }

    /// Tells each room who speaks.
    pub(super) fn tell_speakers(&mut self, now_micros: u64) {
        if now_micros < self.next_speakers {
            return;
        }
        self.next_speakers = now_micros + SPEAKERS_INTERVAL_MICROS;
        let (workers, index) = (self.shared.config.workers, self.index);
        // All who publish do so at the home of their room.
        for (id, room) in self.rooms.iter_mut().filter(|(id, _)| home_of(id, workers) == index) {
            let mut speakers: Vec<PeerLevel> = room
                .order
                .iter()
                .filter_map(|key| {
                    let peer = self.peers.get(*key)?;
                    let level = peer
                        .publications
                        .iter()
                        .filter_map(|publication| self.publications.get(*publication))
                        .filter(|p| p.kind == MediaKind::Audio && !peer.silences(p.kind))
                        // Who stopped sending is silent, whatever the last packets said.
                        .filter(|p| {
                            p.last_packet.is_some_and(|at| at + SPEAKERS_INTERVAL_MICROS > now_micros)
                        })
                        .map(|p| p.loudness.level)
                        .fold(0.0_f32, f32::max);
                    (level >= SPEAKING).then_some(PeerLevel { peer: peer.id, level: level.min(1.0) })
                })
                .collect();
            speakers.sort_by(|a, b| b.level.total_cmp(&a.level));
            speakers.truncate(MAX_SPEAKERS);
            if !speakers.is_empty() || room.speaking {
                room.speaking = !speakers.is_empty();
                self.events.push_back((id.clone(), MediaEvent::Speakers(speakers)));
            }
        }
    }

    /// What the client said the track in this section is.
    pub(super) fn announced(&self, peer: PeerKey, mid: &str, kind: MediaKind) -> Option<PublishTrack> {
        let kind = match kind {
            MediaKind::Audio => TrackKind::Audio,
            MediaKind::Video => TrackKind::Video,
        };
        self.peers.get(peer)?.announced.iter().find(|track| track.mid == mid && track.kind == kind).cloned()
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
