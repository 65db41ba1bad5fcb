//! Rooms of meetings: who may enter when, who may end them, and how they end by themselves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "short steps, with `json!` in place"
)]

mod stage;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::meeting::RoomHappening;
use signaling_core::message::EndReason;
use signaling_core::room::{MeetingTerms, RoomRecord};
use stage::Stage;

/// A stage with a room for two that is open at once; the fields to join it, and those to join it as its host.
fn call_for_two() -> (Stage, Value, Value) {
    let mut stage = Stage::new();
    let (record, token) = stage.arrange(None);
    let record = RoomRecord { capacity: Some(2), empty_timeout_seconds: Some(600), ..record };
    let guest = json!({"room": record.room, "create": false, "topology": null});
    let mut host = guest.clone();
    host["token"] = token.into();
    stage.meeting = Some(Arc::new(record));
    (stage, guest, host)
}

#[test]
fn whoever_is_in_is_told_what_the_meeting_is_called() {
    let mut stage = Stage::new();
    let (record, _) = stage.arrange(None);
    let guest = json!({"room": record.room, "create": false, "topology": null});
    stage.meeting = Some(Arc::new(RoomRecord { title: Some("Budget 2027".into()), ..record }));
    assert_eq!(stage.join("bob", guest)["room"]["title"], "Budget 2027");
    let made = stage.join("eve", json!({"room": "plain", "topology": null}));
    assert!(made["room"].get("title").is_none(), "{made}");
}

fn end() -> Value {
    json!({"type": "host", "action": "end"})
}

#[test]
fn a_third_is_refused_and_whoever_left_comes_back() {
    let (mut stage, guest, host) = call_for_two();
    assert_eq!(stage.join("bob", guest.clone())["state"], "joined", "the guest may be first");
    assert_eq!(stage.join("ada", host)["state"], "joined");
    assert_eq!(stage.join("eve", guest.clone())["code"], "room-full");
    for _ in 0..3 {
        assert_eq!(stage.say("bob", json!({"type": "leave"})), "ack");
        stage.pass(Duration::from_mins(9));
        assert_eq!(stage.join("bob", guest.clone())["state"], "joined");
    }
}

#[test]
fn only_who_has_the_host_token_ends_it() {
    let (mut stage, guest, host) = call_for_two();
    stage.join("ada", host.clone());
    stage.join("bob", guest.clone());
    assert_eq!(stage.say("bob", end()), "forbidden");
    stage.say("ada", json!({"type": "leave"}));
    assert_eq!(stage.say("bob", end()), "forbidden", "nobody succeeds the host of a meeting");
    stage.join("ada", host);
    assert_eq!(stage.say("ada", end()), "ack");
    let ended = stage.heard("bob").pop().unwrap();
    assert_eq!((&ended["type"], &ended["reason"]), (&json!("room-ended"), &json!("host-ended")));
    assert_eq!(
        stage.happenings().pop(),
        Some(RoomHappening::Ended { reason: EndReason::HostEnded, visited: true })
    );
    // The store answers so for a meeting that is over.
    stage.meeting = None;
    assert_eq!(stage.join("bob", guest)["code"], "room-ended");
}

#[test]
fn an_abandoned_call_expires() {
    let (mut stage, guest, host) = call_for_two();
    stage.join("ada", host);
    stage.join("bob", guest);
    stage.say("ada", json!({"type": "leave"}));
    stage.pass(Duration::from_hours(2));
    assert!(
        !stage.happenings().iter().any(|what| matches!(what, RoomHappening::Ended { .. })),
        "one is there"
    );
    stage.say("bob", json!({"type": "leave"}));
    stage.happenings();
    stage.pass(Duration::from_secs(599));
    assert_eq!(stage.happenings(), []);
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.happenings(), [RoomHappening::Ended { reason: EndReason::Expired, visited: true }]);
}

#[test]
fn the_early_are_told_when_it_starts_and_the_host_is_let_in() {
    let mut stage = Stage::new();
    let starts_at = stage.now + Duration::from_hours(1);
    let (record, token) = stage.arrange(Some(starts_at));
    let guest = json!({"room": record.room, "create": false});
    stage.meeting = Some(Arc::new(record.clone()));
    assert_eq!(stage.join("bob", guest.clone())["code"], "not-started");
    assert_eq!(stage.happenings(), [], "a refused join opens no room");
    assert_eq!(stage.join("ada", json!({"room": record.room, "token": token}))["state"], "joined");
    assert_eq!(stage.join("bob", guest.clone())["code"], "not-started");
    // Brought forward while the host waits.
    let sooner = stage.now + Duration::from_mins(1);
    let mut record = record;
    record.meeting = Some(MeetingTerms { starts_at: Some(sooner), ..MeetingTerms::default() });
    assert!(stage.rearrange(record));
    stage.pass(Duration::from_secs(59));
    assert_eq!(stage.join("bob", guest.clone())["code"], "not-started");
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.join("bob", guest)["state"], "joined");
}

#[test]
fn guests_wait_for_the_host_who_lets_them_in_by_coming() {
    for lobby in [false, true] {
        let mut stage = Stage::new();
        let (mut record, token) = stage.arrange(None);
        record.meeting = Some(MeetingTerms { wait_for_host: true, ..MeetingTerms::default() });
        record.settings.lobby = lobby;
        let guest = json!({"room": record.room, "create": false});
        let host = json!({"room": record.room, "token": token});
        stage.meeting = Some(Arc::new(record));
        assert_eq!(stage.join("bob", guest.clone())["state"], "waiting");
        assert_eq!(stage.join("cy", guest.clone())["state"], "waiting");
        stage.pass(Duration::from_mins(5));
        assert_eq!(stage.join("ada", host)["state"], "joined");
        let admitted =
            |stage: &mut Stage, who: &str| stage.heard(who).iter().any(|event| event["state"] == "admitted");
        // With a lobby, the host still decides.
        assert_eq!([admitted(&mut stage, "bob"), admitted(&mut stage, "cy")], [!lobby; 2]);
        assert_eq!(stage.join("dee", guest.clone())["state"], if lobby { "waiting" } else { "joined" });
        // Peers in the room stay when the host leaves; later ones wait.
        stage.say("ada", json!({"type": "leave"}));
        assert_eq!(stage.join("eve", guest)["state"], "waiting");
    }
}

#[test]
fn a_meeting_that_opens_anew_takes_up_no_session_of_before() {
    let (mut stage, guest, host) = call_for_two();
    stage.join("ada", host.clone());
    stage.join("bob", guest.clone());
    stage.say("ada", end());
    assert_eq!(stage.resume("bob")["code"], "room-ended");
    stage.pass(Duration::from_hours(12));
    stage.join("ada", host);
    assert_eq!(stage.resume("bob")["code"], "room-ended");
    assert_eq!(stage.join("bob", guest)["state"], "joined");
}

#[test]
fn whoever_asked_for_it_before_its_end_does_not_open_it_anew() {
    let (mut stage, guest, host) = call_for_two();
    stage.join("ada", host.clone());
    stage.pass(Duration::from_secs(1));
    stage.looked_up_at = Some(stage.now);
    stage.say("ada", end());
    assert_eq!(stage.join("bob", guest.clone())["code"], "room-ended");
    stage.pass(Duration::from_millis(900));
    assert_eq!(stage.join("ada", host)["code"], "room-ended", "the host neither");
    stage.looked_up_at = None;
    assert_eq!(stage.join("bob", guest.clone())["state"], "joined", "the meeting has another occurrence");
    // No host has ended a room that has only become empty.
    stage.say("bob", json!({"type": "leave"}));
    stage.looked_up_at = Some(stage.now);
    stage.pass(Duration::from_secs(600));
    assert!(matches!(
        stage.happenings().pop(),
        Some(RoomHappening::Ended { reason: EndReason::Expired, .. })
    ));
    assert_eq!(stage.join("bob", guest)["state"], "joined");
}

#[test]
fn a_meeting_outlives_the_process_with_what_it_goes_by() {
    let (mut stage, guest, host) = call_for_two();
    stage.join("ada", host);
    stage.join("bob", guest.clone());
    stage.restart();
    stage.meeting = None;
    assert_eq!(stage.resume("ada")["resumed"], true);
    assert_eq!(stage.resume("bob")["resumed"], true);
    assert_eq!(stage.join("eve", guest)["code"], "room-full");
    assert_eq!(stage.say("ada", end()), "ack");
}
