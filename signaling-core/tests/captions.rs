//! Captions, and messages to everybody, from programs that are not in the room.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::needless_pass_by_value, reason = "short steps, with `json!` in place")]

mod stage;

use std::time::Duration;

use serde_json::json;
use stage::Stage;

#[test]
fn everybody_in_the_room_is_shown_captions_once_also_after_a_lost_connection() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.say("ada", json!({"type": "host", "action": "set-lobby", "value": true}));
    stage.join("eve", json!({}));
    let ada = stage.peer("ada");
    assert_eq!(stage.caption(&ada, "Good", false), "");
    stage.lose("ada");
    assert_eq!(stage.caption(&ada, "Good morning", true), "");
    stage.resume("ada");
    let heard = stage.heard("ada");
    let captions: Vec<_> = heard.iter().filter(|event| event["type"] == "caption").collect();
    assert_eq!(captions.len(), 2, "{heard:?}");
    assert_eq!((&captions[0]["text"], &captions[0]["final"]), (&json!("Good"), &json!(false)));
    assert_eq!(
        (&captions[1]["source"], &captions[1]["text"], &captions[1]["final"]),
        (&json!(ada), &json!("Good morning"), &json!(true))
    );
    assert_eq!(captions[1]["at"], stage.now.to_string());
    assert!(captions[0]["id"].as_u64() < captions[1]["id"].as_u64());
    let waiting = stage.heard("eve");
    assert!(waiting.iter().all(|event| event["type"] != "caption"), "{waiting:?}");
}

#[test]
fn a_room_takes_ten_captions_a_second() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    for n in 0..10 {
        assert_eq!(stage.caption("Ada", "word", false), "", "{n}");
    }
    assert_eq!(stage.caption("Ada", "word", false), "rate-limited");
    assert_eq!(stage.caption("Bob", "word", false), "rate-limited", "of all sources together");
    stage.pass(Duration::from_millis(100));
    assert_eq!(stage.caption("Ada", "word", false), "");
    assert_eq!(stage.caption("Ada", "word", false), "rate-limited");
    stage.pass(Duration::from_secs(60));
    for n in 0..10 {
        assert_eq!(stage.caption("Ada", "word", false), "", "{n}");
    }
    assert_eq!(stage.caption("Ada", "word", false), "rate-limited", "no more are saved up");
}

#[test]
fn a_caption_has_a_text_of_at_most_a_thousand_characters() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    assert_eq!(stage.caption("Ada", &"é".repeat(1_000), true), "");
    for text in ["", " \n", &"é".repeat(1_001)] {
        assert_eq!(stage.caption("Ada", text, true), "bad-request", "{} characters", text.len());
    }
}

#[test]
fn captions_of_a_recorded_room_reach_the_recorder() {
    let mut stage = Stage::new();
    stage.join("ada", json!({"topology": "sfu"}));
    stage.caption("Ada", "before", true);
    stage.record(None, true);
    stage.caption("Ada", "meanwhile", true);
    assert_eq!(stage.recorded_captions(), ["meanwhile"]);
}

#[test]
fn a_message_to_everybody_is_chat_from_nobody_in_the_room() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    assert_eq!(stage.announce("Reception", "The lift works again"), "");
    let newcomer = |stage: &mut Stage, who| {
        let heard = stage.heard(who);
        let line = heard.iter().find(|event| event["type"] == "chat").unwrap().clone();
        assert_eq!((&line["name"], &line["text"]), (&json!("Reception"), &json!("The lift works again")));
        assert_eq!(line["to"], json!(null));
        line
    };
    let line = newcomer(&mut stage, "ada");
    assert_ne!(line["from"], stage.peer("ada"));
    stage.join("bob", json!({}));
    assert_eq!(newcomer(&mut stage, "bob")["id"], line["id"], "a newcomer is given it, too");
    for text in ["", "  ", &"é".repeat(4_001)] {
        assert_eq!(stage.announce("Reception", text), "bad-request");
    }
}
