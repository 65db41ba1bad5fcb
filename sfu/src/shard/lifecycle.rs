//! The life cycle of connections and tracks.

use std::net::IpAddr;

use rand::Rng;
use signaling_core::message::Track;
use signaling_core::{HttpSession, MediaEvent, PeerId};

use super::Shard;
use super::message::Note;
use crate::codec::MediaKind;
use crate::dtls::{Fingerprint, Role};
use crate::ice::Credentials;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::milestone::{Milestone, Step};
use crate::publication::{Origin, Publication};
use crate::subscription::Subscription;
use crate::tap::TapEvent;
use crate::time::{Micros, micros};
use crate::transport::{IceSession, Progress, Purpose, Section, Transport};

/// A publisher that sends no media for this long counts as stopped, and one that sends nothing at all as lost.
const SILENCE_MICROS: u64 = 5_000_000;

impl Shard {
    pub(super) fn random_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    pub(super) fn fresh_credentials(&mut self) -> Credentials {
        Credentials::generate(self.index, &mut self.rng)
    }

    /// How long a connection lives without a connectivity check.
    pub(super) fn consent_micros(&self) -> u64 {
        micros(self.config.consent_timeout)
    }

    /// Opens an empty transport for a peer. `remote_ufrag` is empty until the client's user name fragment is known.
    pub(super) fn open_transport(
        &mut self,
        now: Micros,
        peer: PeerKey,
        purpose: Purpose,
        via: Option<IpAddr>,
        remote_ufrag: String,
    ) -> TransportKey {
        let ice = IceSession::new(now, self.fresh_credentials(), remote_ufrag);
        let numbers = (self.random_u32(), self.random_u32());
        let key = self.connections.open(Transport::new(peer, purpose, via, ice, numbers));
        if let Some(state) = self.rooms.peer_mut(peer) {
            *state.connection_mut(purpose) = Some(key);
        }
        self.connections.schedule(key, now + self.consent_micros());
        key
    }

    /// Closes a transport and ends all of its tracks and subscriptions.
    pub(super) fn close_transport(&mut self, key: TransportKey) {
        self.note_first_picture(key);
        let Some(mut transport) = self.connections.close(key) else { return };
        transport.close(&mut self.egress, &mut self.scratch.datagram);
        for section in &transport.sections {
            match section {
                Section::Receive { publication: Some(publication), .. } => self.unpublish(*publication),
                Section::Send { subscription, .. } => self.tracks.unsubscribe(*subscription),
                _ => {}
            }
        }
        let Some(peer) = self.rooms.peer_mut(transport.peer) else { return };
        *peer.connection_mut(transport.purpose) = None;
        if transport.purpose == Purpose::Publish {
            peer.is_lost = false;
            self.tell_tracks(transport.peer);
            self.set_flowing(transport.peer, false);
        }
    }

    /// Starts DTLS when the client's fingerprint is known.
    pub(super) fn start_dtls(&mut self, now: Micros, key: TransportKey, client: (Role, Fingerprint)) {
        let Some(transport) = self.connections.get_mut(key) else { return };
        transport.dtls.start(now, self.clock, &self.identity, client);
        let speaks_first = transport.is_to_speak_first();
        self.complete_step(key, Step::Negotiated, now);
        if speaks_first {
            self.on_dtls_timeout(now, key);
        }
    }

    pub(super) fn on_dtls(&mut self, now: Micros, key: TransportKey, datagram: &[u8]) {
        let (connections, mut context) = self.dtls_context();
        let progress = connections.get_mut(key).map(|it| it.on_dtls(now, datagram, &mut context));
        self.after_dtls(now, key, progress);
    }

    pub(super) fn on_dtls_timeout(&mut self, now: Micros, key: TransportKey) {
        let (connections, mut context) = self.dtls_context();
        let progress = connections.get_mut(key).map(|it| it.on_dtls_timeout(now, &mut context));
        self.after_dtls(now, key, progress);
    }

    fn after_dtls(&mut self, now: Micros, key: TransportKey, progress: Option<Progress>) {
        match progress {
            None | Some(Progress::Pending) => {}
            Some(Progress::Connected) => {
                self.complete_step(key, Step::Secured, now);
                self.on_connected(now, key);
            }
            Some(Progress::Closed) => {
                self.tell_http(key, |peer| MediaEvent::Closed { peer });
                self.close_transport(key);
            }
            Some(Progress::Failed(error)) => {
                let (room, peer) = self.owner_of(key);
                tracing::info!(room, peer, %error, "DTLS of a peer failed");
                self.fail_transport(key);
            }
        }
        if let Some(due) = self.connections.get(key).and_then(|transport| transport.dtls.due()) {
            self.connections.schedule(key, due);
        }
    }

    /// Starts the media of a transport that is connected for the first time or again.
    pub(super) fn on_connected(&mut self, now: Micros, key: TransportKey) {
        self.tell_http(key, |peer| MediaEvent::Connected { peer });
        for section in self.connections.sends(key) {
            // A client that returns to its transport has missed pictures that its decoder depends on.
            if let Some(subscription) = self.tracks.subscription_mut(section)
                && subscription.kind == MediaKind::Video
            {
                subscription.leave();
            }
        }
        self.select(now, key);
        self.start_all(now, key);
        self.connections.schedule(key, now);
    }

    /// Stops sending when no check has arrived within the consent timeout (RFC 7675). A WHIP or WHEP client may return
    /// to its transport, with or without an ICE restart; other clients open a new one.
    pub(super) fn on_consent_lost(&mut self, key: TransportKey) {
        let Some(owner) = self.connections.get(key).map(|transport| transport.peer) else { return };
        if self.rooms.peer(owner).is_none_or(|peer| peer.http.is_none()) {
            let (room, peer) = self.owner_of(key);
            tracing::info!(room, peer, "a peer's ICE consent expired");
            self.fail_transport(key);
            return;
        }
        if self.connections.expire(key) {
            let (room, peer) = self.owner_of(key);
            tracing::info!(room, peer, "a WHIP or WHEP session's ICE consent expired");
            self.stop_flowing(owner);
            self.tell_http(key, |peer| MediaEvent::Failed { peer });
        }
    }

    /// The room and the peer of a connection, for the log.
    fn owner_of(&self, key: TransportKey) -> (Option<String>, Option<String>) {
        let owner = self.connections.get(key).and_then(|transport| self.rooms.peer(transport.peer));
        owner.map(|owner| (owner.room.to_string(), owner.id.to_string())).unzip()
    }

    /// Reports an event of a WHIP or WHEP client to the room.
    fn tell_http(&mut self, key: TransportKey, event: impl FnOnce(PeerId) -> MediaEvent) {
        let owner = self.connections.get(key).and_then(|transport| self.rooms.peer(transport.peer));
        if let Some(peer) = owner.filter(|peer| peer.http.is_some()) {
            self.events.push_back((peer.room.clone(), event(peer.id)));
        }
    }

    /// Reports an event of a peer to the room.
    pub(super) fn tell(&mut self, key: PeerKey, event: impl FnOnce(PeerId) -> MediaEvent) {
        if let Some(peer) = self.rooms.peer(key) {
            self.events.push_back((peer.room.clone(), event(peer.id)));
        }
    }

    /// Closes a transport after a failure and reports it to the room.
    pub(super) fn fail_transport(&mut self, key: TransportKey) {
        let Some(owner) = self.connections.get(key).map(|transport| transport.peer) else { return };
        self.close_transport(key);
        self.tell(owner, |peer| MediaEvent::Failed { peer });
    }

    /// Handles the first packet of a track, or the first packet with another codec.
    pub(super) fn on_first_media(&mut self, now: Micros, key: PublicationKey, codec_changed: bool) {
        let Some(publication) = self.tracks.publication(key) else { return };
        let (peer, kind) = (publication.peer, publication.kind);
        if kind == MediaKind::Video
            && let Some(transport) = self.rooms.peer(peer).and_then(|peer| peer.publish)
        {
            self.complete_step(transport, Step::FirstPicture, now);
        }
        if codec_changed {
            self.tell_tracks(peer);
            self.renegotiate_receivers(key);
        }
        self.set_flowing(peer, true);
    }

    /// Reports a milestone of a connection, unless it was reached before.
    pub(super) fn complete_step(&mut self, key: TransportKey, step: Step, at: Micros) {
        let Some(observer) = &self.config.observer else { return };
        let Some(transport) = self.connections.get_mut(key) else { return };
        let Some(from) = transport.milestones.complete(step, at) else { return };
        let publishes = transport.purpose == Purpose::Publish;
        let Some(peer) = self.rooms.peer(transport.peer) else { return };
        let (from, at) = (self.clock.instant(from), self.clock.instant(at));
        observer.reached(&peer.room, peer.id, Milestone { step, publishes, from, at });
    }

    /// Reports the first picture that was sent to a subscriber.
    pub(super) fn note_first_picture(&mut self, key: TransportKey) {
        let Some(transport) = self.connections.get(key) else { return };
        if self.config.observer.is_none() || transport.milestones.has(Step::FirstPicture) {
            return;
        }
        let sent = transport.sends().filter_map(|section| self.tracks.subscription(section));
        let pictures = sent.filter(|sent| sent.kind == MediaKind::Video);
        let first = pictures.map(|sent| sent.rewrite.first_entry()).min().unwrap_or(Micros::NEVER);
        if first != Micros::NEVER {
            self.complete_step(key, Step::FirstPicture, first);
        }
    }

    /// Detects that a publisher has stopped sending.
    pub(super) fn note_silence(&mut self, now: Micros, key: TransportKey) {
        let Some(owner) = self.connections.get(key).map(|transport| transport.peer) else { return };
        let Some(peer) = self.rooms.peer(owner).filter(|peer| peer.is_flowing) else { return };
        let mut last = peer.publications.iter().filter_map(|key| self.tracks.publication(*key)?.last_packet);
        if !last.any(|at| at + SILENCE_MICROS > now) {
            self.stop_flowing(owner);
        }
    }

    /// Detects that a publisher is not heard any more, or is heard again.
    pub(super) fn note_presence(&mut self, now: Micros, key: TransportKey) {
        let Some(transport) = self.connections.get(key) else { return };
        let (owner, is_lost) = (transport.peer, transport.heard_at() + SILENCE_MICROS <= now);
        let Some(peer) = self.rooms.peer(owner).filter(|peer| peer.is_lost != is_lost) else { return };
        let (id, room) = (peer.id, peer.room.clone());
        if self.is_home(&room) {
            for annex in self.annexes(&room) {
                self.note(annex, Note::Lost { room: room.clone(), peer: id, is_lost });
            }
        }
        self.set_lost(now, owner, is_lost);
    }

    /// Players that may choose leave a lost publisher for one that is heard.
    pub(super) fn set_lost(&mut self, now: Micros, key: PeerKey, is_lost: bool) {
        let Some(peer) = self.rooms.peer_mut(key) else { return };
        peer.is_lost = is_lost;
        let others: Vec<_> = self.rooms.others(key).collect();
        for other in others {
            self.fill_player(now, other);
        }
    }

    /// Marks the peer's media as stopped; the next packet counts as the first.
    fn stop_flowing(&mut self, key: PeerKey) {
        for track in self.rooms.publications(key) {
            if let Some(publication) = self.tracks.publication_mut(track) {
                publication.last_packet = None;
                for layer in &mut publication.layers {
                    layer.last_packet = None;
                }
            }
        }
        self.set_flowing(key, false);
    }

    fn set_flowing(&mut self, key: PeerKey, flowing: bool) {
        let Some(peer) = self.rooms.peer_mut(key) else { return };
        if peer.is_flowing != flowing {
            peer.is_flowing = flowing;
            self.events.push_back((peer.room.clone(), MediaEvent::Flowing { peer: peer.id, flowing }));
        }
    }

    /// Reports the peer's current tracks to the room.
    pub(super) fn tell_tracks(&mut self, key: PeerKey) {
        let publications = self.rooms.publications(key);
        let tracks: Vec<Track> = publications
            .iter()
            .filter_map(|key| self.tracks.publication(*key))
            .map(Publication::describe)
            .collect();
        self.tell(key, |peer| MediaEvent::Tracks { peer, tracks });
    }

    /// Offers a new track to all peers that should receive it.
    pub(super) fn on_published(&mut self, now: Micros, key: PublicationKey) {
        let Some(publisher) = self.tracks.publication(key).map(|publication| publication.peer) else {
            return;
        };
        let others: Vec<_> = self.rooms.others(publisher).collect();
        for peer in others {
            match self.rooms.peer(peer).and_then(|peer| peer.http) {
                None => self.renegotiate.push(peer),
                Some(HttpSession::Play { .. }) => self.fill_player(now, peer),
                Some(HttpSession::Publish) => {}
            }
        }
    }

    /// Ends a track.
    pub(super) fn unpublish(&mut self, key: PublicationKey) {
        self.renegotiate_receivers(key);
        let Some(publication) = self.tracks.unpublish(key) else { return };
        self.forget_wishes(publication.peer, &publication.id);
        if let Some(tap) = &publication.tap {
            tap.tell(TapEvent::Unpublished(&publication.id));
        }
        for annex in &publication.annexes {
            self.note(*annex, Note::Unpublished(key));
        }
        if let Origin::Transport(transport) = publication.origin
            && let Some(transport) = self.connections.get_mut(transport)
        {
            transport.routes.retain(|_, route| route.publication() != key);
        }
        let Some(peer) = self.rooms.peer_mut(publication.peer) else { return };
        peer.publications.retain(|other| *other != key);
        if peer.publications.is_empty() {
            self.set_flowing(publication.peer, false);
        }
    }

    /// Forgets how the others of the publisher's room wanted a track that has ended.
    fn forget_wishes(&mut self, publisher: PeerKey, track: &str) {
        let others: Vec<_> = self.rooms.others(publisher).collect();
        for other in others {
            if let Some(peer) = self.rooms.peer_mut(other) {
                peer.attention.remove(track);
            }
        }
    }

    /// Schedules a renegotiation with the peers that receive a track.
    pub(super) fn renegotiate_receivers(&mut self, key: PublicationKey) {
        let receivers = self.tracks.receivers(key);
        let peers = receivers.into_iter().filter_map(|key| Some(self.connections.get(key)?.peer));
        self.renegotiate.extend(peers);
    }

    /// Creates a sending section with SSRCs that are unused on its transport.
    pub(super) fn subscribe_section(
        &mut self,
        transport: TransportKey,
        mid: String,
        kind: MediaKind,
    ) -> SubscriptionKey {
        let ssrcs = (self.fresh_ssrc(transport), self.fresh_ssrc(transport));
        let [a, b, c, d] = self.random_u32().to_be_bytes();
        let first = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        self.tracks.subscriptions.insert(Subscription::new(transport, mid, kind, ssrcs, first))
    }

    fn fresh_ssrc(&mut self, transport: TransportKey) -> u32 {
        loop {
            let ssrc = self.random_u32();
            let sections = self.connections.get(transport).into_iter().flat_map(Transport::sends);
            let mut others = sections.filter_map(|section| self.tracks.subscription(section));
            let is_used = others.any(|other| other.ssrc == ssrc || other.rtx_ssrc == ssrc);
            if ssrc != 0 && !is_used {
                return ssrc;
            }
        }
    }

    /// Assigns the track to this section and requests a key frame early.
    pub(super) fn attach(&mut self, now: Micros, key: SubscriptionKey, publication: PublicationKey) {
        self.tracks.attach(key, publication);
        if self.tracks.subscription(key).is_some_and(|it| it.flow.wanted && !it.flow.starved) {
            let layer = self.tracks.subscription(key).map_or(0, |it| it.layer);
            self.ask_early(now, publication, layer);
        }
    }
}
