//! Join tokens: clients with one are admitted over each transport, clients without one are not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::client::{Ws, post};
use tests::socketio::Sio;
use tests::tokens::{SECRET, token};
use tests::{Visavis, ask, request};

fn join(room: &str, token: Option<&str>) -> Value {
    json!({"type": "join", "room": room, "name": "Somebody", "token": token})
}

#[test]
fn with_a_key_a_token_is_needed_and_says_who_comes_in() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    for bad in [
        None,
        Some("made-up"),
        Some(&*token("elsewhere", json!({}))),
        Some(&*token("standup", json!({"exp": 1}))),
    ] {
        let mut ws = Ws::connect(server.addr);
        ws.send(&join("standup", bad));
        assert_eq!(ws.next()["code"], "unauthorized", "{bad:?}");
        assert_eq!(ws.closed(), 4401);
        assert_eq!(
            post(server.addr, "/api/v1/sessions", None, &join("standup", bad).to_string()).status,
            401
        );
        let mut sio = Sio::connect(server.addr);
        assert_eq!(sio.ask(&join("standup", bad))["code"], "unauthorized");
        assert!(sio.next_or_end().is_none());
    }
    let mut ada = Ws::connect(server.addr);
    ada.send(&join("standup", Some(&token("standup", json!({"name": "Ada L."})))));
    let adas = ada.until("welcome");
    assert_eq!(adas["self"]["name"], "Ada L.");
    // The room's host token is accepted without a join token; a token with `host` grants the power.
    let mut bob = Sio::connect(server.addr);
    assert_eq!(bob.ask(&join("standup", adas["hostToken"].as_str()))["type"], "welcome");
    let mut cy = Sio::connect(server.addr);
    cy.ask(&join("standup", Some(&token("standup", json!({"host": true})))));
    assert_eq!(cy.ask(&json!({"type": "host", "action": "lock"}))["type"], "ack");
    let mut dee = Sio::connect(server.addr);
    assert_eq!(
        dee.ask(&join("standup", Some(&token("standup", json!({})))))["type"],
        "welcome",
        "passes the lock"
    );
    assert_eq!(dee.ask(&json!({"type": "host", "action": "unlock"}))["code"], "forbidden");

    let bearer = token("standup", json!({}));
    let shown = ask(
        std::net::TcpStream::connect(server.addr).unwrap(),
        &format!(
            "GET /api/v1/rooms/standup HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer {bearer}\r\n\r\n",
            server.addr
        ),
    );
    let shown: Value = serde_json::from_str(&shown.body).unwrap();
    assert_eq!((&shown["locked"], &shown["peers"]), (&json!(true), &json!(4)));
}

#[test]
fn whoever_was_removed_does_not_come_back_by_the_same_token() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let mut host = Ws::connect(server.addr);
    host.send(&join("standup", Some(&token("standup", json!({"host": true})))));
    host.until("welcome");
    let enter = |token: &str, client: &str| {
        let mut message = join("standup", Some(token));
        message["clientId"] = client.into();
        let mut ws = Ws::connect(server.addr);
        ws.send(&message);
        let answer = ws.next();
        (ws, answer)
    };
    let mut kick = |welcome: &Value, value: Value| {
        host.send(&json!({"type": "host", "action": "kick", "peer": welcome["self"]["id"], "value": value}));
        host.until("peer-left");
    };
    let named = token("standup", json!({"jti": "17", "sub": "eve"}));
    kick(&enter(&named, "one").1, Value::Null);
    assert_eq!(enter(&named, "two").1["code"], "forbidden");
    let anew = token("standup", json!({"jti": "18", "sub": "eve"}));
    assert_eq!(enter(&anew, "three").1["code"], "forbidden", "it is still Eve's");
    assert_eq!(enter(&token("standup", json!({"sub": "bob"})), "four").1["type"], "welcome");

    let shared = token("standup", json!({}));
    kick(&enter(&shared, "five").1, Value::Null);
    let (_ws, welcome) = enter(&shared, "six");
    assert_eq!(welcome["type"], "welcome", "others come by it as well");
    kick(&welcome, "token".into());
    assert_eq!(enter(&shared, "seven").1["code"], "forbidden");
    let body = "v=0\r\n";
    let bearer = format!("Bearer {named}");
    let headers = [("content-type", "application/sdp"), ("authorization", &*bearer)];
    assert_eq!(request(server.addr, "POST", "/whip/standup", &headers, Some(body.as_bytes())).status, 403);
}

#[test]
fn rooms_are_made_by_those_who_may() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let make = |bearer: Option<&str>| post(server.addr, "/api/v1/rooms", bearer, "{}").status;
    assert_eq!(make(None), 401);
    assert_eq!(make(Some(&token("any", json!({})))), 403);
    assert_eq!(make(Some(&token("any", json!({"host": true})))), 201);

    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    assert_eq!(post(server.addr, "/api/v1/rooms", None, "{}").status, 401);
    let mut ws = Ws::connect(server.addr);
    ws.send(&join("standup", None));
    assert_eq!(ws.next()["code"], "forbidden");
}
