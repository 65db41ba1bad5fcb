//! Peer connections from their opening to their end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use signaling_core::{MediaEvent, PeerId};

use super::{PeerKey, TransportKey, Worker};
use crate::codec::MediaKind;
use crate::ice::Credentials;
use crate::transport::{Negotiation, Purpose, Section, Transport};

impl Worker {
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
            flight_left: None,
            rtt_micros: None,
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
                    self.egress.push(to, [packet]);
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
        for section in self.sections_to_send(key) {
            // A client that comes back to its transport has missed what its decoder needs.
            if let Some(subscription) = self.subscriptions.get_mut(section)
                && subscription.kind == MediaKind::Video
            {
                subscription.rewrite.leave();
            }
        }
        self.start_all(key);
        self.schedule(key, now_micros);
    }
}
