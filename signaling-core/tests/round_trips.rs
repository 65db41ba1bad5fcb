//! Every fact and every snapshot can be written and read back, and a room that another process follows by the written
//! entries is the room that wrote them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signaling_core::message::{
    Json, LeaveReason, Name, RecordingState, Role, SubscribeTrack, TopologyChoice, Track, TrackKind,
    TrackSource,
};
use signaling_core::room::{
    Admission, Arrival, Caption, Effect, Entry, Fact, MediaTerms, MeetingTerms, Pass, Power, Room, RoomInput,
    RoomRecord, RoomState,
};
use signaling_core::testing::SeededEntropy;
use signaling_core::{
    EndReason, JsonCodec, LifeId, Limits, MediaEvent, PeerId, RecordScope, RoomId, Rules, ServerKey,
    SessionId, Signed, Timestamp, TokenDigests, TokenIdentity,
};

const SEEDS: u64 = 64;
const INPUTS: usize = 250;

fn raw(value: &Value) -> Json {
    serde_json::value::to_raw_value(value).unwrap().into()
}

/// Every path of a JSON document at which a value other than null, an empty list or an empty object was seen. Ids that
/// are keys of an object are one path.
#[derive(Default)]
struct Paths {
    set: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl Paths {
    fn note(&mut self, at: &str, value: &Value) {
        match value {
            Value::Null => drop(self.unset.insert(at.into())),
            Value::Array(items) if items.is_empty() => drop(self.unset.insert(at.into())),
            Value::Object(fields) if fields.is_empty() => drop(self.unset.insert(at.into())),
            Value::Array(items) => {
                self.set.insert(at.into());
                for item in items {
                    self.note(&format!("{at}[]"), item);
                }
            }
            Value::Object(fields) => {
                self.set.insert(at.into());
                for (field, value) in fields {
                    let is_id =
                        field.len() > 18 || matches!(at, ".calls" | ".members" | ".powers" | ".awaited");
                    self.note(&format!("{at}.{}", if is_id { "*" } else { field }), value);
                }
            }
            _ => drop(self.set.insert(at.into())),
        }
    }

    fn never_set(&self) -> Vec<&String> {
        self.unset.difference(&self.set).collect()
    }
}

/// A room, and another one that follows it by its written entries.
struct Pair {
    room: Room,
    follower: Room,
    rules: Arc<Rules>,
    now: Timestamp,
    chance: SeededEntropy,
    clients: Vec<signaling_core::Digest>,
    facts: BTreeMap<String, u64>,
}

fn read_back<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut chance = SeededEntropy::new(seed);
        let mut limits = Limits::default();
        limits.room_peers = 9;
        let rules = Arc::new(Rules {
            limits,
            key: ServerKey::new([3; 32]),
            sfu: !seed.is_multiple_of(5),
            recorder: !seed.is_multiple_of(3),
            record: [RecordScope::Nobody, RecordScope::Broadcasters, RecordScope::Everybody][chance.below(3)],
        });
        let now = Timestamp::from_millis(1_790_000_000_000);
        let choice = [TopologyChoice::Auto, TopologyChoice::Auto, TopologyChoice::Sfu, TopologyChoice::Mesh];
        let room = RoomId::made_by_server(&rules.key, &mut chance);
        let life = LifeId::random(&mut chance);
        let mut record = RoomRecord::new(room, life, now, choice[chance.below(4)]);
        record.first_is_host = chance.below(4) > 0;
        if chance.below(3) == 0 {
            record.name = Some("кухня 🦊".into());
            record.title = Some("Tea \"at\" four".into());
            record.ends_at = Some(now + Duration::from_secs(3600));
            record.capacity = Some(7);
            record.empty_timeout_seconds = Some(61);
            record.meeting = Some(MeetingTerms {
                starts_at: (chance.below(2) == 0).then(|| now + Duration::from_secs(20)),
                wait_for_host: chance.below(2) == 0,
            });
        }
        let room = Room::new(&record, now, Arc::clone(&rules));
        let follower = Room::restore(read_back(&room.snapshot()), Arc::clone(&rules));
        let digest = |text: String| {
            TokenDigests::new(&rules.key, life, &TokenIdentity { id: None, subject: None, text })
        };
        let clients = (0..6).map(|n: u8| digest(n.to_string()).text).collect();
        Self { room, follower, rules, now, chance, clients, facts: BTreeMap::new() }
    }

    fn commit(&mut self, fact: Fact) {
        let entry = self.room.number(self.now, fact, 0);
        self.room.apply(&entry);
        let read: Entry = read_back(&entry);
        assert_eq!(read, entry);
        self.follower.apply(&read);
        let written = serde_json::to_value(&entry.fact).unwrap();
        let kind = match &written {
            Value::String(name) => name.clone(),
            Value::Object(fields) => fields.keys().next().unwrap().clone(),
            other => panic!("no fact: {other}"),
        };
        *self.facts.entry(kind).or_default() += 1;
    }

    fn input(&mut self, input: RoomInput<'_>) {
        if let Ok(effects) = self.room.decide(self.now, input, &mut self.chance) {
            for effect in effects {
                if let Effect::Fact(fact) = effect {
                    self.commit(fact);
                }
            }
        }
        while let Some(fact) = self.room.settle(self.now) {
            self.commit(fact);
        }
    }

    fn somebody(&mut self) -> Option<PeerId> {
        let peers: Vec<PeerId> = self.room.members().map(|member| member.id).collect();
        (!peers.is_empty()).then(|| peers[self.chance.below(peers.len())])
    }

    fn join(&mut self) {
        let role = [Role::Participant, Role::Participant, Role::Participant, Role::Broadcaster, Role::Viewer];
        let chance = &mut self.chance;
        let token = TokenIdentity { id: Some("7".into()), subject: Some("ada".into()), text: "e30".into() };
        let new = Arrival::New;
        let returning = Arrival::Returning {
            power: Power::Acting,
            waiting: chance.below(2) == 0,
            joined_at: self.now,
            order: 1 + chance.next_u64() % 1000,
        };
        let signed =
            Signed { sub: Some("ada".into()), metadata: Some(raw(&json!({"desk": [1, {"b": 2.50}]}))) };
        let admission = Admission {
            at: self.now,
            peer: PeerId::random(chance),
            session: SessionId::random(chance),
            name: Name::parse(["Ada", "Bob “B”", "Чен"][chance.below(3)]).unwrap(),
            role: role[chance.below(5)],
            metadata: (chance.below(2) == 0).then(|| raw(&json!({"colour": "blue"}))),
            signed: (chance.below(3) == 0).then_some(signed),
            client: (chance.below(2) == 0).then(|| self.clients[chance.below(6)]),
            token: (chance.below(3) == 0)
                .then(|| TokenDigests::new(&self.rules.key, self.room.life(), &token)),
            password: None,
            arrival: [new(Pass::None), new(Pass::None), new(Pass::Admitted), new(Pass::Host), returning]
                [chance.below(5)],
            media: (chance.below(6) == 0).then(MediaTerms::default),
        };
        self.input(RoomInput::Join(Box::new(admission)));
    }

    fn say(&mut self, from: PeerId, message: &Value) {
        let message = JsonCodec::default().decode(message.to_string().as_bytes()).unwrap().message;
        self.input(RoomInput::Message(from, &message));
    }

    fn message(&mut self) {
        let (Some(from), Some(to)) = (self.somebody(), self.somebody()) else { return };
        let on = self.chance.below(2) == 0;
        let addressed = on.then_some(to);
        let message = match self.chance.below(11) {
            0 => json!({"type": "chat", "text": "hello \u{2028} 🦊", "to": addressed}),
            1 => {
                json!({"type": "app", "topic": "cursor", "data": {"x": 1.50, "deep": [[]]}, "to": addressed})
            }
            2 => json!({"type": "signal", "to": to, "description": {"type": "offer", "sdp": "v=0\r\n"}}),
            3 => json!({"type": "signal", "to": to, "candidate": {"candidate": ""}}),
            4 => {
                json!({"type": "update", "name": "Eve", "microphone": on, "camera": on, "screen": on, "hand": on, "metadata": [on]})
            }
            5 if on => json!({"type": "leave", "mayReturn": self.chance.below(2) == 0}),
            _ => return self.directed(from, to, on),
        };
        self.say(from, &message);
    }

    /// Messages that mean something only from the right peer, or to it.
    fn directed(&mut self, from: PeerId, to: PeerId, on: bool) {
        let members: Vec<PeerId> = self.room.members().map(|member| member.id).collect();
        let epoch = self.room.view().epoch;
        match self.chance.below(6) {
            0 | 1 => {
                // The first two call each other, so that calls get far.
                let [one, two, ..] = members[..] else { return };
                let (from, to) = if on { (one, two) } else { (two, one) };
                let steps = "ring ring accept accept connected connected decline cancel hangup failed";
                let action = self.word(steps);
                self.say(from, &json!({"type": "call", "action": action, "to": to}));
            }
            2 if on => self.say(from, &json!({"type": "topology", "epoch": epoch, "topology": "sfu"})),
            2 => {
                let ready = json!({"type": "topology", "epoch": epoch + 1, "ready": true});
                for member in members {
                    self.say(member, &ready);
                }
            }
            _ => {
                let host = self.room.members().find(|member| member.is_host()).map_or(from, |host| host.id);
                let waiting = self.room.members().find(|member| !member.is_joined());
                let to = waiting.filter(|_| on).map_or(to, |waiting| waiting.id);
                let action = self.word(
                    "admit admit deny kick mute lock unlock set-password set-lobby promote start-recording stop-recording",
                );
                let value = match action {
                    "set-password" => json!("tea"),
                    "kick" => json!(null),
                    _ => json!(on),
                };
                self.say(host, &json!({"type": "host", "action": action, "peer": to, "value": value}));
            }
        }
    }

    fn word(&mut self, words: &'static str) -> &'static str {
        let words: Vec<&str> = words.split(' ').collect();
        words[self.chance.below(words.len())]
    }

    fn media(&mut self) {
        let Some(peer) = self.somebody() else { return };
        let track = Track {
            track: "t1".into(),
            kind: TrackKind::Video,
            source: TrackSource::Screen,
            simulcast: true,
            codec: "VP8".into(),
        };
        let mid = SubscribeTrack { mid: "0".into(), track: "t1".into(), peer };
        let state = [
            RecordingState::Starting,
            RecordingState::Active,
            RecordingState::Stopped,
            RecordingState::Failed,
        ];
        let on = self.chance.below(2) == 0;
        let event = match self.chance.below(6) {
            0 => MediaEvent::Answer { peer, sdp: "v=0".into(), negotiation: on.then_some(3) },
            1 => MediaEvent::Offer { peer, sdp: "v=0".into(), negotiation: 4, tracks: vec![mid] },
            2 => MediaEvent::Tracks { peer, tracks: if on { vec![track] } else { vec![] } },
            3 => MediaEvent::Flowing { peer, flowing: on },
            4 => MediaEvent::Failed { peer },
            _ => MediaEvent::Recording {
                state: state[self.chance.below(4)],
                peer: on.then_some(peer),
                recording: on.then(|| "r1".into()),
            },
        };
        self.input(RoomInput::Media(event));
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(self.chance.next_u64() % 3000);
        match self.chance.below(20) {
            0..4 => self.join(),
            4..14 => self.message(),
            14..17 => self.media(),
            17 => {
                if let Some(peer) = self.somebody() {
                    let away = self.chance.below(2) == 0;
                    match self.chance.below(4) {
                        0 => self.input(RoomInput::Gone(peer, LeaveReason::Timeout)),
                        _ => self.commit(Fact::Presence { peer, away }),
                    }
                }
            }
            18 => {
                let record = RoomRecord { capacity: Some(8), ..self.room.record() };
                self.input(RoomInput::Arrange(Box::new(record)));
            }
            _ => {
                let on = self.chance.below(2) == 0;
                self.input(RoomInput::Record(on));
                let source = Name::parse("Ada").unwrap();
                self.input(RoomInput::Caption(&Caption {
                    source,
                    text: "Good morning".into(),
                    is_final: on,
                }));
            }
        }
    }
}

#[test]
fn entries_and_snapshots_are_read_back_as_they_were_written() {
    let mut paths = Paths::default();
    let mut facts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut pair = Pair::new(seed);
        for step in 0..INPUTS {
            pair.step();
            if step % 4 != 3 {
                continue;
            }
            let snapshot = pair.room.snapshot();
            let read: RoomState = read_back(&snapshot);
            assert_eq!(read, snapshot, "seed {seed}, step {step}");
            assert_eq!(pair.follower.snapshot(), snapshot, "seed {seed}, step {step}");
            paths.note("", &serde_json::to_value(&snapshot).unwrap());
            if step % 48 == 47 {
                pair.follower = Room::restore(read, Arc::clone(&pair.rules));
            }
        }
        pair.input(RoomInput::End(EndReason::HostEnded));
        assert_eq!(pair.follower.snapshot(), pair.room.snapshot(), "seed {seed}");
        paths.note("", &serde_json::to_value(pair.room.snapshot()).unwrap());
        for (kind, count) in pair.facts {
            *facts.entry(kind).or_default() += count;
        }
    }
    assert_eq!(paths.never_set(), Vec::<&String>::new(), "fields that no run has set");
    let all = [
        "Joined",
        "Admitted",
        "Denied",
        "Awaits",
        "Left",
        "Updated",
        "Signalled",
        "Chatted",
        "AppSent",
        "Captioned",
        "Presence",
        "HostGranted",
        "HostWithdrawn",
        "HostAnnounced",
        "PowerKept",
        "ReturnAwaited",
        "SettingsChanged",
        "Arranged",
        "Barred",
        "Muted",
        "TopologySwitching",
        "TopologyReady",
        "SfuAsked",
        "TopologySettled",
        "ViewersCounted",
        "CallMoved",
        "CallRefused",
        "TracksChanged",
        "Flowing",
        "RecordingBegun",
        "RecordingEnding",
        "Recording",
        "Ended",
    ];
    // `Awaits` comes from outside the room: who waits is told to a host that arrives.
    let missing: Vec<_> =
        all.iter().filter(|kind| **kind != "Awaits" && !facts.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "facts that no run has had: {missing:?} of {facts:?}");
}
