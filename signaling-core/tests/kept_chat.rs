//! Chat that was acknowledged outlives the process, for those who have not seen it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use stage::Stage;

fn chat(text: &str) -> Value {
    json!({"type": "chat", "text": text})
}

/// The chat since the last call, as it was heard.
fn texts(stage: &mut Stage, who: &str) -> Vec<String> {
    let heard = stage.heard(who).into_iter().filter(|event| event["type"] == "chat");
    heard.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

fn restart(stage: &mut Stage) {
    let now = stage.now + Duration::from_secs(1);
    stage.restart_at(now);
}

#[test]
fn what_was_acknowledged_reaches_those_who_return_later() {
    let mut stage = Stage::new();
    for who in ["ada", "bob", "cleo"] {
        stage.join(who, json!({}));
    }
    assert_eq!(stage.say("ada", chat("heard by all")), "ack");
    for who in ["ada", "bob", "cleo"] {
        assert_eq!(texts(&mut stage, who), ["heard by all"]);
    }
    stage.lose("bob");
    stage.lose("cleo");
    assert_eq!(stage.say("ada", chat("before")), "ack");
    let bob = stage.peer("bob");
    assert_eq!(stage.say("ada", json!({"type": "chat", "text": "for you alone", "to": bob})), "ack");
    assert_eq!(texts(&mut stage, "ada"), ["before", "for you alone"]);
    restart(&mut stage);
    assert_eq!(stage.resume("ada")["lastSeq"], 3, "the numbers of what took effect are known");
    assert_eq!(stage.say("ada", chat("after")), "ack");
    assert_eq!(texts(&mut stage, "ada"), ["after"], "nothing a second time");
    stage.resume("bob");
    let events = stage.heard("bob");
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["snapshot", "chat", "chat", "chat"]);
    let said: Vec<_> = events[1..].iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!(said, ["before", "for you alone", "after"]);
    let ids: Vec<u64> = events[1..].iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(events[0]["lastId"].as_u64().unwrap() < ids[0] && ids.is_sorted(), "{events:?}");
    stage.resume("cleo");
    assert_eq!(texts(&mut stage, "cleo"), ["before", "after"], "what is between two is nobody else's");
}

#[test]
fn a_message_that_is_sent_again_after_a_restart_has_no_second_effect() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    assert_eq!(stage.say("ada", chat("once")), "ack");
    assert_eq!(texts(&mut stage, "bob"), ["once"]);
    restart(&mut stage);
    stage.resume("ada");
    stage.resume("bob");
    assert_eq!(stage.repeat("ada", chat("once")), "ack");
    assert_eq!(texts(&mut stage, "bob"), Vec::<String>::new());
    assert_eq!(stage.say("ada", chat("twice")), "ack");
    assert_eq!(texts(&mut stage, "bob"), ["twice"]);
}

#[test]
fn a_newcomer_is_given_chat_from_before_a_restart_and_nothing_private() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    for number in 0..60 {
        assert_eq!(stage.say("ada", chat(&format!("line {number}"))), "ack");
    }
    let bob = stage.peer("bob");
    assert_eq!(stage.say("ada", json!({"type": "chat", "text": "psst", "to": bob})), "ack");
    restart(&mut stage);
    stage.resume("ada");
    stage.join("cleo", json!({}));
    let told = texts(&mut stage, "cleo");
    assert_eq!((told.len(), told[0].as_str(), told[49].as_str()), (50, "line 10", "line 59"));
}

#[test]
fn a_gap_while_the_server_runs_is_followed_by_the_chat_too() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    stage.heard("bob");
    stage.lose("bob");
    let long = "x".repeat(3_900);
    for number in 0..600 {
        assert_eq!(stage.say("ada", chat(&format!("{number} {long}"))), "ack");
        if number % 100 == 99 {
            stage.pass(Duration::from_secs(2));
        }
    }
    stage.resume("bob");
    let events = stage.heard("bob");
    assert_eq!(events[0]["type"], "snapshot");
    let said: Vec<_> = events.iter().filter(|event| event["type"] == "chat").collect();
    assert_eq!(said.len(), 50);
    assert!(said[49]["text"].as_str().unwrap().starts_with("599 "));
}

#[test]
fn who_has_read_the_chat_from_before_its_join_misses_nothing_however_long_ago_that_is() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    assert_eq!(stage.say("ada", chat("early")), "ack");
    stage.join("bob", json!({}));
    assert_eq!(texts(&mut stage, "bob"), ["early"]);
    stage.pass(Duration::from_mins(3));
    assert_eq!(stage.heard("bob"), Vec::<Value>::new());
    stage.lose("bob");
    stage.resume("bob");
    assert_eq!(stage.heard("bob"), Vec::<Value>::new(), "no gap");
}

#[test]
fn the_end_of_a_room_erases_its_chat() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    assert_eq!(stage.say("ada", chat("secret")), "ack");
    assert_eq!(stage.kept_lives().len(), 1);
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "end"})), "ack");
    assert_eq!(stage.kept_lives(), []);
}
