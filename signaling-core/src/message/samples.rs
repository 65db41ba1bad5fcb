//! One example of each message of the server, as `docs/events.md` shows them.
//!
//! `UPDATE_DOCS=1 cargo test -p signaling-core --lib samples` writes that file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    CallEnd, CallState, EndReason, IceServer, IceServers, Json, LeaveReason, LobbyVerdict, Name,
    PeerConnection, PeerLevel, PeerTarget, PeerView, QualityReason, RecordingState, Reply, Role, RoomView,
    ServerEvent, SignalBody, Snapshot, SubscribeTrack, Switch, Topology, Track, TrackKind, TrackSource,
    Welcome, WelcomeState,
};
use crate::{Code, Frame, JsonCodec, Reason, Refusal, Timestamp};

const HEAD: &str = "\
# Events in full

One example or more of everything that the server sends, with every field that it can have. [The wire
protocol](signaling-protocol.md#server-messages) says what the fields mean, and which are optional. What webhooks are
sent is in [webhooks](webhooks.md).

This file is generated from the types. `UPDATE_DOCS=1 cargo test -p signaling-core --lib samples` writes it.
";

const ADA: &str = "7gkq3wz0r5tn8e2m";
const BOB: &str = "p41d9xj6c0vy2hfa";

fn id<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + second * 1_000)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn raw(value: &Value) -> Json {
    serde_json::value::to_raw_value(value).unwrap().into()
}

fn track(kind: TrackKind, source: TrackSource, codec: &str) -> Track {
    let track = format!("{BOB}-{codec}").to_lowercase();
    Track { track, kind, source, simulcast: kind == TrackKind::Video, codec: codec.to_owned() }
}

fn tracks() -> Arc<[Track]> {
    [
        track(TrackKind::Audio, TrackSource::Microphone, "opus"),
        track(TrackKind::Video, TrackSource::Camera, "VP8"),
    ]
    .into()
}

fn peer(id_of: &str, shown: &str) -> PeerView {
    PeerView {
        id: id(id_of),
        name: name(shown),
        role: Role::Participant,
        host: id_of == ADA,
        joined_at: at(2),
        microphone: true,
        camera: true,
        screen: false,
        hand: false,
        tracks: if id_of == ADA { Arc::default() } else { tracks() },
        away: false,
        live: false,
        metadata: None,
    }
}

fn bob() -> PeerView {
    PeerView { metadata: Some(raw(&json!({"seat": 4}))), ..peer(BOB, "Bob") }
}

/// A peer with every field.
fn broadcaster() -> PeerView {
    PeerView { role: Role::Broadcaster, away: true, live: true, ..bob() }
}

fn room() -> RoomView {
    RoomView {
        id: id("standup"),
        name: "Standup".to_owned(),
        title: Some("Stand-up of the week".into()),
        topology: Topology::Sfu,
        epoch: 2,
        locked: false,
        host: Some(id(ADA)),
        lobby: true,
        password: false,
        recording: false,
        viewers: 3,
        created_at: at(0),
        ends_at: Some(at(1_800)),
    }
}

fn turn(url: &str) -> IceServer {
    let credential = Some("c2VjcmV0IG9mIG9uZSBzZXNzaW9u".to_owned());
    IceServer { urls: vec![url.to_owned()], username: Some(format!("1800003600:{ADA}")), credential }
}

fn ice() -> IceServers {
    let stun =
        IceServer { urls: vec!["stun:calls.example:3478".to_owned()], username: None, credential: None };
    IceServers {
        ice_servers: vec![turn("turns:calls.example:443?transport=tcp")],
        peer_ice_servers: Some(vec![stun, turn("turn:calls.example:3478")]),
        ttl_seconds: 3_600,
    }
}

fn welcome() -> Welcome {
    Welcome {
        me: peer(ADA, "Ada"),
        session: id("s0gq3wz0r5tn8e2m"),
        secret: "Zm9yIHdob2V2ZXIgcmVzdW1lcyBpdA".to_owned(),
        state: WelcomeState::Joined,
        room: room(),
        peers: Some(vec![bob()]),
        host_token: Some("dGhlIHBvd2VycyBvZiBhIGhvc3Q".to_owned()),
        ice: Some(ice()),
        heartbeat_ms: 15_000,
        resume_window_ms: 30_000,
        last_id: 17,
        resumed: false,
        last_seq: None,
        features: ["websocket", "sse", "sfu", "recording"].map(str::to_owned).into(),
    }
}

fn resumed() -> Welcome {
    Welcome { resumed: true, last_seq: Some(8), peers: None, host_token: None, last_id: 21, ..welcome() }
}

fn signals() -> [ServerEvent; 4] {
    let signal = |from, body| ServerEvent::Signal { from, body: Arc::new(body) };
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n…";
    let candidate =
        json!({"candidate": "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host", "sdpMid": "0"});
    let from_bob = PeerTarget::Peer(id(BOB));
    [
        signal(
            from_bob,
            SignalBody {
                description: Some(raw(&json!({"type": "offer", "sdp": sdp}))),
                epoch: Some(1),
                ..SignalBody::default()
            },
        ),
        signal(
            from_bob,
            SignalBody { candidate: Some(raw(&candidate)), epoch: Some(1), ..SignalBody::default() },
        ),
        signal(from_bob, SignalBody { restart: Some(true), epoch: Some(1), ..SignalBody::default() }),
        signal(
            PeerTarget::Sfu,
            SignalBody {
                description: Some(raw(&json!({"type": "offer", "sdp": sdp}))),
                pc: Some(PeerConnection::Subscribe),
                negotiation: Some(3),
                tracks: vec![SubscribeTrack {
                    mid: "1".to_owned(),
                    track: format!("{BOB}-vp8"),
                    peer: id(BOB),
                }],
                ..SignalBody::default()
            },
        ),
    ]
}

fn events() -> Vec<ServerEvent> {
    let (ada, bob_id) = (id(ADA), id(BOB));
    let mut all = vec![
        ServerEvent::PeerJoined { peer: bob() },
        ServerEvent::PeerUpdated { peer: broadcaster() },
        ServerEvent::PeerLeft { peer: bob_id, reason: LeaveReason::Left },
        ServerEvent::BroadcasterConnected { peer: bob_id, tracks: tracks() },
        ServerEvent::BroadcasterDisconnected { peer: bob_id },
    ];
    all.extend(signals());
    all.extend([
        ServerEvent::Tracks { peer: bob_id, tracks: tracks() },
        ServerEvent::Topology { topology: Topology::Sfu, epoch: 2, state: Switch::Switching },
        ServerEvent::Chat {
            from: bob_id,
            name: Some(name("Bob")),
            text: "Good morning".into(),
            to: Some(ada),
            at: at(60),
        },
        ServerEvent::App {
            from: bob_id,
            topic: "example.cursor".into(),
            data: raw(&json!({"x": 0.5, "y": 0.25})),
            to: Some(ada),
            at: at(61),
        },
        ServerEvent::Caption { source: name("Bob"), text: "Good morning".into(), is_final: true, at: at(62) },
        ServerEvent::Call {
            call: id("c0gq3wz0r5tn"),
            state: CallState::Ended,
            from: bob_id,
            to: ada,
            reason: Some(CallEnd::HungUp),
        },
        ServerEvent::Lobby { state: Some(LobbyVerdict::Admitted), peer: None, name: None },
        ServerEvent::Lobby { state: None, peer: Some(bob_id), name: Some(name("Bob")) },
        ServerEvent::RoomUpdated { room: room() },
        ServerEvent::Recording {
            state: RecordingState::Active,
            peer: Some(bob_id),
            recording: Some("r0gq3wz0r5tn8e2m".into()),
        },
        ServerEvent::Muted { by: ada },
        ServerEvent::RoomEnded { reason: EndReason::HostEnded },
    ]);
    all
}

fn replies() -> Vec<Reply> {
    let bob_id = id(BOB);
    let refusal = Refusal {
        retry_after_ms: Some(2_000),
        ..Refusal::new(Code::RateLimited, "too many messages; try again later")
    };
    let early =
        Refusal { starts_at: Some(at(300)), ..Refusal::new(Code::NotStarted, "the meeting has not started") };
    let expired = Refusal {
        reason: Some(Reason::Expired),
        ..Refusal::new(Code::Unauthorized, "the token has expired")
    };
    vec![
        Reply::Welcome(Box::new(welcome())),
        Reply::Welcome(Box::new(resumed())),
        Reply::Snapshot(Box::new(Snapshot { room: room(), peers: vec![bob()], gap: true, last_id: 40 })),
        Reply::Ack { seq: Some(8) },
        Reply::Pong { t: Some(raw(&json!(1234.5))), server_time: at(63) },
        Reply::Error {
            code: refusal.code,
            message: refusal.message.clone(),
            retryable: refusal.code.is_retryable(),
            seq: Some(9),
            retry_after_ms: refusal.retry_after_ms,
            starts_at: None,
            reason: None,
        },
        Reply::error(&early, None),
        Reply::error(&expired, None),
        Reply::Ping,
        Reply::GoingAway { reconnect_after_ms: 1_250 },
        Reply::Reaction { from: bob_id, emoji: "👍".into() },
        Reply::Speakers { speakers: vec![PeerLevel { peer: bob_id, level: 0.5 }] },
        Reply::Quality {
            peer: bob_id,
            level: 2,
            track: Some(format!("{BOB}-vp8").into()),
            layer: Some("m".into()),
            reason: Some(QualityReason::OwnNetwork),
        },
        Reply::Layers { track: format!("{ADA}-vp8").into(), active: ["l", "m"].map(Arc::from).into() },
    ]
}

/// The messages in the order of the document, as text over several lines.
fn samples() -> Vec<String> {
    let codec = JsonCodec::default();
    let is_same = |frame: &Frame, text: &str| {
        serde_json::from_str::<Value>(frame.text()).unwrap() == serde_json::from_str::<Value>(text).unwrap()
    };
    let mut all = Vec::new();
    for reply in replies() {
        let text = serde_json::to_string_pretty(&reply).unwrap();
        assert!(is_same(&codec.encode_reply(&reply), &text), "{text}");
        all.push(text);
    }
    for (event, id) in events().into_iter().zip(22..) {
        let text = serde_json::to_string_pretty(&event).unwrap();
        let text = text.replacen('{', &format!("{{\n  \"id\": {id},"), 1);
        assert!(is_same(&codec.encode_event(id, &event), &text), "{text}");
        all.push(text);
    }
    all
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let mut last = String::new();
    for sample in samples() {
        let value: Value = serde_json::from_str(&sample).unwrap();
        let kind = value["type"].as_str().unwrap();
        if kind != last {
            write!(text, "\n## `{kind}`\n").unwrap();
            last = kind.to_owned();
        }
        write!(text, "\n```json\n{sample}\n```\n").unwrap();
    }
    text
}

/// Reads a file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_document_shows_what_is_sent() {
    let (path, expected) = (repository("docs/events.md"), document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == expected,
        "docs/events.md is out of date; its head says how to write it"
    );
}

/// The declaration of a type in the generated declarations of the SDK, without comments.
fn declaration(all: &str, of: &str) -> String {
    let (_, rest) = all.split_once(&format!("export type {of} = ")).unwrap();
    let declaration = rest.split("\nexport type ").next().unwrap();
    declaration
        .lines()
        .filter(|line| !line.trim_start().starts_with(['/', '*']))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What the declaration names: the fields, and the values of `type`.
fn named(declaration: &str) -> impl Iterator<Item = &str> {
    let fields = declaration.split(':').map(|before| before.trim_end_matches('?'));
    let last_word = |text: &'_ str| text.rfind([' ', '{', ',', '\n', '"']).map_or(0, |at| at + 1);
    let fields = fields.map(move |text| &text[last_word(text)..]).filter(|name| !name.is_empty());
    let kinds = declaration.split("\"type\": \"").skip(1).filter_map(|rest| rest.split('"').next());
    fields.chain(kinds)
}

#[test]
fn the_document_leaves_no_message_and_no_field_out() {
    let (all, text) =
        (fs::read_to_string(repository("web/sdk/transport/messages.d.ts")).unwrap(), document());
    let mut names = 0;
    for of in [
        "ServerEvent",
        "Reply",
        "Welcome",
        "Snapshot",
        "PeerView",
        "RoomView",
        "IceServer",
        "Track",
        "SubscribeTrack",
        "PeerLevel",
    ] {
        let declaration = declaration(&all, of);
        for name in named(&declaration) {
            assert!(text.contains(&format!("\"{name}\"")), "{of}: {name}");
            names += 1;
        }
    }
    assert!(names > 150, "{names}");
}
