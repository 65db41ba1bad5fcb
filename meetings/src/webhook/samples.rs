//! One example of each message to a webhook receiver, as `docs/webhooks.md` shows them.
//!
//! `UPDATE_DOCS=1 cargo test -p meetings --lib samples` writes that file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use signaling_core::meeting::{Happening, Presence, RoomHappening};
use signaling_core::message::{EndReason, LeaveReason, Role};
use signaling_core::testing::SeededEntropy;
use signaling_core::{LifeId, PeerId, ServerKey, Timestamp};

use super::{messages, recording_message, room_message};
use crate::meeting::{Event, Meeting, Wanted};
use crate::store::Message;

const HEAD: &str = "\
# Webhooks in full

One example of each message that receivers of [webhooks](meetings.md#webhooks) are sent: the body of the POST. `sub` and
`metadata` are those of a join token, and missing without one.

This file is generated from the types. `UPDATE_DOCS=1 cargo test -p meetings --lib samples` writes it.

## Meetings

To the receiver of the meeting, and to that of the server.
";

const ROOMS: &str = "
## Rooms without a meeting

To the receiver of the server.
";

fn ada() -> Presence {
    let metadata = serde_json::value::to_raw_value(&json!({"class": "7b"})).unwrap();
    Presence {
        peer: "7gkq3wz0r5tn8e2m".parse::<PeerId>().unwrap(),
        name: "Ada".to_owned(),
        role: Role::Participant,
        sub: Some("user-7".to_owned()),
        metadata: Some(metadata.into()),
    }
}

/// Every event of a meeting.
fn events() -> [Event; 9] {
    [
        Event::Created,
        Event::Changed,
        Event::Started,
        Event::PeerJoined(ada()),
        Event::PeerLeft { who: ada(), reason: LeaveReason::Left },
        Event::Emptied,
        Event::RecordingReady { recording: "r0gq3wz0r5tn8e2m".to_owned() },
        Event::Ended { reason: EndReason::HostEnded },
        Event::Cancelled,
    ]
}

/// The position of an event among the examples: with a new event this does not compile until there is an example.
fn position(event: &Event) -> usize {
    match event {
        Event::Created => 0,
        Event::Changed => 1,
        Event::Started => 2,
        Event::PeerJoined(_) => 3,
        Event::PeerLeft { .. } => 4,
        Event::Emptied => 5,
        Event::RecordingReady { .. } => 6,
        Event::Ended { .. } => 7,
        Event::Cancelled => 8,
    }
}

fn of_meeting(entropy: &mut SeededEntropy) -> Vec<Message> {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let wanted: Wanted = serde_json::from_value(json!({
        "title": "Standup", "startsAt": "2027-01-15T08:00:00Z", "timeZone": "Europe/Berlin", "durationMinutes": 30,
        "webhookUrl": "https://hooks.example",
    }))
    .unwrap();
    let mut meeting = Meeting::new(&wanted.check(now).unwrap(), None, &ServerKey::new([1; 32]), now, entropy);
    meeting.webhook = Some("endpoint".to_owned());
    messages(&meeting, &events(), now, None, entropy)
}

/// Every event of a room without a meeting.
fn of_room(entropy: &mut SeededEntropy) -> Vec<Message> {
    let at = Timestamp::from_millis(1_800_000_000_000);
    let room: signaling_core::RoomId = "standup".parse().unwrap();
    let life = LifeId::random(entropy);
    let happening = |what| Happening { room: room.clone(), life, at, what };
    let mut all: Vec<_> = [
        RoomHappening::Joined(ada()),
        RoomHappening::Left { who: ada(), reason: LeaveReason::Left },
        RoomHappening::Ended { reason: EndReason::Empty, visited: true },
    ]
    .into_iter()
    .filter_map(|what| room_message(&happening(what), "endpoint", entropy))
    .collect();
    all.push(recording_message(&room, "r0gq3wz0r5tn8e2m", at, "endpoint", entropy));
    all
}

fn document() -> String {
    let entropy = &mut SeededEntropy::new(4);
    let mut text = HEAD.to_owned();
    let add = |messages: Vec<Message>, text: &mut String| {
        for message in messages {
            let body: Value = serde_json::from_str(&message.body).unwrap();
            assert_eq!(body["type"], message.kind);
            write!(text, "\n### `{}`\n\n```json\n{body:#}\n```\n", message.kind).unwrap();
        }
    };
    add(of_meeting(entropy), &mut text);
    text.push_str(ROOMS);
    add(of_room(entropy), &mut text);
    text
}

#[test]
fn each_event_has_an_example() {
    for (index, event) in events().iter().enumerate() {
        assert_eq!(position(event), index);
    }
    let told = of_meeting(&mut SeededEntropy::new(4));
    assert_eq!(told.len(), events().len() - 1, "only the emptying of a room is told by other events");
}

#[test]
fn the_document_shows_what_is_sent() {
    let (path, expected) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/webhooks.md"), document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == expected,
        "docs/webhooks.md is out of date; its head says how to write it"
    );
}
