//! A client that guesses passwords does not use up the guesses of others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::Visavis;
use tests::client::Ws;

/// The response to a client at that address.
fn knock(addr: SocketAddr, from: &str, more: &Value) -> Value {
    let mut message = json!({"type": "join", "room": "shut", "name": "Eve"});
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    let mut ws = Ws::try_connect(addr, &[("x-forwarded-for", from)]).unwrap();
    ws.send(&message);
    ws.next()
}

#[test]
fn a_stranger_keeps_no_room_shut() {
    let server = Visavis::start(&["--trusted-proxy", "127.0.0.0/8"]);
    let addr = server.addr;
    let (mut ada, welcome) = Ws::join(addr, "shut", "Ada");
    ada.send(&json!({"type": "host", "action": "set-password", "value": "sesame", "seq": 1}));
    ada.until("ack");

    let right = json!({"password": "sesame"});
    for guess in 0..10 {
        assert_eq!(
            knock(addr, "198.51.100.1", &json!({"password": guess.to_string()}))["code"],
            "wrong-password"
        );
    }
    let refused = knock(addr, "198.51.100.1", &right);
    assert_eq!(refused["code"], "rate-limited", "whoever guesses is held back, also from guessing right");
    assert!(refused["retryAfterMs"].as_u64().is_some_and(|wait| wait > 0), "{refused}");
    // IPv6 by /64.
    for guess in 0..10 {
        let from = format!("2001:db8::{guess}");
        assert_eq!(knock(addr, &from, &json!({"password": "x"}))["code"], "wrong-password");
    }
    assert_eq!(knock(addr, "2001:db8::ffff", &right)["code"], "rate-limited");
    // Nobody else is affected, on any transport.
    assert_eq!(knock(addr, "198.51.100.2", &right)["type"], "welcome");
    assert_eq!(knock(addr, "2001:db8:0:1::1", &right)["type"], "welcome");
    // A wrong host token is not counted, and the right one is accepted, from that address too.
    for _ in 0..50 {
        assert_eq!(knock(addr, "198.51.100.3", &json!({"token": "made-up"}))["code"], "unauthorized");
    }
    assert_eq!(knock(addr, "198.51.100.3", &json!({"token": welcome["hostToken"]}))["type"], "welcome");
    assert_eq!(knock(addr, "198.51.100.1", &json!({"token": welcome["hostToken"]}))["type"], "welcome");
    // Correct passwords are not counted.
    for _ in 0..30 {
        assert_eq!(knock(addr, "198.51.100.4", &right)["type"], "welcome");
    }
}

#[test]
fn wrong_codes_hold_back_their_own_address_alone() {
    let server = Visavis::start(&["--trusted-proxy", "127.0.0.0/8"]);
    let code = tests::api::Api::anonymous(server.addr).book(&json!({}))["code"].clone();
    let wrong = json!({"room": "k7m-2xr-9dn"});
    for _ in 0..20 {
        assert_eq!(knock(server.addr, "198.51.100.1", &wrong)["code"], "not-found");
    }
    assert_eq!(knock(server.addr, "198.51.100.1", &json!({"room": code}))["code"], "rate-limited");
    assert_eq!(knock(server.addr, "198.51.100.2", &json!({"room": code}))["type"], "welcome");
}
