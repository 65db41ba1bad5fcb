//! The one-to-one call: its permitted steps, and the refused ones.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "short steps, with `json!` in place"
)]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use stage::Stage;

const ACTIONS: [&str; 7] = ["ring", "accept", "decline", "cancel", "hangup", "connected", "failed"];

/// The state of a call before the test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ringing,
    Connecting,
    /// The caller has reported that media flows.
    HalfConnected,
    Connected,
    Ended,
}

use State::{Connected, Connecting, Ended, HalfConnected, Ringing};

const STATES: [State; 5] = [Ringing, Connecting, HalfConnected, Connected, Ended];

/// Ada and Bob, who may call each other, and Cy.
fn three() -> Stage {
    let mut stage = Stage::new();
    for who in ["ada", "bob", "cy"] {
        stage.join(who, json!({}));
    }
    for who in ["ada", "bob", "cy"] {
        stage.heard(who);
    }
    stage
}

fn ring(stage: &mut Stage, from: &str, to: &str) -> String {
    let to = stage.peer(to);
    stage.say(from, json!({"type": "call", "action": "ring", "to": to}))
}

fn act(stage: &mut Stage, who: &str, action: &str, call: &Value) -> String {
    let to = stage.peer(if who == "ada" { "bob" } else { "ada" });
    stage.say(who, json!({"type": "call", "action": action, "call": call, "to": to}))
}

/// The call states that a peer has heard of since the last call.
fn states(stage: &mut Stage, who: &str) -> Vec<String> {
    let calls = stage.heard(who).into_iter().filter(|event| event["type"] == "call");
    let words = calls.map(|event| match event["reason"].as_str() {
        Some(reason) => format!("{} {reason}", event["state"].as_str().unwrap()),
        None => event["state"].as_str().unwrap().to_owned(),
    });
    words.collect()
}

fn both_heard(stage: &mut Stage, expected: &[&str]) {
    assert_eq!(states(stage, "ada"), expected);
    assert_eq!(states(stage, "bob"), expected);
    assert!(states(stage, "cy").is_empty(), "a call is the business of two");
}

/// Ada calls Bob, up to a state. Returns the call's id.
fn call(stage: &mut Stage, state: State) -> Value {
    assert_eq!(ring(stage, "ada", "bob"), "ack");
    let heard = stage.heard("bob");
    let ringing = heard.iter().find(|event| event["type"] == "call").unwrap();
    assert_eq!((&ringing["state"], &ringing["from"]), (&json!("ringing"), &json!(stage.peer("ada"))));
    let id = ringing["call"].clone();
    let steps: &[(&str, &str)] = match state {
        Ringing => &[],
        Connecting => &[("bob", "accept")],
        HalfConnected => &[("bob", "accept"), ("ada", "connected")],
        Connected => &[("bob", "accept"), ("ada", "connected"), ("bob", "connected")],
        Ended => &[("bob", "decline")],
    };
    for (who, action) in steps {
        assert_eq!(act(stage, who, action, &id), "ack", "{who} {action}");
    }
    stage.heard("ada");
    stage.heard("bob");
    id
}

#[test]
fn a_call_goes_its_way() {
    let mut stage = three();
    assert_eq!(ring(&mut stage, "ada", "bob"), "ack");
    let id = stage.heard("bob")[0]["call"].clone();
    assert_eq!(states(&mut stage, "ada"), ["ringing"]);
    for (who, action, heard) in [
        ("bob", "accept", "connecting"),
        ("bob", "connected", "connecting"),
        ("ada", "connected", "connected"),
        ("ada", "hangup", "ended hung-up"),
    ] {
        assert_eq!(act(&mut stage, who, action, &id), "ack", "{who} {action}");
        both_heard(&mut stage, &[heard]);
    }
    assert_eq!(ring(&mut stage, "bob", "ada"), "ack", "both are free again");
}

/// The permitted actions of each peer in each state, and the state that follows. Every other action is `invalid-state`
/// and changes nothing.
const ALLOWED: &[(State, &str, &str, &str)] = &[
    (Ringing, "ada", "cancel", "ended cancelled"),
    (Ringing, "bob", "accept", "connecting"),
    (Ringing, "bob", "decline", "ended declined"),
    // A callee that rings the caller accepts the call.
    (Ringing, "bob", "ring", "connecting"),
    (Connecting, "ada", "connected", "connecting"),
    (Connecting, "bob", "connected", "connecting"),
    (Connecting, "ada", "hangup", "ended hung-up"),
    (Connecting, "bob", "hangup", "ended hung-up"),
    (Connecting, "ada", "failed", "ended failed"),
    (Connecting, "bob", "failed", "ended failed"),
    (HalfConnected, "bob", "connected", "connected"),
    (HalfConnected, "ada", "hangup", "ended hung-up"),
    (HalfConnected, "bob", "hangup", "ended hung-up"),
    (HalfConnected, "ada", "failed", "ended failed"),
    (HalfConnected, "bob", "failed", "ended failed"),
    (Connected, "ada", "hangup", "ended hung-up"),
    (Connected, "bob", "hangup", "ended hung-up"),
    (Connected, "ada", "failed", "ended failed"),
    (Connected, "bob", "failed", "ended failed"),
    (Ended, "ada", "ring", "ringing"),
    (Ended, "bob", "ring", "ringing"),
];

#[test]
fn every_action_in_every_state_by_everybody() {
    for state in STATES {
        for who in ["ada", "bob"] {
            for action in ACTIONS {
                let mut stage = three();
                let id = call(&mut stage, state);
                let answer = act(&mut stage, who, action, &id);
                let row = ALLOWED.iter().find(|row| (row.0, row.1, row.2) == (state, who, action));
                let (answered, heard) = match row {
                    Some((.., leads_to)) => ("ack", vec![*leads_to]),
                    None => ("invalid-state", vec![]),
                };
                assert_eq!(answer, answered, "{state:?}: {who} {action}");
                both_heard(&mut stage, &heard);
            }
        }
        // A third peer cannot act on the call, even if it knows the id.
        for action in ACTIONS.into_iter().skip(1) {
            let mut stage = three();
            let id = call(&mut stage, state);
            assert_eq!(act(&mut stage, "cy", action, &id), "invalid-state", "{state:?}: cy {action}");
            both_heard(&mut stage, &[]);
        }
    }
}

#[test]
fn who_is_in_a_call_is_busy_and_hears_nothing_of_it() {
    for state in [Ringing, Connecting, HalfConnected, Connected] {
        for whom in ["ada", "bob"] {
            let mut stage = three();
            call(&mut stage, state);
            assert_eq!(ring(&mut stage, "cy", whom), "ack");
            assert_eq!(states(&mut stage, "cy"), ["ended busy"], "{state:?} {whom}");
            assert!(states(&mut stage, "ada").is_empty() && states(&mut stage, "bob").is_empty());
            assert_eq!(ring(&mut stage, whom, "cy"), "invalid-state", "one call at a time");
        }
    }
}

#[test]
fn nobody_answers() {
    let mut stage = three();
    call(&mut stage, Ringing);
    stage.pass(Duration::from_millis(29_999));
    both_heard(&mut stage, &[]);
    stage.pass(Duration::from_millis(1));
    both_heard(&mut stage, &["ended unanswered"]);
    call(&mut stage, Connecting);
    stage.pass(Duration::from_mins(2));
    both_heard(&mut stage, &[]);
}

#[test]
fn whoever_leaves_ends_the_call() {
    for (state, who, expected) in [
        (Ringing, "ada", "ended cancelled"),
        (Ringing, "bob", "ended unanswered"),
        (Connecting, "ada", "ended hung-up"),
        (HalfConnected, "bob", "ended hung-up"),
        (Connected, "bob", "ended hung-up"),
    ] {
        let mut stage = three();
        call(&mut stage, state);
        let other = if who == "ada" { "bob" } else { "ada" };
        assert_eq!(stage.say(who, json!({"type": "leave"})), "ack");
        assert_eq!(states(&mut stage, other), [expected], "{state:?}: {who} leaves");
        assert_eq!(ring(&mut stage, other, "cy"), "ack", "{other} is free again");
    }
}

#[test]
fn a_lost_transport_is_no_end_and_a_lost_peer_is() {
    let mut stage = three();
    let id = call(&mut stage, Connected);
    stage.lose("bob");
    stage.pass(Duration::from_secs(20));
    assert_eq!(stage.resume("bob")["resumed"], true);
    both_heard(&mut stage, &[]);
    assert_eq!(act(&mut stage, "bob", "hangup", &id), "ack");
    both_heard(&mut stage, &["ended hung-up"]);

    call(&mut stage, Connected);
    stage.lose("bob");
    stage.pass(Duration::from_secs(31));
    assert_eq!(states(&mut stage, "ada"), ["ended failed"]);
}

#[test]
fn whom_one_cannot_ring() {
    let mut stage = three();
    assert_eq!(ring(&mut stage, "ada", "ada"), "bad-request");
    let nobody = stage.say("ada", json!({"type": "call", "action": "ring", "to": "nobody"}));
    assert_eq!(nobody, "peer-unknown");
    assert_eq!(stage.say("ada", json!({"type": "call", "action": "ring"})), "bad-request");
    for call in [Value::Null, json!("none of ours")] {
        let accept = json!({"type": "call", "action": "accept", "call": call});
        assert_eq!(stage.say("ada", accept), "invalid-state", "who is in no call has none to accept");
    }
    assert_eq!(stage.say("ada", json!({"type": "host", "action": "set-lobby", "value": true})), "ack");
    assert_eq!(stage.join("dee", json!({}))["state"], "waiting");
    assert_eq!(ring(&mut stage, "ada", "dee"), "peer-unknown", "who waits is not in the room");
    assert_eq!(ring(&mut stage, "dee", "ada"), "forbidden");
}

#[test]
fn whoever_is_in_a_call_need_not_say_in_which() {
    let mut stage = three();
    ring(&mut stage, "ada", "bob");
    assert_eq!(stage.say("cy", json!({"type": "call", "action": "accept"})), "invalid-state");
    assert_eq!(stage.say("bob", json!({"type": "call", "action": "accept"})), "ack");
    assert_eq!(stage.say("ada", json!({"type": "call", "action": "hangup"})), "ack");
    both_heard(&mut stage, &["ringing", "connecting", "ended hung-up"]);
}
