//! Hosts: the first eligible peer, a successor while no other host is there, and the bearer of the token.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "short steps, with `json!` in place"
)]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::room::MediaTerms;
use stage::Stage;

const WINDOW: Duration = Duration::from_secs(30);

fn host(action: &str) -> Value {
    json!({"type": "host", "action": action})
}

/// The people here who may use a host's powers. Whether the room is locked changes nothing for them.
fn hosts<'a>(stage: &mut Stage, people: &[&'a str]) -> Vec<&'a str> {
    let may = |stage: &mut Stage, who: &str| match stage.say(who, host("unlock")).as_str() {
        "ack" => true,
        "forbidden" => false,
        other => panic!("{who} is answered {other}"),
    };
    people.iter().copied().filter(|who| may(stage, who)).collect()
}

fn closes(stage: &mut Stage, who: &str) {
    assert_eq!(stage.say(who, json!({"type": "leave", "mayReturn": true})), "ack");
}

#[test]
fn a_viewer_who_comes_first_is_no_host_and_the_first_participant_is() {
    for role in ["participant", "broadcaster"] {
        let mut stage = Stage::new();
        let vera = stage.join("vera", json!({"role": "viewer"}));
        assert_eq!((&vera["self"]["host"], vera.get("hostToken")), (&json!(false), None), "{vera}");
        assert_eq!(vera["room"]["host"], Value::Null);
        assert_eq!(hosts(&mut stage, &["vera"]), Vec::<&str>::new());
        stage.pass(2 * WINDOW);
        assert_eq!(stage.join("will", json!({"role": "viewer"})).get("hostToken"), None);
        let ada = stage.join("ada", json!({"role": role}));
        assert_eq!(ada["self"]["host"], true, "{role}");
        assert!(ada["hostToken"].is_string(), "{role}: whoever is host first gets the token");
        assert_eq!(stage.join("bob", json!({})).get("hostToken"), None);
        assert_eq!(hosts(&mut stage, &["vera", "will", "ada", "bob"]), ["ada"]);
    }
}

#[test]
fn the_first_participant_is_host_also_after_a_restart() {
    let mut stage = Stage::new();
    stage.join("vera", json!({"role": "viewer"}));
    stage.restart();
    assert_eq!(stage.resume("vera")["resumed"], true);
    let ada = stage.join("ada", json!({}));
    assert_eq!((&ada["self"]["host"], ada["hostToken"].is_string()), (&json!(true), true), "{ada}");
}

#[test]
fn the_first_participant_beside_whip_and_whep_is_host_and_gets_the_token() {
    let mut stage = Stage::new();
    stage.join_media("Camera", "broadcaster", MediaTerms::default()).unwrap();
    stage.join_media("Screen", "viewer", MediaTerms::default()).unwrap();
    let ada = stage.join("ada", json!({}));
    assert_eq!((&ada["self"]["host"], ada["hostToken"].is_string()), (&json!(true), true), "{ada}");
}

#[test]
fn a_viewer_has_no_powers_with_the_token_either() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    assert_eq!(stage.say("ada", host("lock")), "ack");
    let vera = stage.join("vera", json!({"role": "viewer", "token": token}));
    assert_eq!((&vera["state"], &vera["self"]["host"]), (&json!("joined"), &json!(false)), "{vera}");
    assert_eq!(hosts(&mut stage, &["vera"]), Vec::<&str>::new());
}

#[test]
fn a_host_who_only_watches_from_now_on_is_host_no_more() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    stage.join("bob", json!({}));
    let ada = stage.peer("ada");
    stage.heard("bob");
    let mut message = host("promote");
    (message["peer"], message["value"]) = (ada.into(), "viewer".into());
    assert_eq!(stage.say("ada", message), "ack");
    assert_eq!(hosts(&mut stage, &["ada", "bob"]), ["bob"]);
    stage.restart();
    assert_eq!(
        (&stage.resume("ada")["resumed"], &stage.resume("bob")["resumed"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(hosts(&mut stage, &["ada"]), Vec::<&str>::new(), "a secret of before gives nothing back");
    assert_eq!(stage.join("ada", json!({"token": token}))["self"]["host"], true);
}

#[test]
fn a_pressed_leave_passes_the_power_at_once_and_its_maker_gets_it_back() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    stage.join("bob", json!({}));
    stage.join("cem", json!({}));
    assert_eq!(stage.say("ada", json!({"type": "leave"})), "ack");
    assert_eq!(hosts(&mut stage, &["bob", "cem"]), ["bob"]);
    stage.heard("bob");
    let back = stage.join("ada", json!({"token": token}));
    assert_eq!((&back["self"]["host"], &back["room"]["host"]), (&json!(true), &json!(stage.peer("ada"))));
    assert_eq!(hosts(&mut stage, &["ada", "bob", "cem"]), ["ada"]);
    let heard = stage.heard("bob");
    let bob = json!(stage.peer("bob"));
    let told = heard.iter().any(|event| {
        event["type"] == "peer-updated" && event["peer"]["id"] == bob && event["peer"]["host"] == false
    });
    assert!(told, "{heard:?}");
    let room = heard.iter().rev().find(|event| event["type"] == "room-updated").unwrap();
    assert_eq!(room["room"]["host"], json!(stage.peer("ada")));
}

#[test]
fn a_closed_page_is_gone_at_once_and_its_power_waits_for_it() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    stage.join("bob", json!({}));
    stage.heard("bob");
    closes(&mut stage, "ada");
    let heard = stage.heard("bob");
    assert!(heard.iter().any(|event| event["type"] == "peer-left" && event["reason"] == "left"), "{heard:?}");
    assert_eq!(stage.resume("ada")["code"], "session-unknown", "the session is over");
    stage.pass(WINDOW.saturating_sub(Duration::from_secs(1)));
    assert_eq!(hosts(&mut stage, &["bob"]), Vec::<&str>::new());
    assert_eq!(stage.join("ada", json!({"token": token}))["self"]["host"], true);
    stage.pass(2 * WINDOW);
    assert_eq!(hosts(&mut stage, &["ada", "bob"]), ["ada"], "who came back in time is succeeded by nobody");
    closes(&mut stage, "ada");
    stage.pass(WINDOW + Duration::from_secs(1));
    assert_eq!(hosts(&mut stage, &["bob"]), ["bob"]);
    stage.join("ada", json!({"token": token}));
    assert_eq!(hosts(&mut stage, &["ada", "bob"]), ["ada"], "it is given back");
}

#[test]
fn everybody_is_told_who_is_host_whenever_that_changes() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    stage.join("bob", json!({}));
    stage.join("cem", json!({}));
    let named = |stage: &mut Stage| -> Vec<Value> {
        let heard = stage.heard("cem");
        let rooms = heard.iter().filter(|event| event["type"] == "room-updated");
        rooms.map(|event| event["room"]["host"].clone()).collect()
    };
    assert_eq!(named(&mut stage), Vec::<Value>::new(), "the welcome says it");
    closes(&mut stage, "ada");
    assert_eq!(named(&mut stage), [Value::Null]);
    stage.join("ada", json!({"token": token}));
    let ada = json!(stage.peer("ada"));
    assert_eq!(named(&mut stage), [ada]);
    stage.say("ada", json!({"type": "leave"}));
    assert_eq!(named(&mut stage), [json!(stage.peer("bob"))]);
    stage.lose("bob");
    stage.pass(WINDOW + Duration::from_secs(1));
    assert_eq!(named(&mut stage), [json!(stage.peer("cem"))]);
}

#[test]
fn whom_a_host_made_host_stays_so_and_whom_a_successor_made_host_does_not() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    for who in ["bob", "cem", "dan"] {
        stage.join(who, json!({}));
    }
    let promote = |stage: &mut Stage, who: &str, whom: &str| {
        let mut message = host("promote");
        message["peer"] = stage.peer(whom).into();
        assert_eq!(stage.say(who, message), "ack");
    };
    promote(&mut stage, "ada", "cem");
    stage.say("ada", json!({"type": "leave"}));
    assert_eq!(hosts(&mut stage, &["bob", "cem", "dan"]), ["cem"], "a host is there");
    stage.join("ada", json!({"token": token}));
    assert_eq!(hosts(&mut stage, &["ada", "bob", "cem", "dan"]), ["ada", "cem"]);
    for who in ["ada", "cem"] {
        stage.say(who, json!({"type": "leave"}));
    }
    promote(&mut stage, "bob", "dan");
    assert_eq!(hosts(&mut stage, &["bob", "dan"]), ["bob", "dan"]);
    stage.join("ada", json!({"token": token}));
    assert_eq!(hosts(&mut stage, &["ada", "bob", "dan"]), ["ada"]);
}

#[test]
fn after_a_restart_nobody_succeeds_before_the_resume_window_is_over() {
    for successor_resumes_first in [true, false] {
        let mut stage = Stage::new();
        for who in ["ada", "bob", "cem"] {
            stage.join(who, json!({}));
            stage.pass(Duration::from_secs(1));
        }
        stage.restart();
        let order = if successor_resumes_first { ["bob", "cem"] } else { ["cem", "bob"] };
        for who in order {
            assert_eq!(stage.resume(who)["resumed"], true);
        }
        stage.pass(WINDOW.saturating_sub(Duration::from_secs(2)));
        assert_eq!(hosts(&mut stage, &["bob", "cem"]), Vec::<&str>::new());
        stage.pass(Duration::from_secs(3));
        assert_eq!(hosts(&mut stage, &["bob", "cem"]), ["bob"], "the earliest, whoever was back first");
        // The host's machine was asleep.
        assert_eq!(stage.resume("ada")["resumed"], true);
        assert_eq!(hosts(&mut stage, &["ada", "bob", "cem"]), ["ada"]);
    }
}

#[test]
fn the_host_is_the_host_after_twenty_restarts() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    for restart in 0..20 {
        stage.restart();
        let order = if restart % 3 == 0 { ["ada", "bob"] } else { ["bob", "ada"] };
        for who in order {
            assert_eq!(stage.resume(who)["resumed"], true);
            if who == "bob" {
                assert_eq!(stage.say("bob", host("lock")), "forbidden", "restart {restart}");
            }
        }
        assert_eq!(hosts(&mut stage, &["ada", "bob"]), ["ada"], "restart {restart}");
    }
}

#[test]
fn powers_that_were_given_in_the_call_outlive_a_restart() {
    let mut stage = Stage::new();
    stage.join("ada", json!({}));
    stage.join("bob", json!({}));
    let mut message = host("promote");
    message["peer"] = stage.peer("bob").into();
    assert_eq!(stage.say("ada", message), "ack");
    stage.restart();
    stage.resume("bob");
    assert_eq!(hosts(&mut stage, &["bob"]), ["bob"], "a host made him host");
    // A successor also stays host after a restart, until the appointed host comes.
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    stage.join("bob", json!({}));
    stage.say("ada", json!({"type": "leave"}));
    stage.restart();
    stage.resume("bob");
    assert_eq!(hosts(&mut stage, &["bob"]), ["bob"]);
    stage.join("ada", json!({"token": token}));
    assert_eq!(hosts(&mut stage, &["ada", "bob"]), ["ada"]);
    stage.restart();
    stage.resume("bob");
    assert_eq!(hosts(&mut stage, &["bob"]), Vec::<&str>::new(), "he has stepped down");
}

#[test]
fn a_peer_has_joined_when_it_joined_whatever_was_restarted_since() {
    let mut stage = Stage::new();
    let joined_at = stage.join("ada", json!({}))["self"]["joinedAt"].clone();
    stage.pass(WINDOW);
    stage.restart();
    assert_eq!(stage.resume("ada")["self"]["joinedAt"], joined_at);
}

#[test]
fn a_host_token_of_an_earlier_life_is_refused() {
    let mut stage = Stage::new();
    let token = stage.join("ada", json!({}))["hostToken"].clone();
    assert_eq!(stage.say("ada", host("end")), "ack");
    let with_token = json!({"token": token});
    assert_eq!(stage.join("ada", with_token.clone())["code"], "room-ended", "the name rests");
    stage.pass(Duration::from_secs(61));
    assert_eq!(stage.join("ada", with_token.clone())["code"], "unauthorized", "it makes no room");
    let bob = stage.join("bob", json!({}));
    assert_eq!(bob["self"]["host"], true);
    assert_eq!(stage.join("ada", with_token)["code"], "unauthorized", "and opens none");
    assert_eq!(stage.join("ada", json!({}))["state"], "joined");
}
