//! Mesh and SFU: what peers request, and when a room changes over.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::needless_pass_by_value, reason = "short steps, with `json!` in place")]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use stage::Stage;

fn asks(epoch: u64) -> Value {
    json!({"type": "topology", "epoch": epoch, "topology": "sfu"})
}

fn topologies(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = events.iter().filter(|event| event["type"] == "topology");
    changes.map(|event| (text(&event["topology"]), text(&event["state"]))).collect()
}

fn pair(topology: &str) -> Stage {
    let mut stage = Stage::new();
    stage.join("ada", json!({"topology": topology}));
    stage.join("bob", json!({}));
    stage
}

#[test]
fn a_pair_that_cannot_connect_goes_over_to_the_sfu_and_a_later_pair_tries_again() {
    let mut stage = pair("auto");
    assert_eq!(stage.say("bob", asks(2)), "invalid-state", "nobody has been on that path");
    assert_eq!(stage.say("bob", asks(1)), "ack");
    assert_eq!(stage.say("ada", asks(1)), "ack", "the other side sees the same and asks too");
    for who in ["ada", "bob"] {
        let heard = topologies(&stage.heard(who));
        assert_eq!(heard, [("sfu".to_owned(), "switching".to_owned())], "{who}");
        assert_eq!(stage.say(who, json!({"type": "topology", "epoch": 2, "ready": true})), "ack");
    }
    assert_eq!(topologies(&stage.heard("ada")), [("sfu".to_owned(), "settled".to_owned())]);
    stage.pass(Duration::from_secs(60));
    assert_eq!(topologies(&stage.heard("ada")), [], "two would fit a mesh, but it does not carry them");
    assert_eq!(stage.say("bob", asks(1)), "ack", "said too late, and of no effect");

    stage.say("bob", json!({"type": "leave"}));
    stage.join("bob", json!({}));
    stage.pass(Duration::from_secs(60));
    let heard = topologies(&stage.heard("ada"));
    assert_eq!(heard.last(), Some(&("mesh".to_owned(), "settled".to_owned())), "{heard:?}");
}

#[test]
fn a_room_that_is_always_a_mesh_stays_one() {
    let mut stage = pair("mesh");
    assert_eq!(stage.say("bob", asks(1)), "invalid-state");
    assert_eq!(
        stage.say("bob", json!({"type": "topology", "epoch": 1, "topology": "mesh"})),
        "invalid-state"
    );
    assert_eq!(topologies(&stage.heard("ada")), []);
}

#[test]
fn a_third_who_is_gone_before_the_change_is_through_keeps_nobody_waiting() {
    let mut stage = pair("auto");
    stage.join("cem", json!({}));
    stage.say("cem", json!({"type": "leave"}));
    stage.pass(Duration::from_secs(15));
    let heard = topologies(&stage.heard("ada"));
    let of = |topology: &str, state: &str| (topology.to_owned(), state.to_owned());
    assert_eq!(heard, [of("sfu", "switching"), of("sfu", "settled")], "nobody was ready: settled by time");
    stage.pass(Duration::from_secs(30));
    assert_eq!(topologies(&stage.heard("ada")), [of("mesh", "switching"), of("mesh", "settled")]);
}

#[test]
fn signals_of_another_epoch_are_ignored() {
    let mut stage = pair("auto");
    let ada = stage.peer("ada");
    let candidate = |epoch: Option<u64>| {
        let mut signal = json!({"type": "signal", "to": ada, "candidate": {"candidate": "c"}});
        if let Some(epoch) = epoch {
            signal["epoch"] = epoch.into();
        }
        signal
    };
    let epochs = |stage: &mut Stage| {
        let signals = stage.heard("ada").into_iter().filter(|event| event["type"] == "signal");
        signals.map(|event| event["epoch"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for epoch in [Some(1), Some(2), Some(0), None] {
        assert_eq!(stage.say("bob", candidate(epoch)), "ack");
    }
    assert_eq!(epochs(&mut stage), [1, 1]);
    stage.join("eve", json!({}));
    assert_eq!(stage.say("bob", candidate(Some(1))), "ack", "the mesh carries media until the SFU does");
    assert_eq!(epochs(&mut stage), [1]);
    stage.pass(Duration::from_secs(11));
    assert_eq!(stage.say("bob", candidate(Some(1))), "invalid-state");
    stage.say("eve", json!({"type": "leave"}));
    stage.pass(Duration::from_secs(31));
    for epoch in [Some(2), Some(3)] {
        assert_eq!(stage.say("bob", candidate(epoch)), "ack");
    }
    assert_eq!(epochs(&mut stage), [3], "the mesh that is being built");
}
