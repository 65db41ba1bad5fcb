//! Sessions of WHIP and WHEP: peers without a connection, whose life depends on their media.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "test code"
)]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::message::{Track, TrackKind, TrackSource};
use signaling_core::room::MediaTerms;
use signaling_core::{Code, MediaEvent, PeerId, Refusal, Seat, ServerKey};
use stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// Ada, who is host, and a camera over WHIP.
fn stage() -> (Stage, Seat) {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    let camera = stage.join_media("Camera", "broadcaster", MediaTerms::default()).unwrap();
    (stage, camera)
}

fn video(peer: PeerId) -> MediaEvent {
    let track = Track {
        track: "t".into(),
        kind: TrackKind::Video,
        source: TrackSource::Camera,
        simulcast: false,
        codec: "VP8".into(),
    };
    MediaEvent::Tracks { peer, tracks: vec![track] }
}

#[test]
fn who_never_connects_goes_after_the_resume_window() {
    let (mut stage, camera) = stage();
    stage.heard("ada");
    stage.pass(29 * SECOND);
    assert!(stage.knows(&camera));
    stage.pass(2 * SECOND);
    assert!(!stage.knows(&camera));
    let heard = stage.heard("ada");
    let left = heard.iter().find(|event| event["type"] == "peer-left").unwrap();
    assert_eq!((&left["peer"], &left["reason"]), (&json!(camera.peer), &json!("timeout")));
}

#[test]
fn who_is_connected_stays_and_may_lose_its_path_for_a_while() {
    let (mut stage, camera) = stage();
    let peer = camera.peer;
    stage.media(MediaEvent::Connected { peer });
    stage.pass(600 * SECOND);
    assert!(stage.knows(&camera), "it says nothing, and needs not");
    for _ in 0..3 {
        stage.media(MediaEvent::Failed { peer });
        stage.pass(29 * SECOND);
        stage.media(MediaEvent::Connected { peer });
        stage.pass(60 * SECOND);
        assert!(stage.knows(&camera));
    }
    stage.media(MediaEvent::Failed { peer });
    stage.pass(20 * SECOND);
    stage.media(MediaEvent::Failed { peer });
    stage.pass(11 * SECOND);
    assert!(!stage.knows(&camera), "counted from the first loss");
}

#[test]
fn who_closes_its_connection_has_left() {
    let (mut stage, camera) = stage();
    stage.media(MediaEvent::Connected { peer: camera.peer });
    stage.heard("ada");
    stage.media(MediaEvent::Closed { peer: camera.peer });
    assert!(!stage.knows(&camera));
    assert_eq!(stage.heard("ada").pop().unwrap()["reason"], "left");
    // For a peer with a connection, the report means nothing.
    let ada = stage.peer("ada").parse().unwrap();
    stage.media(MediaEvent::Closed { peer: ada });
    assert_eq!(stage.say("ada", json!({"type": "chat", "text": "still here"})), "ack");
}

#[test]
fn the_room_hears_when_media_flows_and_when_it_stops() {
    let (mut stage, camera) = stage();
    let peer = camera.peer;
    stage.heard("ada");
    stage.media(MediaEvent::Connected { peer });
    assert_eq!(kinds(&stage.heard("ada")), Vec::<&str>::new());
    stage.media(video(peer));
    let heard = stage.heard("ada");
    assert_eq!(kinds(&heard), ["tracks", "peer-updated"]);
    assert_eq!((&heard[1]["peer"]["camera"], &heard[1]["peer"]["microphone"]), (&json!(true), &json!(false)));
    stage.media(MediaEvent::Flowing { peer, flowing: true });
    let heard = stage.heard("ada");
    assert_eq!(
        (kinds(&heard), &heard[0]["tracks"][0]["kind"]),
        (vec!["broadcaster-connected"], &json!("video"))
    );
    let welcome = stage.join("bob", json!({}));
    let told = welcome["peers"].as_array().unwrap().iter().find(|told| told["id"] == json!(peer)).unwrap();
    assert_eq!(told["live"], true, "who comes later is told");
    stage.heard("ada");
    stage.media(MediaEvent::Failed { peer });
    assert_eq!(kinds(&stage.heard("ada")), ["broadcaster-disconnected"]);
    stage.media(MediaEvent::Flowing { peer, flowing: true });
    stage.media(MediaEvent::Closed { peer });
    assert_eq!(
        kinds(&stage.heard("ada")),
        ["broadcaster-connected", "broadcaster-disconnected", "peer-left"]
    );
}

#[test]
fn it_is_no_host_and_the_first_who_can_speak_is() {
    let mut stage = Stage::new();
    let camera = stage.join_media("Camera", "broadcaster", MediaTerms::default()).unwrap();
    stage.join_media("Screen", "viewer", MediaTerms::default()).unwrap();
    let welcome = stage.join("ada", json!({}));
    assert_eq!(welcome["room"]["topology"], "sfu");
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "lock"})), "ack");
    let promote = json!({"type": "host", "action": "promote", "peer": camera.peer, "value": "host"});
    assert_eq!(stage.say("ada", promote), "invalid-state");
    stage.media(video(camera.peer));
    stage.heard("ada");
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "mute", "peer": camera.peer})), "ack");
    assert_eq!(kinds(&stage.heard("ada")), ["peer-updated"], "nobody else would say that it is off");
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "kick", "peer": camera.peer})), "ack");
    assert!(!stage.knows(&camera));
}

#[test]
fn what_is_wrong_is_said_to_those_who_may_come_in() {
    let (mut stage, camera) = stage();
    let flawed = || MediaTerms {
        flaw: Some(Refusal::new(Code::UnsupportedMedia, "no media in common")),
        publisher: Some(camera.peer),
    };
    let elsewhere = MediaTerms { publisher: Some("0123456789abcdef".parse().unwrap()), flaw: None };
    assert_eq!(stage.join_media("Bob", "viewer", flawed()).unwrap_err(), "unsupported-media");
    assert_eq!(stage.join_media("Bob", "viewer", elsewhere).unwrap_err(), "peer-unknown");
    stage.heard("ada");
    for (setting, code) in [
        (json!({"action": "set-lobby", "value": true}), "forbidden"),
        (json!({"action": "set-password", "value": "melon"}), "wrong-password"),
        (json!({"action": "lock"}), "room-locked"),
    ] {
        let mut message = setting;
        message["type"] = "host".into();
        assert_eq!(stage.say("ada", message), "ack");
        assert_eq!(stage.join_media("Bob", "viewer", flawed()).unwrap_err(), code);
    }
    assert!(stage.heard("ada").iter().all(|event| event["type"] == "room-updated"), "nobody hears of it");
}

#[test]
fn a_resource_opens_its_session_and_no_other() {
    let (_, camera) = stage();
    let (key, foreign) = (ServerKey::new([5; 32]), ServerKey::new([6; 32]));
    let resource = camera.to_resource(&key);
    let read = |key, resource: &str| Seat::from_resource(key, &camera.room, resource);
    assert_eq!(read(&key, &resource), Some(camera.clone()));
    assert_eq!(read(&foreign, &resource), None);
    assert_eq!(Seat::from_resource(&key, &"other".parse().unwrap(), &resource), None);
    for at in 0..resource.len() {
        let mut changed = resource.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(read(&key, std::str::from_utf8(&changed).unwrap()), None, "at {at}");
    }
    for junk in ["", "é", "0", &resource[..47], &format!("{resource}0")] {
        assert_eq!(read(&key, junk), None, "{junk:?}");
    }
}
