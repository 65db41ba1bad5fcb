//! A machine whose clock is set while the server runs, or between two runs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::needless_pass_by_value, reason = "short steps, with `json!` in place")]

mod stage;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::Timestamp;
use stage::Stage;

const DAY: Duration = Duration::from_hours(24);

fn back(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_millis(at.as_millis() - u64::try_from(span.as_millis()).unwrap())
}

fn end() -> Value {
    json!({"type": "host", "action": "end"})
}

#[test]
fn what_people_are_told_of_the_time_follows_the_clock_and_timers_do_not() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.set_clock(stage.now + DAY, Some(stage.now));
    let there = (stage.now + DAY).to_string();
    let welcome = stage.join("bob", json!({}));
    assert_eq!(welcome["self"]["joinedAt"], there);
    stage.say("bob", json!({"type": "chat", "text": "late?"}));
    stage.say("bob", json!({"type": "app", "topic": "t", "data": 1}));
    let heard = stage.heard("ada");
    let at = |kind: &str| heard.iter().find(|event| event["type"] == kind).unwrap()["at"].clone();
    assert_eq!((at("chat"), at("app")), (json!(there), json!(there)));
    assert_eq!(stage.join("cy", json!({"room": "new"}))["room"]["createdAt"], there);

    stage.set_clock(back(stage.now, DAY), Some(stage.now));
    stage.pass(Duration::from_mins(2));
    assert_eq!((stage.was_let_go("ada"), stage.was_let_go("bob")), (None, None), "nobody was silent");
    stage.say("bob", json!({"type": "chat", "text": "early?"}));
    let heard = stage.heard("ada");
    let chat = heard.iter().find(|event| event["type"] == "chat").unwrap();
    assert_eq!(chat["at"], back(stage.now, DAY).to_string());
}

#[test]
fn a_meeting_begins_by_the_clock_as_it_is() {
    let mut stage = Stage::new();
    let (record, _) = stage.arrange(Some(stage.now + DAY));
    let guest = json!({"room": record.room, "create": false, "topology": null});
    stage.meeting = Some(Arc::new(record));
    assert_eq!(stage.join("bob", guest.clone())["code"], "not-started");
    stage.set_clock(stage.now + DAY, Some(stage.now));
    assert_eq!(stage.join("bob", guest)["state"], "joined");
}

#[test]
fn a_session_made_by_a_clock_ahead_is_resumed_by_the_right_one() {
    let mut stage = Stage::new();
    let right = stage.now;
    stage.restart_at(right + DAY * 3);
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    stage.restart_at(right + Duration::from_secs(9));
    assert_eq!(stage.resume("ada")["resumed"], true);
    assert_eq!(stage.resume("bob")["resumed"], true);
    // Only once: a session that this process has ended is over, whatever the clock showed when its secret was made.
    stage.lose("bob");
    stage.pass(Duration::from_mins(1));
    assert_eq!(stage.resume("bob")["code"], "session-unknown");
}

#[test]
fn a_secret_made_before_the_clock_went_back_is_known_after_it() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    stage.set_clock(back(stage.now, DAY * 3), Some(stage.now));
    stage.lose("bob");
    assert_eq!(stage.resume("bob")["resumed"], true);
    stage.lose("bob");
    stage.pass(Duration::from_mins(1));
    assert_eq!(stage.resume("bob")["code"], "session-unknown", "it timed out, and is not honoured anew");
}

#[test]
fn no_secret_expires_by_a_clock_that_has_not_stood() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.set_clock(stage.now + DAY * 3, Some(stage.now));
    stage.lose("ada");
    assert_eq!(stage.resume("ada")["resumed"], true);
    // Its new secret is good for a day from then; the clock comes back.
    stage.set_clock(stage.now, Some(stage.now));
    assert_eq!(stage.resume("ada")["resumed"], true);
    stage.set_clock(stage.now + DAY * 9, Some(stage.now + DAY * 9));
    assert_eq!(stage.resume("ada")["code"], "unauthorized", "by a clock that is believed it does");
}

#[test]
fn a_name_rests_a_minute_whatever_the_clock_showed_at_the_end() {
    for (ended, started) in [(DAY * 3, Duration::ZERO), (Duration::ZERO, DAY * 3)] {
        let mut stage = Stage::new();
        let right = stage.now;
        stage.restart_at(right + ended);
        stage.join("ada", json!({}));
        assert_eq!(stage.say("ada", end()), "ack");
        stage.restart_at(right + started + Duration::from_secs(2));
        let expected = if ended > started { json!("room-ended") } else { Value::Null };
        assert_eq!(stage.join("bob", json!({}))["code"], expected);
        stage.pass(Duration::from_secs(61));
        assert_eq!(stage.join("cy", json!({}))["state"], "joined");
    }
}

#[test]
fn a_name_rests_a_minute_while_the_clock_is_set() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.set_clock(stage.now + DAY * 3, Some(stage.now));
    assert_eq!(stage.say("ada", end()), "ack");
    stage.set_clock(stage.now, Some(stage.now));
    assert_eq!(stage.join("bob", json!({}))["code"], "room-ended");
    stage.pass(Duration::from_secs(61));
    assert_eq!(stage.join("bob", json!({}))["state"], "joined");
}
