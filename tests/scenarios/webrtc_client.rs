//! The `webrtc` crate publishes by WHIP and plays by WHEP, in a room of the real server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test code, which paces what it sends"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::{Value, json};
use tests::api::Api;
use tests::client::Ws;
use tests::{Answer, Visavis, request};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinSet};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

/// Events of a peer connection.
struct Events {
    gathered: Sender<()>,
    connected: Sender<()>,
    packets: Sender<(RtpCodecKind, Bytes)>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // A receiver that is gone needs no more events; so below.
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.connected.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let packets = self.packets.clone();
        let kind = track.kind().await;
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && packets.send((kind, packet.payload)).await.is_err()
                {
                    return;
                }
            }
        });
    }
}

/// A client of WHIP or WHEP.
struct Client<C> {
    connection: C,
    gathered: Receiver<()>,
    connected: Receiver<()>,
    packets: Receiver<(RtpCodecKind, Bytes)>,
    session: Option<Answer>,
}

async fn client() -> Client<impl PeerConnection> {
    let (gathered, has_gathered) = channel(1);
    let (connected, has_connected) = channel(1);
    let (packets, arriving) = channel(1_024);
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    let registry = register_default_interceptors(Registry::new(), &mut engine).unwrap();
    let builder = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(Events { gathered, connected, packets }))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()]);
    Client {
        connection: Box::pin(builder.build()).await.unwrap(),
        gathered: has_gathered,
        connected: has_connected,
        packets: arriving,
        session: None,
    }
}

impl<C: PeerConnection> Client<C> {
    /// Sends an offer, applies the answer, and waits for the connection.
    async fn connect(&mut self, server: &Visavis, path: &str) {
        let offer = self.connection.create_offer(None).await.unwrap();
        self.connection.set_local_description(offer).await.unwrap();
        self.gathered.recv().await.unwrap();
        let offer = self.connection.local_description().await.unwrap();
        let headers = [("content-type", "application/sdp"), ("accept", "application/sdp")];
        let answer = request(server.addr, "POST", path, &headers, Some(offer.sdp.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        let description = RTCSessionDescription::answer(answer.body.clone()).unwrap();
        self.connection.set_remote_description(description).await.unwrap();
        self.session = Some(answer);
        self.connected.recv().await.unwrap();
    }

    /// Waits for this many packets of video and of audio. Video packets are numbered; missing ones must arrive too, if
    /// late.
    async fn plays(&mut self, pictures: usize, sounds: usize) {
        let (mut heard, mut seen) = (0, BTreeSet::new());
        let is_whole = |seen: &BTreeSet<u32>| {
            let ends = seen.first().zip(seen.last());
            ends.is_some_and(|(first, last)| seen.len() == usize::try_from(last - first + 1).unwrap())
        };
        while seen.len() < pictures || heard < sounds || !is_whole(&seen) {
            let (kind, payload) = self.packets.recv().await.unwrap();
            if kind == RtpCodecKind::Audio {
                heard += 1;
            } else {
                seen.insert(u32::from_be_bytes(payload[payload.len() - 4..].try_into().unwrap()));
            }
        }
    }

    fn end(&self, server: &Visavis) -> u16 {
        request(server.addr, "DELETE", self.session.as_ref().unwrap().header("location"), &[], None).status
    }
}

fn track(kind: RtpCodecKind, ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    let (mime_type, clock_rate, channels) = match kind {
        RtpCodecKind::Audio => (MIME_TYPE_OPUS, 48_000, 2),
        _ => (MIME_TYPE_VP8, 90_000, 0),
    };
    let codec = RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![],
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    let (stream, id) = ("camera".to_owned(), format!("{kind}"));
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(stream, id.clone(), id, kind, vec![coding])))
}

fn packet(
    payload_type: u8,
    ssrc: u32,
    sequence: u32,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
) -> rtp::Packet {
    let header = rtp::Header {
        version: 2,
        marker,
        payload_type,
        sequence_number: u16::try_from(sequence & 0xffff).unwrap(),
        timestamp,
        ssrc,
        ..Default::default()
    };
    rtp::Packet { header, payload: payload.into() }
}

/// Thirty pictures a second of three packets, every tenth a key picture; the last four bytes are a number.
async fn send_pictures(track: Arc<TrackLocalStaticRTP>, ssrc: u32) {
    let mut ticks = tokio::time::interval(Duration::from_millis(33));
    let mut sequence = 0_u32;
    for picture in 0_u32.. {
        ticks.tick().await;
        for part in 0..3 {
            let descriptor = if part == 0 { 0x10 } else { 0x00 };
            let is_key = picture % 10 == 0;
            let mut payload = vec![descriptor, u8::from(!is_key), 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
            payload.resize(900, 0);
            payload.extend(sequence.to_be_bytes());
            let packet = packet(96, ssrc, sequence, picture.wrapping_mul(3_000), part == 2, payload);
            track.write_rtp(packet).await.unwrap();
            sequence += 1;
        }
    }
}

async fn send_sound(track: Arc<TrackLocalStaticRTP>, ssrc: u32) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for sequence in 0_u32.. {
        ticks.tick().await;
        let packet = packet(111, ssrc, sequence, sequence.wrapping_mul(960), false, vec![0xf8, 0xff, 0xfe]);
        track.write_rtp(packet).await.unwrap();
    }
}

/// Joins the room by WebSocket, and receives its events.
fn listener(server: &Visavis) -> Ws {
    let mut ws = Ws::connect(server.addr);
    ws.send(&json!({"type": "join", "room": "stage", "name": "Ada", "role": "viewer"}));
    ws.until("welcome");
    ws
}

fn said(event: &Value) -> (&str, usize) {
    (event["peer"].as_str().unwrap(), event["tracks"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crate_publishes_and_plays_and_restarts() {
    let server = Visavis::start(&[]);
    let mut ws = listener(&server);
    let mut player = client().await;
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        let direction = RTCRtpTransceiverDirection::Recvonly;
        let init = RTCRtpTransceiverInit { direction, ..Default::default() };
        player.connection.add_transceiver_from_kind(kind, Some(init)).await.unwrap();
    }
    // Nobody publishes yet: it connects nevertheless.
    player.connect(&server, "/whep/stage").await;

    let mut publisher = client().await;
    let (sound, picture) = (track(RtpCodecKind::Audio, 1_111), track(RtpCodecKind::Video, 2_222));
    for track in [&sound, &picture] {
        publisher.connection.add_track(Arc::clone(track) as Arc<dyn TrackLocal>).await.unwrap();
    }
    publisher.connect(&server, "/whip/stage?name=Crate").await;
    // A viewer is not host, and receives no events about other viewers.
    let joined = ws.until("peer-joined");
    assert_eq!((&joined["peer"]["name"], &joined["peer"]["role"]), (&json!("Crate"), &json!("broadcaster")));

    let mut sending = JoinSet::new();
    let senders: Vec<AbortHandle> =
        vec![sending.spawn(send_pictures(picture, 2_222)), sending.spawn(send_sound(sound, 1_111))];
    player.plays(120, 60).await;
    let connected = ws.until("broadcaster-connected");
    assert_eq!(said(&connected), (joined["peer"]["id"].as_str().unwrap(), 2));
    let measured = Api::with_key(&server, &["rooms"], &[]).get("/api/v1/rooms/stage/stats").json();
    let lists = |name: &str| -> Vec<Value> {
        let peers = measured["peers"].as_array().unwrap();
        peers.iter().flat_map(|peer| peer[name].as_array().unwrap().clone()).collect()
    };
    for (list, count) in [("received", 2), ("sent", 2)] {
        let tracks = lists(list);
        assert_eq!(tracks.len(), count, "{measured}");
        assert!(
            tracks.iter().all(|track| track["bps"].as_u64().unwrap() > 0 && track["paused"] == false),
            "{measured}"
        );
    }

    restart(&publisher, &server).await;
    restart(&player, &server).await;
    player.plays(120, 60).await;

    for sender in senders {
        sender.abort();
    }
    assert_eq!(publisher.end(&server), 200);
    assert_eq!(said(&ws.until("broadcaster-disconnected")).0, said(&connected).0);
    assert_eq!(ws.until("peer-left")["reason"], "left");
    assert_eq!(player.end(&server), 200);
    publisher.connection.close().await.unwrap();
    player.connection.close().await.unwrap();
}

/// An ICE restart by PATCH: the new credentials are inserted into the earlier answer.
async fn restart<C: PeerConnection>(client: &Client<C>, server: &Visavis) {
    let session = client.session.as_ref().unwrap();
    client.connection.restart_ice().await.unwrap();
    let offer = client.connection.create_offer(None).await.unwrap();
    let line = |sdp: &str, name: &str| {
        let found = sdp.lines().find(|line| line.starts_with(&format!("a={name}:")));
        found.unwrap_or_else(|| panic!("no {name} in {sdp}")).to_owned()
    };
    let fragment = format!(
        "{}\r\n{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n",
        line(&offer.sdp, "ice-ufrag"),
        line(&offer.sdp, "ice-pwd")
    );
    client.connection.set_local_description(offer).await.unwrap();
    let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "*")];
    let answer =
        request(server.addr, "PATCH", session.header("location"), &headers, Some(fragment.as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_ne!(answer.header("etag"), session.header("etag"));
    let renewed: String = session
        .body
        .lines()
        .map(|old| match old.split_once(':').map(|(name, _)| name) {
            Some("a=ice-ufrag") => line(&answer.body, "ice-ufrag"),
            Some("a=ice-pwd") => line(&answer.body, "ice-pwd"),
            _ => old.to_owned(),
        })
        .flat_map(|line| [line, "\r\n".to_owned()])
        .collect();
    let description = RTCSessionDescription::answer(renewed).unwrap();
    client.connection.set_remote_description(description).await.unwrap();
}
