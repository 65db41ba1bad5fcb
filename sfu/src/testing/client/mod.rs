//! The test client.
#![allow(clippy::format_push_string, reason = "a description is written once")]

mod incoming;
mod layers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use incoming::Incoming;
use layers::Layer;

use super::{Frame, Playback};
use crate::arrivals::Arrivals;
use crate::codec::{Codec, MediaKind};
use crate::demux::{Protocol, classify};
use crate::dtls::{DtlsEvent, Fingerprint, Handshake, Identity, Role};
use crate::ice::{Check, Credentials, Verdict, is_success, write_check};
use crate::rtcp::{NtpTime, SenderInfo, write_sender_report};
use crate::rtp::{NewHeader, write_header};
use crate::sdp::{Extension, RemoteDescription, Setup};
use crate::srtp::{self, Opener, RTCP_OVERHEAD, RTP_OVERHEAD, Sealer};
use crate::wire::Writer;

const OPUS: u8 = 111;
const RED: u8 = 63;
const VP8: u8 = 96;
const RTX: u8 = 97;
const AUDIO_LEVEL_ID: u8 = 1;
const TRANSPORT_SEQUENCE_ID: u8 = 3;
const MID_ID: u8 = 4;
const TICK_MICROS: u64 = 10_000;
const REPORT_MICROS: u64 = 1_000_000;

/// The role of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Sends one Opus and one VP8 stream.
    Publisher,
    /// Receives media.
    Player,
}

/// A received packet of video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

/// One peer connection of a client.
pub struct Client {
    /// The address of the client.
    pub address: SocketAddr,
    kind: ClientKind,
    rng: StdRng,
    epoch: Instant,
    identity: Identity,
    credentials: Credentials,
    server: Option<Server>,
    handshake: Option<Handshake>,
    handshake_due: Option<u64>,
    keys: Option<(Sealer, Opener)>,
    outbox: VecDeque<Vec<u8>>,
    next_tick: u64,
    next_check: u64,
    next_report: u64,
    buf: Vec<u8>,
    // Sending.
    ssrcs: [u32; 3],
    video: VecDeque<(u16, u32, bool, Vec<u8>)>,
    indices: [u64; 3],
    transport_sequence: u16,
    frames: u32,
    layers: Vec<Layer>,
    /// Whether packets and descriptions name the layers.
    pub names_layers: bool,
    key_wanted: bool,
    // Receiving.
    arrivals: Arrivals,
    streams: BTreeMap<u32, Incoming>,
    payload_types: HashMap<u8, (MediaKind, bool)>,
    transport_sequence_id: Option<u8>,
    /// The playback of received video, by SSRC.
    pub playback: BTreeMap<u32, Playback>,
    /// The number of received audio packets, by SSRC.
    pub audio_packets: HashMap<u32, u64>,
    /// Whether the client offers redundant audio (RFC 2198), and prefers it for what it sends.
    pub speaks_red: bool,
    /// The payload type and the payload of the newest received packet of each stream of audio.
    pub newest_sound: HashMap<u32, (u8, Vec<u8>)>,
    /// The received packets of video, if they are kept rather than played.
    pub kept: Option<Vec<Received>>,
    /// The number of received retransmissions.
    pub retransmissions: u64,
    /// Whether the client requests lost packets again.
    pub asks_again: bool,
    /// Whether the client offers and sends transport-wide feedback, rather than receiver reports.
    pub gives_feedback: bool,
    /// Whether the client decrypts and plays media. A client that only counts packets needs a fraction of the
    /// processing time; it detects no loss and requests no retransmissions.
    pub plays: bool,
    /// The number of received RTP packets, not counting retransmissions and padding.
    pub media_packets: u64,
    /// The interval between connectivity checks.
    pub check_interval: Duration,
    /// The sender reports received from the server, by SSRC.
    pub sender_reports: HashMap<u32, SenderInfo>,
    /// The times of the server's key frame requests, in microseconds.
    pub keyframe_requests: Vec<u64>,
    /// The time after a key frame in which requests are ignored, as in Chromium.
    pub key_rest_micros: u64,
    /// A key frame has this many times the packets of another picture.
    pub key_packets_factor: u16,
    last_key_micros: Option<u64>,
    /// The time from which media could flow, in microseconds.
    pub connected_micros: Option<u64>,
}

struct Server {
    address: SocketAddr,
    ufrag: String,
    password: String,
    fingerprint: Fingerprint,
    is_valid: bool,
}

impl Client {
    /// Creates a client at an address, with its random values from a seed.
    pub fn new(kind: ClientKind, address: SocketAddr, identity: Identity, seed: u64, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut text = |len: usize| -> String {
            (0..len).map(|_| char::from(b'a' + u8::try_from(rng.next_u32() % 26).unwrap_or(0))).collect()
        };
        let credentials = Credentials::new(text(8), text(24));
        let ssrcs = [rng.next_u32(), rng.next_u32(), rng.next_u32()];
        Self {
            address,
            kind,
            rng,
            epoch: now,
            identity,
            credentials,
            server: None,
            handshake: None,
            handshake_due: None,
            keys: None,
            outbox: VecDeque::new(),
            next_tick: 0,
            next_check: 0,
            next_report: 0,
            buf: vec![0; 2048],
            ssrcs,
            video: VecDeque::new(),
            indices: [100, 200, 300],
            transport_sequence: 0,
            frames: 0,
            layers: Vec::new(),
            names_layers: true,
            key_wanted: true,
            arrivals: Arrivals::default(),
            streams: BTreeMap::new(),
            payload_types: HashMap::from([
                (OPUS, (MediaKind::Audio, false)),
                (RED, (MediaKind::Audio, false)),
                (VP8, (MediaKind::Video, false)),
                (RTX, (MediaKind::Video, true)),
            ]),
            transport_sequence_id: None,
            playback: BTreeMap::new(),
            audio_packets: HashMap::new(),
            speaks_red: false,
            newest_sound: HashMap::new(),
            kept: None,
            retransmissions: 0,
            asks_again: true,
            gives_feedback: true,
            plays: true,
            media_packets: 0,
            check_interval: Duration::from_millis(500),
            sender_reports: HashMap::new(),
            keyframe_requests: Vec::new(),
            key_rest_micros: 0,
            key_packets_factor: 1,
            last_key_micros: None,
            connected_micros: None,
        }
    }

    /// The offer for WHIP, WHEP or the publish connection of a room.
    pub fn offer(&self) -> String {
        let direction = if self.kind == ClientKind::Publisher { "sendonly" } else { "recvonly" };
        let mut sdp = self.session("0 1");
        let formats = if self.speaks_red { "63 111" } else { "111" };
        sdp.push_str(&self.section("audio", formats, "0", "actpass", direction));
        if self.speaks_red {
            sdp.push_str("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n");
        }
        sdp.push_str("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n");
        sdp.push_str("a=rtcp-fb:111 transport-cc\r\n");
        sdp.push_str(&self.section("video", "96 97", "1", "actpass", direction));
        sdp.push_str("a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n");
        sdp.push_str("a=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
        sdp.push_str(&self.describe_layers());
        sdp
    }

    fn session(&self, mids: &str) -> String {
        format!(
            "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n",
            self.ssrcs[0]
        )
    }

    fn section(&self, media: &str, formats: &str, mid: &str, setup: &str, direction: &str) -> String {
        let mut section = format!(
            "m={media} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=ice-ufrag:{}\r\n\
             a=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\na={direction}\r\na=rtcp-mux\r\n\
             a=extmap:{AUDIO_LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
             a=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
            self.credentials.ufrag, self.credentials.password, self.identity.fingerprint
        );
        if self.gives_feedback {
            let uri = Extension::TransportSequence.uri();
            section.push_str(&format!("a=extmap:{TRANSPORT_SEQUENCE_ID} {uri}\r\n"));
        }
        section
    }

    /// Handles the server's answer to [`Client::offer`] and starts to connect. `None` if the answer lacks something.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> Option<()> {
        self.connect(now, sdp)
    }

    /// Answers an offer of the server, accepting everything, and starts to connect.
    pub fn answer(&mut self, now: Instant, offer: &str) -> Option<String> {
        let parsed = RemoteDescription::parse(offer).ok()?;
        let mids: Vec<_> = parsed.sections.iter().map(|section| section.mid.clone()).collect();
        let mut sdp = self.session(&mids.join(" "));
        for section in &parsed.sections {
            let direction = if section.direction.sends() { "recvonly" } else { "inactive" };
            sdp.push_str(&format!(
                "m={} 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
                 a=fingerprint:sha-256 {}\r\na=setup:active\r\na={direction}\r\na=rtcp-mux\r\n",
                section.media,
                section.formats.join(" "),
                section.mid,
                self.credentials.ufrag,
                self.credentials.password,
                self.identity.fingerprint
            ));
            for (extension, id) in section.extensions.iter() {
                sdp.push_str(&format!("a=extmap:{id} {}\r\n", extension.uri()));
            }
            for codec in &section.codecs {
                let kind = codec.codec.kind();
                self.payload_types.insert(codec.payload_type, (kind, false));
                sdp.push_str(&format!("a=rtpmap:{} {}\r\n", codec.payload_type, codec.codec.rtpmap()));
                if let Some(rtx) = codec.rtx {
                    self.payload_types.insert(rtx, (kind, true));
                    sdp.push_str(&format!(
                        "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={}\r\n",
                        codec.payload_type
                    ));
                }
                if codec.codec == Codec::Vp8 {
                    sdp.push_str(&format!("a=rtcp-fb:{} nack\r\n", codec.payload_type));
                }
            }
        }
        self.connect(now, offer)?;
        Some(sdp)
    }

    fn connect(&mut self, now: Instant, sdp: &str) -> Option<()> {
        let parsed = RemoteDescription::parse(sdp).ok()?;
        let line = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix));
        let mut candidate = line("a=candidate:")?.split(' ').skip(4);
        let address = SocketAddr::new(candidate.next()?.parse().ok()?, candidate.next()?.parse().ok()?);
        let password = line("a=ice-pwd:")?.to_owned();
        self.transport_sequence_id =
            parsed.sections.iter().find_map(|s| s.extensions.id(Extension::TransportSequence));
        let is_same = self.server.as_ref().is_some_and(|server| server.ufrag == parsed.ufrag);
        if !is_same {
            self.server = Some(Server {
                address,
                ufrag: parsed.ufrag,
                password,
                fingerprint: parsed.fingerprint,
                is_valid: false,
            });
            self.next_check = 0;
        }
        if self.handshake.is_none() {
            let role = if parsed.setup == Setup::Active { Role::Server } else { Role::Client };
            self.handshake = Some(Handshake::new(&self.identity, role, parsed.fingerprint, now));
        }
        Some(())
    }

    /// The role of the client.
    pub fn kind(&self) -> ClientKind {
        self.kind
    }

    /// Whether media can flow.
    pub fn is_connected(&self) -> bool {
        self.keys.is_some()
    }

    /// The fingerprint of the server's certificate, from its description.
    pub fn server_fingerprint(&self) -> Option<Fingerprint> {
        self.server.as_ref().map(|server| server.fingerprint)
    }

    /// The time at which [`Client::handle_timeout`] has to be called.
    pub fn poll_timeout(&self) -> Instant {
        let due = self.next_tick.min(self.handshake_due.unwrap_or(u64::MAX));
        self.epoch + Duration::from_micros(due)
    }

    /// The next datagram for the server, and the server's address.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let server = self.server.as_ref()?.address;
        Some((server, self.outbox.pop_front()?))
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_micros = self.micros(now);
        if self.handshake_due.is_some_and(|due| due <= now_micros) {
            self.handshake_due = None;
            self.drive(now, None);
        }
        if self.next_tick > now_micros {
            return;
        }
        self.next_tick = now_micros + TICK_MICROS;
        if self.next_check <= now_micros {
            let interval = u64::try_from(self.check_interval.as_micros()).unwrap_or(u64::MAX);
            self.next_check = now_micros.saturating_add(interval);
            self.send_check();
        }
        if self.keys.is_some() && self.kind == ClientKind::Player {
            self.give_feedback(now_micros);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    fn send_check(&mut self) {
        let transaction = u128::from(self.rng.next_u64());
        let Some(server) = &self.server else { return };
        let username = format!("{}:{}", server.ufrag, self.credentials.ufrag);
        let mut buf = [0; 256];
        if let Some(len) = write_check(&username, &server.password, transaction, true, &mut buf) {
            self.outbox.extend(buf.get(..len).map(<[u8]>::to_vec));
        }
    }

    /// Handles a datagram from the server.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        let now_micros = self.micros(now);
        match classify(datagram) {
            Some(Protocol::Stun) if is_success(datagram) => {
                let newly =
                    self.server.as_mut().is_some_and(|server| !std::mem::replace(&mut server.is_valid, true));
                if newly && self.handshake.as_ref().is_some_and(|handshake| handshake.role() == Role::Client)
                {
                    self.drive(now, None);
                }
            }
            Some(Protocol::Stun) => self.answer_check(datagram),
            Some(Protocol::Dtls) => self.drive(now, Some(datagram)),
            Some(Protocol::Rtp) => self.on_rtp(now_micros, datagram),
            Some(Protocol::Rtcp) => self.on_rtcp(now_micros, datagram),
            _ => {}
        }
    }

    /// Answers a connectivity check of a server that is not a lite agent.
    fn answer_check(&mut self, datagram: &[u8]) {
        let (Some(check), Some(server)) = (Check::parse(datagram), &self.server) else { return };
        if check.verify(&self.credentials) == Verdict::Unauthenticated {
            return;
        }
        let mut buf = [0; 128];
        let valid = Verdict::Valid { nominated: false };
        if let Some(len) = check.respond(valid, server.address, &self.credentials, &mut buf) {
            self.outbox.extend(buf.get(..len).map(<[u8]>::to_vec));
        }
    }

    fn drive(&mut self, now: Instant, datagram: Option<&[u8]>) {
        let now_micros = self.micros(now);
        let Some(handshake) = &mut self.handshake else { return };
        let result = match datagram {
            Some(datagram) => handshake.handle_packet(now, datagram),
            None => handshake.handle_timeout(now),
        };
        let mut failed = result.is_err();
        while !failed {
            match handshake.poll(&mut self.buf) {
                Ok(DtlsEvent::Transmit(len)) => self.outbox.extend(self.buf.get(..len).map(<[u8]>::to_vec)),
                Ok(DtlsEvent::Keys(material, profile)) => {
                    self.keys = srtp::keys(&material, profile, handshake.role() == Role::Client).ok();
                    self.connected_micros.get_or_insert(now_micros);
                }
                Ok(DtlsEvent::Wait(at)) => {
                    // Rounded up: if called too early, the association would return the same time again.
                    let due = at.saturating_duration_since(self.epoch).as_micros() + 1;
                    self.handshake_due = Some(u64::try_from(due).unwrap_or(u64::MAX));
                    return;
                }
                Ok(DtlsEvent::Closed) | Err(_) => failed = true,
            }
        }
        self.handshake = None;
        self.keys = None;
    }

    /// Sends a picture in this many packets; the first one, and any one requested, is a key frame.
    pub fn send_picture(&mut self, now: Instant, packets: u16) {
        let now_micros = self.micros(now);
        if !self.layers.is_empty() {
            self.send_layers(now_micros, packets);
            return;
        }
        let is_key = std::mem::replace(&mut self.key_wanted, false);
        let packets = if is_key { packets * self.key_packets_factor } else { packets };
        if is_key {
            self.last_key_micros = Some(now_micros);
        }
        let number = self.frames;
        self.frames += 1;
        let timestamp = number.wrapping_mul(3_000);
        for packet in 0..packets {
            let size = (640, 360);
            let frame = Frame { number, packet, packets, is_key, sent_micros: now_micros, size };
            let marker = packet + 1 == packets;
            let payload = frame.to_vp8();
            let sequence = self.send_rtp(1, VP8, timestamp, marker, &payload, None);
            self.video.push_back((sequence, timestamp, marker, payload));
            if self.video.len() > 2_000 {
                self.video.pop_front();
            }
        }
    }

    /// Sends 20 ms of audio.
    pub fn send_sound(&mut self, minus_dbov: u8) {
        let timestamp = u32::try_from((self.indices[0] * 960) & 0xffff_ffff).unwrap_or(0);
        if self.speaks_red {
            // A block of the 80 bytes sent 20 ms ago, and the packet's own.
            let mut payload = vec![0x80 | OPUS, 0x0f, 0x00, 80, OPUS];
            payload.extend([[0xfb; 80], [0xfc; 80]].concat());
            self.send_rtp(0, RED, timestamp, false, &payload, Some(minus_dbov));
        } else {
            self.send_rtp(0, OPUS, timestamp, false, &[0xfc; 80], Some(minus_dbov));
        }
    }

    /// Sends 20 ms of redundant audio with this payload, which may be malformed.
    pub fn send_red(&mut self, payload: &[u8]) {
        let timestamp = u32::try_from((self.indices[0] * 960) & 0xffff_ffff).unwrap_or(0);
        self.send_rtp(0, RED, timestamp, false, payload, Some(20));
    }

    /// Sends a correctly encrypted RTP packet of an arbitrary stream.
    pub fn send_stray(&mut self, ssrc: u32, payload_type: u8) {
        let known = std::mem::replace(&mut self.ssrcs[2], ssrc);
        self.send_rtp(2, payload_type, 0, false, &[1; 20], None);
        self.ssrcs[2] = known;
    }

    /// Sends sender reports on both streams.
    pub fn send_reports(&mut self, now: Instant) {
        let now_micros = self.micros(now);
        let ntp = NtpTime(0xe000_0000_0000_0000).plus_micros(now_micros);
        self.report_layers(now_micros);
        let [audio, video, _] = self.ssrcs;
        let video_timestamp = self.frames.wrapping_mul(3_000);
        let audio_timestamp = u32::try_from((self.indices[0] * 960) & 0xffff_ffff).unwrap_or(0);
        self.send_rtcp(|writer| {
            for (ssrc, rtp_timestamp) in [(audio, audio_timestamp), (video, video_timestamp)] {
                let info = SenderInfo { ntp, rtp_timestamp, packets: 1, octets: 1 };
                write_sender_report(writer, ssrc, &info);
            }
        });
    }

    fn send_rtp(
        &mut self,
        stream: usize,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        level: Option<u8>,
    ) -> u16 {
        let (Some(ssrc), Some(index)) = (self.ssrcs.get(stream).copied(), self.indices.get_mut(stream))
        else {
            return 0;
        };
        let number = *index;
        *index += 1;
        let mid = [b'0' + u8::from(stream > 0)];
        let level = level.map(|level| [level]);
        let elements = [
            // The third SSRC is that of retransmissions, which contain the section's `mid`, too; stray packets do not.
            (payload_type <= RTX || stream == 0).then_some((MID_ID, mid.as_slice())),
            level.as_ref().map(|level| (AUDIO_LEVEL_ID, level.as_slice())),
        ];
        let sequence = u16::try_from(number & 0xffff).unwrap_or(0);
        let header = NewHeader { marker, payload_type, sequence, timestamp, ssrc, padding: false };
        self.send_packet(header, number, &elements, payload);
        sequence
    }

    /// Encrypts and sends a packet with these header extension elements and a transport-wide sequence number.
    fn send_packet(
        &mut self,
        header: NewHeader,
        index: u64,
        elements: &[Option<(u8, &[u8])>],
        payload: &[u8],
    ) {
        let Some((sealer, _)) = &self.keys else { return };
        let transport_sequence = self.transport_sequence.to_be_bytes();
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        let elements =
            elements.iter().copied().chain([Some((TRANSPORT_SEQUENCE_ID, transport_sequence.as_slice()))]);
        let mut packet = vec![0; 100 + payload.len() + RTP_OVERHEAD];
        let Some(header_len) = write_header(header, elements.flatten(), &mut packet) else { return };
        let len = header_len + payload.len();
        if let Some(place) = packet.get_mut(header_len..len) {
            place.copy_from_slice(payload);
        }
        if let Ok(len) = sealer.seal_rtp(&mut packet, header_len, len, header.ssrc, index) {
            packet.truncate(len);
            self.outbox.push_back(packet);
        }
    }

    /// Sends these bytes as correctly encrypted RTCP.
    pub fn send_raw_rtcp(&mut self, packet: &[u8]) {
        self.send_rtcp(|writer| writer.bytes(packet));
    }

    fn send_rtcp(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let Some((sealer, _)) = &mut self.keys else { return };
        let mut packet = vec![0; 1_400];
        let room = packet.len() - RTCP_OVERHEAD;
        let Some(buf) = packet.get_mut(..room) else { return };
        let mut writer = Writer::new(buf);
        write(&mut writer);
        let Some(len) = writer.finish() else { return };
        if let Ok(len) = sealer.seal_rtcp(&mut packet, len) {
            packet.truncate(len);
            self.outbox.push_back(packet);
        }
    }
}
