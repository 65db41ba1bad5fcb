//! Handles incoming datagrams.

use super::Shard;
use super::message::Content;
use crate::codec::Codec;
use crate::demux::Protocol;
use crate::keys::{PublicationKey, TransportKey};
use crate::layer::Layer;
use crate::milestone::Step;
use crate::path::Path;
use crate::publication::Publication;
use crate::receive::{Gap, Receiver};
use crate::ring::{PacketInfo, StoredPacket};
use crate::rtp::RtpHeader;
use crate::sdp::Extension;
use crate::time::Micros;
use crate::transport::{Purpose, Route};
use crate::wire::u16_at;

/// Maximum number of SSRCs of one transport that are mapped to a track.
const MAX_ROUTES: usize = 64;
/// The first position of a track, and the step at a change of SSRC. It keeps every position above zero.
const GENERATION_GAP: u64 = 1 << 20;
/// An SSRC that has sent nothing for this long has ended, so that another one may take its place.
const ENDED_MICROS: u64 = 500_000;
/// Maximum number of bytes of header extensions that are forwarded with one packet.
const MAX_EXTENSIONS: usize = 255;

/// A decrypted packet of a track.
struct Incoming<'a> {
    header: RtpHeader,
    position: u64,
    /// The payload without the original sequence number at the start of a retransmission.
    payload: &'a [u8],
    is_retransmitted: bool,
    packet: &'a [u8],
}

impl Shard {
    /// Handles a datagram forwarded by the shard `from`.
    pub(super) fn on_forwarded(
        &mut self,
        now: Micros,
        from: u16,
        path: Path,
        protocol: Protocol,
        datagram: &mut [u8],
    ) {
        if protocol == Protocol::Stun {
            let Some(ufrag) = crate::ice::local_ufrag(datagram) else { return };
            if self.on_check(now, path, ufrag, datagram) {
                self.links.send(from, Content::Owns(path.remote));
            }
        } else if let Some(key) = self.connections.at(path.source()) {
            self.on_protected(now, key, path, protocol, datagram);
        }
    }

    /// Answers a connectivity check; `true` if it was valid.
    pub(super) fn on_check(&mut self, now: Micros, path: Path, ufrag: &str, datagram: &[u8]) -> bool {
        let checked = self.connections.on_check(now, path, ufrag, datagram, &mut self.egress);
        let Some((key, checked)) = checked else { return false };
        if checked.is_first_path {
            self.complete_step(key, Step::PathFound, now);
        }
        let Some(transport) = self.connections.get(key) else { return false };
        if checked.is_first_path && transport.dtls.keys().is_some() {
            self.on_connected(now, key);
        } else if transport.is_to_speak_first() {
            self.on_dtls_timeout(now, key);
        }
        true
    }

    /// Handles a datagram from an address that ICE has validated for this connection.
    pub(super) fn on_protected(
        &mut self,
        now: Micros,
        key: TransportKey,
        path: Path,
        protocol: Protocol,
        datagram: &mut [u8],
    ) {
        match protocol {
            Protocol::Rtp => self.on_rtp(now, key, path, datagram),
            Protocol::Rtcp => self.on_rtcp(now, key, path, datagram),
            Protocol::Dtls => self.on_dtls(now, key, datagram),
            Protocol::Stun => {}
        }
    }

    fn on_rtp(&mut self, now: Micros, key: TransportKey, path: Path, datagram: &mut [u8]) {
        let Some(header) = RtpHeader::parse(datagram) else { return };
        let Some(transport) = self.connections.get_mut(key) else { return };
        if transport.purpose != Purpose::Publish {
            return;
        }
        let Some((len, index)) = transport.open_rtp(now, path, &header, datagram) else { return };
        let Some(packet) = datagram.get(..len) else { return };
        let Some(route) = self.route(key, &header, packet) else { return };
        let publication = route.publication();
        self.note_arrival(now, key, publication, &header, packet);
        let rtt_micros = self.connections.get(key).and_then(|transport| transport.dtls.rtt_micros);
        let Some(state) = self.tracks.publication_mut(publication) else { return };
        let incoming = match route {
            Route::Media(_, layer) => state.place(now, layer, header, packet, index, rtt_micros),
            Route::Retransmission(_, layer) => state.place_retransmission(layer, header, packet),
        };
        if let Some(incoming) = incoming {
            self.store(now, key, (publication, route.layer()), &incoming);
        }
    }

    /// Finds the track of the packet's SSRC. A new SSRC is mapped by its section's `mid`, or by a payload type that
    /// belongs to one section only; and if that has several layers, by its `rid`.
    fn route(&mut self, key: TransportKey, header: &RtpHeader, packet: &[u8]) -> Option<Route> {
        let transport = self.connections.get_mut(key)?;
        if let Some(route) = transport.routes.get(&header.ssrc) {
            return Some(*route);
        }
        if transport.routes.len() >= MAX_ROUTES {
            return None;
        }
        let candidates = transport.receives().filter_map(|key| Some((key, self.tracks.publication(key)?)));
        let (mut by_type, mut types) = (None, 0);
        let mut by_mid = None;
        for (key, publication) in candidates {
            let id = publication.extensions.id(Extension::Mid);
            let mut extensions = header.extensions(packet);
            if extensions.any(|(at, mid)| Some(at) == id && mid == publication.mid.as_bytes()) {
                by_mid = Some((key, publication));
                break;
            }
            if publication.takes(header.payload_type) {
                types += 1;
                by_type = Some((key, publication));
            }
        }
        let (key, publication) = by_mid.or_else(|| by_type.filter(|_| types == 1))?;
        let route = publication.route(key, header, packet)?;
        transport.routes.insert(header.ssrc, route);
        Some(route)
    }

    /// Records the arrival time of a packet with a transport-wide sequence number.
    fn note_arrival(
        &mut self,
        now: Micros,
        key: TransportKey,
        publication: PublicationKey,
        header: &RtpHeader,
        packet: &[u8],
    ) {
        let track = self.tracks.publication(publication);
        let Some(id) = track.and_then(|track| track.extensions.id(Extension::TransportSequence)) else {
            return;
        };
        let extension = header.extensions(packet).find(|(at, _)| *at == id);
        let Some(sequence) = extension.and_then(|(_, data)| u16_at(data, 0)) else { return };
        let Some(transport) = self.connections.get_mut(key) else { return };
        transport.arrivals.on_packet(sequence, now);
        if let Some(due) = transport.arrivals.due_at() {
            self.connections.schedule(key, due);
        }
    }

    /// Stores a packet in the ring of its track and passes it to the recorder.
    fn store(
        &mut self,
        now: Micros,
        key: TransportKey,
        (publication_key, at): (PublicationKey, usize),
        incoming: &Incoming<'_>,
    ) {
        let Some(publication) = self.tracks.publications.get_mut(publication_key) else { return };
        let Some(codec) = publication.codec_of(incoming.header.payload_type) else { return };
        let next_request = publication.note_received(now, at, incoming);
        if !incoming.payload.is_empty() {
            publication.read_extensions(now, incoming, &mut self.scratch.extensions);
            let starts_picture = codec.starts_picture(incoming.payload);
            let Some(layer) = publication.layers.get_mut(at) else { return };
            let info = PacketInfo {
                position: incoming.position,
                timestamp: incoming.header.timestamp,
                marker: incoming.header.marker,
                payload_type: incoming.header.payload_type,
                starts_picture,
                generation: layer.generation,
            };
            let extensions = self.scratch.extensions.as_slice();
            if layer.ring.insert(now, info, extensions, incoming.payload) {
                if let Some(tap) = &mut publication.tap
                    && !self.rooms.peer(publication.peer).is_some_and(|peer| peer.silences(publication.kind))
                {
                    let stored = StoredPacket { info, extensions, payload: incoming.payload };
                    tap.packet(self.clock.instant(now), at, layer.current_clock(), codec, stored);
                }
                if layer.pending.is_empty() {
                    self.tracks.dirty.push((publication_key, at));
                }
                layer.pending.push(incoming.position);
                layer.rate.add(now, incoming.packet.len() as u64);
                if starts_picture {
                    layer.on_entry(&info, now);
                }
                if publication.note_layer(now, at, codec, incoming.payload, starts_picture) {
                    self.tracks.changed.push(publication_key);
                }
            }
        }
        let (is_first, is_changed) = publication.note_codec(now, codec);
        let may_be_chosen = publication.may_be_chosen();
        let keyframe_due = publication.layer(at).and_then(Layer::keyframe_due);
        let due = [next_request, keyframe_due].into_iter().flatten().min();
        if let Some(due) = due {
            self.connections.schedule(key, due.max(now));
        }
        if may_be_chosen {
            self.choose(now, publication_key);
        }
        if is_first || is_changed {
            self.on_first_media(now, publication_key, is_changed);
        }
    }
}

impl Publication {
    /// Whether this payload type is one of the track or of its retransmissions.
    fn takes(&self, payload_type: u8) -> bool {
        self.codec_of(payload_type).is_some() || self.payload_type_of_rtx(payload_type).is_some()
    }

    /// What the packet's SSRC carries; `None` if the track has several layers and the packet names none of them.
    fn route(&self, key: PublicationKey, header: &RtpHeader, packet: &[u8]) -> Option<Route> {
        let is_media = self.codec_of(header.payload_type).is_some();
        if !is_media && self.payload_type_of_rtx(header.payload_type).is_none() {
            return None;
        }
        let layer = if self.is_simulcast() { self.named_layer(header, packet)? } else { 0 };
        Some(if is_media { Route::Media(key, layer) } else { Route::Retransmission(key, layer) })
    }

    /// The layer whose `rid` a packet or a retransmission contains (RFC 8852).
    fn named_layer(&self, header: &RtpHeader, packet: &[u8]) -> Option<usize> {
        let ids = [Extension::StreamId, Extension::RepairedStreamId].map(|it| self.extensions.id(it));
        let mut named = header.extensions(packet).filter(|(id, _)| ids.contains(&Some(*id)));
        named.find_map(|(_, rid)| self.layer_named(rid))
    }

    /// Records a packet of a layer and the size in a key frame. Returns whether something has changed that the choice
    /// of layers depends on.
    fn note_layer(
        &mut self,
        now: Micros,
        at: usize,
        codec: Codec,
        payload: &[u8],
        starts_picture: bool,
    ) -> bool {
        let is_simulcast = self.is_simulcast();
        let Some(layer) = self.layers.get_mut(at) else { return false };
        layer.last_packet = Some(now);
        if !is_simulcast {
            return false;
        }
        let before = (layer.state.flows, layer.state.size);
        layer.state.flows = true;
        if starts_picture && let Some(size) = codec.picture_size(payload) {
            layer.state.size = Some(size);
        }
        before != (layer.state.flows, layer.state.size)
    }

    /// Determines the position of a media packet. A new SSRC starts a new generation, but only when the current one has
    /// ended: a client that sends several SSRCs without naming layers would otherwise change with each packet.
    fn place<'a>(
        &mut self,
        now: Micros,
        at: usize,
        header: RtpHeader,
        packet: &'a [u8],
        index: u64,
        rtt_micros: Option<u64>,
    ) -> Option<Incoming<'a>> {
        let codec = self.codec_of(header.payload_type)?;
        let layer = self.layer(at)?;
        if layer.receiver.as_ref().is_none_or(|receiver| receiver.ssrc != header.ssrc) {
            let is_busy = layer.last_packet.is_some_and(|last| now < last + ENDED_MICROS);
            if layer.receiver.is_some() && is_busy {
                return None;
            }
            let generation = self.next_generation();
            let layer = self.layer_mut(at)?;
            let base = layer.ring.newest().map_or(GENERATION_GAP, |newest| newest + GENERATION_GAP);
            layer.generation = generation;
            layer.receiver = Some(Receiver::new(header.ssrc, codec.clock_rate(), base, rtt_micros));
        }
        let position = self.layer(at)?.receiver.as_ref()?.position_of_index(index);
        let payload = header.payload(packet)?;
        Some(Incoming { header, position, payload, is_retransmitted: false, packet })
    }

    /// Determines the position of a retransmitted packet (RFC 4588). Padding that probes for bandwidth has no original.
    fn place_retransmission<'a>(
        &self,
        at: usize,
        header: RtpHeader,
        packet: &'a [u8],
    ) -> Option<Incoming<'a>> {
        let payload_type = self.payload_type_of_rtx(header.payload_type)?;
        let (original, payload) = header.payload(packet)?.split_first_chunk()?;
        let receiver = self.layer(at)?.receiver.as_ref()?;
        let position = receiver.position_of_sequence(u16::from_be_bytes(*original))?;
        let mut header = header;
        header.payload_type = payload_type;
        Some(Incoming { header, position, payload, is_retransmitted: true, packet })
    }

    /// Records a received packet and returns the time of the next retransmission request.
    fn note_received(&mut self, now: Micros, at: usize, incoming: &Incoming<'_>) -> Option<Micros> {
        let wants_again = self.wants_nack();
        let Incoming { header, position, is_retransmitted, .. } = incoming;
        let layer = self.layer_mut(at)?;
        let receiver = layer.receiver.as_mut()?;
        let gap = receiver.on_packet(*position, header.timestamp, now, *is_retransmitted, wants_again);
        if gap == Gap::Interrupted {
            layer.keyframe.want();
        }
        receiver.next_request()
    }

    /// Copies the header extensions that are forwarded into `out`.
    fn read_extensions(&mut self, now: Micros, incoming: &Incoming<'_>, out: &mut Vec<u8>) {
        out.clear();
        for (id, data) in incoming.header.extensions(incoming.packet) {
            let extension = self.extensions.extension(id).filter(|extension| extension.is_end_to_end());
            let (Some(extension), Ok(len)) = (extension, u8::try_from(data.len())) else { continue };
            if extension == Extension::AudioLevel
                && let Some(level) = data.first()
            {
                self.loudness.sample(now, level & 0x7f);
            }
            if out.len() + data.len() + 2 <= MAX_EXTENSIONS {
                out.extend([extension as u8, len]);
                out.extend(data);
            }
        }
    }

    /// Records the codec of a packet. Returns whether this is the first packet, and whether the codec has changed.
    fn note_codec(&mut self, now: Micros, codec: Codec) -> (bool, bool) {
        let is_first = self.last_packet.replace(now).is_none();
        let is_changed = self.codec != codec;
        self.codec = codec;
        (is_first, is_changed)
    }
}
