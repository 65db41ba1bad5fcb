//! A peer that has lost its connection is shown as away, soon and for as long as it lasts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::needless_pass_by_value, reason = "short steps, with `json!` in place")]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::MediaEvent;
use signaling_core::room::MediaTerms;
use stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// What a peer has been told about another's absence since the last call.
fn told(stage: &mut Stage, who: &'static str, of: &str) -> Vec<bool> {
    let heard = stage.heard(who);
    let about = heard.iter().filter(|event| event["type"] == "peer-updated" && event["peer"]["id"] == of);
    about.map(|event| event["peer"]["away"] == true).collect()
}

fn two() -> (Stage, String) {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    stage.heard("ada");
    let bob = stage.peer("bob");
    (stage, bob)
}

#[test]
fn a_closed_connection_is_told_within_a_second_and_taken_back() {
    let (mut stage, bob) = two();
    stage.lose("bob");
    stage.pass(SECOND);
    assert_eq!(told(&mut stage, "ada", &bob), [true]);
    let cem = stage.join("cem", json!({}));
    let listed =
        |welcome: &Value| welcome["peers"].as_array().unwrap().iter().find(|peer| peer["id"] == bob).cloned();
    assert_eq!(listed(&cem).unwrap()["away"], true, "newcomers learn it");
    stage.pass(20 * SECOND);
    let back = stage.resume("bob");
    assert!(back["self"].get("away").is_none(), "{back}");
    assert_eq!(told(&mut stage, "ada", &bob), [false]);
    let dan = stage.join("dan", json!({}));
    assert!(listed(&dan).unwrap().get("away").is_none(), "what is not so is not said");
}

#[test]
fn whoever_is_back_at_once_was_not_away() {
    let (mut stage, bob) = two();
    for _ in 0..5 {
        stage.lose("bob");
        stage.pass(Duration::from_millis(100));
        assert_eq!(stage.resume("bob")["resumed"], true);
        stage.pass(2 * SECOND);
    }
    assert_eq!(stage.resume("bob")["resumed"], true, "another connection in the place of one that is there");
    stage.pass(2 * SECOND);
    assert_eq!(told(&mut stage, "ada", &bob), Vec::<bool>::new());
}

#[test]
fn whoever_is_away_leaves_when_the_resume_window_is_over() {
    let (mut stage, bob) = two();
    stage.lose("bob");
    stage.pass(31 * SECOND);
    let heard = stage.heard("ada");
    let kinds: Vec<_> = heard.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["peer-updated", "peer-left"]);
    assert_eq!((&heard[1]["peer"], &heard[1]["reason"]), (&json!(bob), &json!("timeout")));
}

#[test]
fn a_whip_session_without_a_path_is_away() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    let camera = stage.join_media("Camera", "broadcaster", MediaTerms::default()).unwrap();
    let peer = camera.peer;
    stage.media(MediaEvent::Connected { peer });
    stage.pass(60 * SECOND);
    assert_eq!(told(&mut stage, "ada", peer.as_str()), Vec::<bool>::new());
    stage.media(MediaEvent::Failed { peer });
    stage.pass(SECOND);
    assert_eq!(told(&mut stage, "ada", peer.as_str()), [true]);
    stage.media(MediaEvent::Connected { peer });
    assert_eq!(told(&mut stage, "ada", peer.as_str()), [false]);
}

#[test]
fn nobody_hears_of_somebody_in_the_lobby_but_the_hosts_who_admit() {
    let (mut stage, _) = two();
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "set-lobby", "value": true})), "ack");
    stage.join("wanda", json!({}));
    let wanda = stage.peer("wanda");
    for who in ["ada", "bob"] {
        stage.heard(who);
    }
    assert_eq!(stage.say("wanda", json!({"type": "update", "hand": true})), "ack");
    stage.lose("wanda");
    stage.pass(2 * SECOND);
    for who in ["ada", "bob"] {
        assert_eq!(stage.heard(who), Vec::<Value>::new(), "as {who} hears it");
    }
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "admit", "peer": wanda})), "ack");
    let heard = stage.heard("bob");
    let joined = heard.iter().find(|event| event["type"] == "peer-joined").unwrap();
    assert_eq!((&joined["peer"]["away"], &joined["peer"]["hand"]), (&json!(true), &json!(true)));
}
