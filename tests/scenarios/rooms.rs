//! Rooms over real sockets: which events each peer receives, over which transport, and with whose authority.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::client::{Sse, Ws, credentials, post};
use tests::{Visavis, get};

fn texts(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event["type"] == "chat")
        .map(|event| event["text"].as_str().unwrap())
        .collect()
}

#[test]
fn two_transports_are_in_one_room() {
    let server = Visavis::start(&[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    assert_eq!(welcome["state"], "joined");
    assert_eq!(welcome["room"]["topology"], "mesh");
    assert!(welcome["hostToken"].is_string(), "she made the room");
    assert_eq!(welcome["heartbeatMs"], 15_000);
    let (mut bob, welcome) = Sse::join(server.addr, "standup", "Bob");
    assert!(welcome.get("hostToken").is_none());
    assert_eq!(welcome["peers"][0]["name"], "Ada");
    let joined = ada.until("peer-joined");
    assert_eq!(joined["peer"]["name"], "Bob");

    let description = json!({"type": "offer", "sdp": "v=0"});
    ada.send(&json!({"type": "signal", "to": bob.credentials.peer, "epoch": 1, "description": description, "seq": 1}));
    let signal = bob.until("signal");
    assert_eq!((&signal["description"], &signal["epoch"]), (&description, &json!(1)));
    assert_eq!(ada.until("ack")["seq"], 1);

    let answer = bob.send(&json!([{"type": "chat", "text": "hello", "seq": 1}, {"type": "dance", "seq": 2}]));
    assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"accepted":1}"#));
    assert_eq!(ada.until("chat")["text"], "hello");
    assert_eq!(bob.until("ack")["seq"], 1);
    let error = bob.until("error");
    assert_eq!((&error["code"], &error["seq"]), (&json!("unknown-message"), &json!(2)));

    ada.send(&json!({"type": "update", "microphone": true, "name": "Ada L."}));
    let updated = bob.until("peer-updated");
    assert_eq!((&updated["peer"]["name"], &updated["peer"]["microphone"]), (&json!("Ada L."), &json!(true)));

    ada.send(&json!({"type": "leave", "seq": 3}));
    assert_eq!(ada.until("ack")["seq"], 3);
    assert_eq!(ada.closed(), 1000);
    let left = bob.until("peer-left");
    assert_eq!(left["reason"], "left");
}

#[test]
fn a_cut_websocket_resumes_over_an_event_stream_with_nothing_lost_and_nothing_twice() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, welcome) = Ws::join(server.addr, "standup", "Bob");
    let bob_is = credentials(&welcome);
    ada.send(&json!({"type": "chat", "text": "one"}));
    assert_eq!(bob.until("chat")["text"], "one");
    let cursor = bob.last_id;
    drop(bob);
    ada.send(&json!({"type": "chat", "text": "two"}));
    ada.send(&json!({"type": "signal", "to": bob_is.peer, "epoch": 1, "candidate": {"candidate": ""}}));
    ada.send(&json!({"type": "chat", "text": "three"}));
    ada.settle();

    let (mut bob, welcome) = Sse::resume(server.addr, &bob_is, cursor);
    assert_eq!((&welcome["resumed"], &welcome["lastId"]), (&json!(true), &json!(cursor)));
    assert!(welcome.get("peers").is_none());
    assert_eq!(bob.next()["text"], "two");
    assert_eq!(bob.next()["type"], "signal");
    assert_eq!(bob.next()["text"], "three");
    // And back again while the stream is still open: the stream is told, and can no longer be used.
    let cursor = bob.last_id;
    let (mut again, _) = Ws::resume(server.addr, &bob.credentials, cursor);
    assert_eq!(bob.until("error")["code"], "session-replaced");
    assert!(bob.next_or_end().is_none());
    let refused = Sse::open(server.addr, bob.credentials.clone(), Some(cursor)).err().unwrap();
    assert_eq!(refused.status, 204);
    assert!(again.settle().is_empty(), "nothing twice");
    assert!(!ada.settle().iter().any(|event| event["type"] == "peer-left"), "nobody noticed");
}

#[test]
fn a_takeover_closes_the_first_connection() {
    let server = Visavis::start(&[]);
    let (mut first, welcome) = Ws::join(server.addr, "standup", "Ada");
    let cursor = first.last_id;
    let (mut second, resumed) = Ws::resume(server.addr, &credentials(&welcome), cursor);
    assert_eq!(resumed["self"]["id"], welcome["self"]["id"]);
    assert_eq!(first.until("error")["code"], "session-replaced");
    assert_eq!(first.closed(), 4409);
    second.send(&json!({"type": "chat", "text": "still me"}));
    assert_eq!(second.until("chat")["text"], "still me");
}

#[test]
fn nothing_crosses_rooms_and_nobody_speaks_for_another() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "red", "Ada");
    let (mut bob, bobs) = Ws::join(server.addr, "red", "Bob");
    let (mut eve, eves) = Ws::join(server.addr, "blue", "Eve");
    let bob_is = credentials(&bobs);
    let eve_is = credentials(&eves);

    eve.send(
        &json!({"type": "signal", "to": bob_is.peer, "epoch": 1, "candidate": {"candidate": ""}, "seq": 1}),
    );
    let error = eve.until("error");
    assert_eq!((&error["code"], &error["seq"]), (&json!("peer-unknown"), &json!(1)));
    eve.send(&json!({"type": "chat", "text": "blue only", "to": null}));
    ada.send(&json!({"type": "chat", "text": "red only"}));
    assert_eq!(bob.until("chat")["text"], "red only");
    assert_eq!(eve.until("chat")["text"], "blue only");
    assert_eq!(texts(&eve.settle()), [""; 0]);
    assert_eq!(texts(&bob.settle()), [""; 0]);

    // `from` is set by the server.
    eve.send(&json!({"type": "chat", "text": "as Bob", "from": bob_is.peer}));
    assert_eq!(eve.until("chat")["from"], eve_is.peer.as_str());

    // The secret of another session gives no access.
    let path = format!("/api/v1/sessions/{}/messages", bob_is.session);
    let chat = r#"{"type":"chat","text":"as Bob"}"#;
    for bearer in [Some(eve_is.secret.as_str()), Some("made-up"), None] {
        let refused = post(server.addr, &path, bearer, chat);
        assert_eq!(refused.status, 401, "{}", refused.body);
        assert!(refused.head.to_lowercase().contains("application/problem+json"), "{}", refused.head);
        assert!(refused.body.contains(r#""code":"unauthorized""#), "{}", refused.body);
    }
    let mut thief = Ws::connect(server.addr);
    thief.send(&json!({"type": "resume", "session": bob_is.session, "secret": eve_is.secret, "lastId": 0}));
    assert_eq!(thief.next()["code"], "unauthorized");
    assert_eq!(thief.closed(), 4401);
    assert_eq!(texts(&bob.settle()), [""; 0]);
}

#[test]
fn a_newcomer_is_given_the_chat_of_before_and_not_what_was_private() {
    let server = Visavis::start(&[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let (bob, bobs) = Ws::join(server.addr, "standup", "Bob");
    for number in 0..55 {
        ada.send(&json!({"type": "chat", "text": format!("line {number}")}));
    }
    ada.send(&json!({"type": "chat", "text": "for Bob", "to": bobs["self"]["id"]}));
    ada.settle();
    let (mut cy, joined) = Ws::join(server.addr, "standup", "Cy");
    let said = cy.settle();
    let said = texts(&said);
    assert_eq!((said.len(), said[0], said[49]), (50, "line 5", "line 54"));
    assert_eq!(joined["peers"].as_array().unwrap().len(), 2);
    assert_eq!(joined["room"]["host"], welcome["self"]["id"]);
    drop(bob);
}

#[test]
fn rooms_made_by_the_server_show_nothing_to_strangers() {
    let server = Visavis::start(&[]);
    let made = post(server.addr, "/api/v1/rooms", None, "{}");
    assert_eq!(made.status, 201);
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let room = made["room"].as_str().unwrap();
    assert!(room.len() >= 16 && made["url"].as_str().unwrap().ends_with(&format!("/r/{room}")));
    assert_eq!(get(server.addr, &format!("/api/v1/rooms/{room}")).body, format!(r#"{{"room":"{room}"}}"#));
    assert_eq!(get(server.addr, "/api/v1/rooms/never-made").body, r#"{"room":"never-made"}"#);

    let mut host = Ws::connect(server.addr);
    host.send(
        &json!({"type": "join", "room": room, "name": "Host", "token": made["hostToken"], "create": false}),
    );
    let welcome = host.until("welcome");
    assert_eq!(welcome["room"]["host"], welcome["self"]["id"]);
    let (_guest, welcome) = Ws::join(server.addr, room, "Guest");
    assert_ne!(welcome["room"]["host"], welcome["self"]["id"]);

    host.send(&json!({"type": "host", "action": "end", "seq": 1}));
    assert_eq!(host.until("room-ended")["reason"], "host-ended");
    let mut late = Ws::connect(server.addr);
    late.send(&json!({"type": "join", "room": room, "name": "Late"}));
    assert_eq!(late.next()["code"], "room-ended");
    late.send(&json!({"type": "join", "room": "nobody-made-this", "name": "Late", "create": false}));
    assert_eq!(late.next()["code"], "not-found");
    late.send(&json!({"type": "join", "room": "elsewhere", "name": "Late"}));
    assert_eq!(late.next()["type"], "welcome", "a refused join leaves the connection as it was");
}

#[test]
fn whoever_is_in_a_room_gets_turn_credentials_and_renews_them() {
    let server = Visavis::start(&["--ice-server", "stun:stun.example:3478"]);
    let (_ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let servers = welcome["iceServers"].as_array().unwrap();
    assert_eq!(servers[0]["urls"][0], "stun:stun.example:3478");
    assert!(servers[1]["urls"][0].as_str().unwrap().starts_with("stun:127.0.0.1:"));
    let urls: Vec<_> =
        servers[2]["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    assert!(urls[0].starts_with("turn:127.0.0.1:") && urls[0].ends_with("?transport=udp"), "{urls:?}");
    assert!(urls[1].ends_with("?transport=tcp"), "{urls:?}");
    let expires: u64 = servers[2]["username"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
    assert!(expires > 1_700_000_000 && servers[2]["credential"].is_string());
    assert!(welcome["ttlSeconds"].as_u64().unwrap() > 0);

    let ask = |bearer: &str| {
        let head = format!(
            "GET /api/v1/ice-servers HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {bearer}",
            server.addr
        );
        tests::ask(
            std::net::TcpStream::connect(server.addr).unwrap(),
            &format!("{head}\r\nconnection: close\r\n\r\n"),
        )
    };
    let renewed = ask(&credentials(&welcome).secret);
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    let renewed: Value = serde_json::from_str(&renewed.body).unwrap();
    assert_eq!(renewed["iceServers"][2]["urls"], servers[2]["urls"]);
    assert_eq!(ask("made-up").status, 401);
}
