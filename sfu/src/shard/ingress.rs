//! Datagrams on their way in.

use std::time::{Duration, Instant};

use super::{PublicationKey, TransportKey, Worker};
use crate::demux::{Protocol, classify};
use crate::dtls::{DtlsError, DtlsEvent, Handshake, Role};
use crate::ice::{Check, Verdict};
use crate::path::Path;
use crate::receive::{Gap, Receiver};
use crate::ring::{PacketInfo, StoredPacket};
use crate::rtp::RtpHeader;
use crate::sdp::Extension;
use crate::srtp;
use crate::tap::{TapEvent, TapPacket};
use crate::transport::{Keys, MAX_ADDRESSES, Purpose, Route};
use crate::wire::u16_at;

/// Incoming SSRCs of one transport that are given a track.
const MAX_ROUTES: usize = 64;
/// Positions begin here, and move on by this much at a change of SSRC, so that nothing ever lies below zero.
const GENERATION_GAP: u64 = 1 << 20;
/// The largest header extension that is handed on.
const MAX_HANDED_ON: usize = 255;

impl Worker {
    /// Takes a datagram. It is opened in place, so its bytes are of no use afterwards.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        let Some(protocol) = classify(datagram) else { return };
        if protocol == Protocol::Stun {
            self.on_stun(now, path, datagram);
            return;
        }
        // What ICE has not validated goes no further.
        let Some(key) = self.by_address.get(&path.remote).copied() else { return };
        match protocol {
            Protocol::Rtp => self.on_rtp(now, key, path, datagram),
            Protocol::Rtcp => self.on_rtcp(now, key, path, datagram),
            Protocol::Dtls => self.on_dtls(now, key, datagram),
            Protocol::Stun => {}
        }
    }

    fn on_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let Some(check) = Check::parse(datagram) else { return };
        let Some(ufrag) = check.local_ufrag() else { return };
        let Some(key) = self.by_ufrag.get(&ufrag).copied() else { return };
        let now_micros = self.micros(now);
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(at) = transport.credentials.iter().position(|known| known.ufrag == ufrag) else { return };
        let Some(credentials) = transport.credentials.get(at) else { return };
        let verdict = check.verify(credentials);
        let mut response = [0; 128];
        if let Some(response) = check
            .respond(verdict, path.remote, credentials, &mut response)
            .and_then(|len| response.get(..len))
        {
            self.egress.push(path, [response]);
        }
        let Verdict::Valid { nominated } = verdict else { return };
        transport.last_check = now_micros;
        if at > 0 {
            // The client uses the credentials of the restart: those before it are over.
            for old in transport.credentials.drain(..at) {
                self.by_ufrag.remove(&old.ufrag);
            }
            transport.remote = None;
        }
        let returns = transport.keys.is_some() && transport.addresses.is_empty();
        if !transport.addresses.contains(&path) {
            if transport.addresses.len() >= MAX_ADDRESSES {
                let oldest = transport.addresses.remove(0);
                self.by_address.remove(&oldest.remote);
            }
            transport.addresses.push(path);
            // Another transport's client was at this address before, as happens behind a NAT that was restarted.
            if let Some(previous) =
                self.by_address.insert(path.remote, key).filter(|previous| *previous != key)
                && let Some(previous) = self.transports.get_mut(previous)
            {
                previous.addresses.retain(|known| known.remote != path.remote);
                previous.remote = previous.remote.filter(|known| known.remote != path.remote);
            }
        }
        let Some(transport) = self.transports.get_mut(key) else { return };
        if nominated {
            transport.remote = Some(path);
        }
        if returns {
            self.on_connected(now, key);
        }
        let Some(transport) = self.transports.get_mut(key) else { return };
        // As DTLS client we speak first, as soon as there is somebody to speak to.
        let speaks = transport.handshake.as_ref().is_some_and(|handshake| handshake.role() == Role::Client);
        if speaks && transport.handshake_due.is_none() {
            self.on_dtls_timeout(now, key);
        }
    }

    fn on_dtls(&mut self, now: Instant, key: TransportKey, datagram: &[u8]) {
        let now_micros = self.micros(now);
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.on_flight(now_micros);
        let Some(handshake) = transport.handshake.as_mut() else { return };
        let result = handshake.handle_packet(now, datagram);
        self.drive_dtls(now, key, result);
    }

    pub(super) fn on_dtls_timeout(&mut self, now: Instant, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(handshake) = transport.handshake.as_mut() else { return };
        let result = handshake.handle_timeout(now);
        self.drive_dtls(now, key, result);
    }

    /// Carries out what the association has to say.
    fn drive_dtls(&mut self, now: Instant, key: TransportKey, mut result: Result<(), DtlsError>) {
        let now_micros = self.micros(now);
        let mut wait = None;
        while result.is_ok() && wait.is_none() {
            let Some(transport) = self.transports.get_mut(key) else { return };
            let destination = transport.destination();
            let Some(handshake) = transport.handshake.as_mut() else { return };
            match handshake.poll(&mut self.dtls_buf) {
                Ok(DtlsEvent::Transmit(len)) => {
                    transport.flight_left = Some(now_micros);
                    if let (Some(destination), Some(packet)) = (destination, self.dtls_buf.get(..len)) {
                        self.egress.push(destination, [packet]);
                    }
                }
                Ok(DtlsEvent::Keys(material, profile)) => {
                    let is_client = handshake.role() == Role::Client;
                    match srtp::keys(&material, profile, is_client) {
                        Ok((sealer, opener)) => {
                            transport.keys = Some(Keys { sealer, opener });
                            tracing::debug!(?profile, "transport connected");
                            self.on_connected(now, key);
                        }
                        Err(_) => result = Err(DtlsError::Failed),
                    }
                }
                Ok(DtlsEvent::Closed) => {
                    self.on_closed(key);
                    return;
                }
                Ok(DtlsEvent::Wait(at)) => wait = Some(at),
                Err(error) => result = Err(error),
            }
        }
        if let Err(error) = result {
            tracing::info!(%error, "DTLS of a peer failed");
            self.fail_transport(key);
            return;
        }
        // Rounded up, and never now: called before its time, the association would name the same time again.
        let soonest = self.micros(now) + 1;
        let due = wait.map(|at| (self.micros(at) + 1).max(soonest));
        if let Some(transport) = self.transports.get_mut(key) {
            transport.handshake_due = due;
        }
        if let Some(due) = due {
            self.schedule(key, due);
        }
    }

    /// Prepares DTLS once the client's fingerprint is known.
    pub(super) fn begin_dtls(&mut self, now: Instant, key: TransportKey, role: Role) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let (None, Some(fingerprint)) = (&transport.handshake, transport.fingerprint) else { return };
        transport.handshake = Some(Handshake::new(&self.shared.identity, role, fingerprint, now));
        if role == Role::Client && transport.destination().is_some() {
            self.on_dtls_timeout(now, key);
        }
    }

    fn on_rtp(&mut self, now: Instant, key: TransportKey, path: Path, datagram: &mut [u8]) {
        let now_micros = self.micros(now);
        let Some(header) = RtpHeader::parse(datagram) else { return };
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(keys) = transport.keys.as_mut() else { return };
        if transport.purpose != Purpose::Publish {
            return;
        }
        let Ok((len, index)) = keys.opener.open_rtp(datagram, header.len, header.ssrc) else { return };
        // The client sends from where its path leads now.
        transport.remote = Some(path);
        let Some(packet) = datagram.get(..len) else { return };
        let Some(route) = self.route(key, &header, packet) else { return };
        let (Route::Media(publication) | Route::Retransmission(publication)) = route;
        self.note_arrival(key, publication, &header, packet, now_micros);
        match route {
            Route::Media(_) => self.on_media(now_micros, key, publication, &header, packet, index),
            Route::Retransmission(_) => self.on_retransmission(now_micros, key, publication, &header, packet),
        }
    }

    /// Which track the packet's SSRC belongs to; a new one is told by its section's id, or by a payload type that
    /// only one section has.
    fn route(&mut self, key: TransportKey, header: &RtpHeader, packet: &[u8]) -> Option<Route> {
        let transport = self.transports.get_mut(key)?;
        if let Some(route) = transport.routes.get(&header.ssrc) {
            return Some(*route);
        }
        if transport.routes.len() >= MAX_ROUTES {
            return None;
        }
        let publications = &self.publications;
        let own = transport.sections.iter().filter_map(|section| match section {
            crate::transport::Section::Receive { publication, .. } => *publication,
            _ => None,
        });
        let candidates = own.filter_map(|key| Some((key, publications.get(key)?)));
        let by_mid = candidates.clone().find(|(_, publication)| {
            let id = publication.extensions.id(Extension::Mid);
            header.extensions(packet).any(|(at, mid)| Some(at) == id && mid == publication.mid.as_bytes())
        });
        let found = by_mid.or_else(|| {
            let mut with_type = candidates.filter(|(_, publication)| {
                publication.codec_of(header.payload_type).is_some()
                    || publication.payload_type_of_rtx(header.payload_type).is_some()
            });
            with_type.next().filter(|_| with_type.next().is_none())
        });
        let (publication_key, publication) = found?;
        let route = if publication.codec_of(header.payload_type).is_some() {
            Route::Media(publication_key)
        } else if publication.payload_type_of_rtx(header.payload_type).is_some() {
            Route::Retransmission(publication_key)
        } else {
            return None;
        };
        transport.routes.insert(header.ssrc, route);
        Some(route)
    }

    fn note_arrival(
        &mut self,
        key: TransportKey,
        publication: PublicationKey,
        header: &RtpHeader,
        packet: &[u8],
        now_micros: u64,
    ) {
        let Some(id) =
            self.publications.get(publication).and_then(|p| p.extensions.id(Extension::TransportSequence))
        else {
            return;
        };
        let Some(sequence) =
            header.extensions(packet).find(|(at, _)| *at == id).and_then(|(_, data)| u16_at(data, 0))
        else {
            return;
        };
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.arrivals.on_packet(sequence, now_micros);
        if let Some(due) = transport.arrivals.due_at() {
            self.schedule(key, due);
        }
    }

    fn on_media(
        &mut self,
        now_micros: u64,
        key: TransportKey,
        publication: PublicationKey,
        header: &RtpHeader,
        packet: &[u8],
        index: u64,
    ) {
        let rtt_micros = self.transports.get(key).and_then(|transport| transport.rtt_micros);
        let Some(publication_state) = self.publications.get_mut(publication) else { return };
        let Some(codec) = publication_state.codec_of(header.payload_type) else { return };
        let is_same =
            publication_state.receiver.as_ref().is_some_and(|receiver| receiver.ssrc == header.ssrc);
        if !is_same {
            let base =
                publication_state.ring.newest().map_or(GENERATION_GAP, |newest| newest + GENERATION_GAP);
            if publication_state.receiver.is_some() {
                publication_state.generation = publication_state.generation.wrapping_add(1);
            }
            publication_state.receiver =
                Some(Receiver::new(header.ssrc, codec.clock_rate(), base, rtt_micros));
        }
        let Some(receiver) = publication_state.receiver.as_ref() else { return };
        let position = receiver.position_of_index(index);
        self.store(now_micros, key, publication, header, packet, position, 0);
    }

    fn on_retransmission(
        &mut self,
        now_micros: u64,
        key: TransportKey,
        publication: PublicationKey,
        header: &RtpHeader,
        packet: &[u8],
    ) {
        let Some(publication_state) = self.publications.get(publication) else { return };
        let Some(payload_type) = publication_state.payload_type_of_rtx(header.payload_type) else { return };
        // Padding that probes for bandwidth has no original.
        let Some(original) = header.payload(packet).and_then(|payload| u16_at(payload, 0)) else { return };
        let Some(position) =
            publication_state.receiver.as_ref().and_then(|receiver| receiver.position_of_sequence(original))
        else {
            return;
        };
        let mut header = *header;
        header.payload_type = payload_type;
        self.store(now_micros, key, publication, &header, packet, position, 2);
    }

    /// Puts a packet into the ring; `skip` bytes at the beginning of the payload are not the media's.
    #[allow(clippy::too_many_arguments, reason = "the facts of one packet, used here alone")]
    fn store(
        &mut self,
        now_micros: u64,
        key: TransportKey,
        publication_key: PublicationKey,
        header: &RtpHeader,
        packet: &[u8],
        position: u64,
        skip: usize,
    ) {
        let retransmitted = skip > 0;
        let Some(publication) = self.publications.get_mut(publication_key) else { return };
        let Some(payload) = header.payload(packet).and_then(|payload| payload.get(skip..)) else { return };
        let Some(codec) = publication.codec_of(header.payload_type) else { return };
        let wants_again = publication.wants_nack();
        let Some(receiver) = publication.receiver.as_mut() else { return };
        let gap = receiver.on_packet(position, header.timestamp, now_micros, retransmitted, wants_again);
        let next_request = receiver.next_request();
        if gap == Gap::Interrupted {
            publication.keyframe.want();
        }
        if !payload.is_empty() {
            self.extension_buf.clear();
            for (id, data) in header.extensions(packet) {
                let extension =
                    publication.extensions.extension(id).filter(|extension| extension.is_end_to_end());
                if let (Some(extension), Ok(len)) = (extension, u8::try_from(data.len())) {
                    if extension == Extension::AudioLevel
                        && let Some(level) = data.first()
                    {
                        publication.loudness.sample(level & 0x7f);
                    }
                    if self.extension_buf.len() + data.len() + 2 <= MAX_HANDED_ON {
                        self.extension_buf.extend([extension as u8, len]);
                        self.extension_buf.extend(data);
                    }
                }
            }
            let starts_picture = codec.starts_picture(payload);
            let info = PacketInfo {
                position,
                timestamp: header.timestamp,
                marker: header.marker,
                payload_type: header.payload_type,
                starts_picture,
                generation: publication.generation,
            };
            if publication.ring.insert(info, &self.extension_buf, payload) {
                if let Some(tap) = &publication.tap
                    && !self.peers.get(publication.peer).is_some_and(|peer| peer.silences(publication.kind))
                {
                    let at = self.epoch + Duration::from_micros(now_micros);
                    let stored = StoredPacket { info, extensions: &self.extension_buf, payload };
                    tap.take(TapEvent::Packet(&publication.id, TapPacket::new(at, codec, stored)));
                }
                if publication.pending.is_empty() {
                    self.dirty.push(publication_key);
                }
                publication.pending.push(position);
                publication.rate.add(now_micros, packet.len() as u64);
                if starts_picture {
                    publication.on_entry(&info, now_micros);
                }
            }
        }
        let is_first = publication.last_packet.is_none();
        publication.last_packet = Some(now_micros);
        let changed = publication.codec != codec;
        publication.codec = codec;
        let due = [next_request, publication.keyframe_due()].into_iter().flatten().min();
        if let Some(due) = due {
            self.schedule(key, due.max(now_micros));
        }
        if is_first || changed {
            self.on_first_media(publication_key, changed);
        }
    }
}
