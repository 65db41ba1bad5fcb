//! The same steps over WebSocket, event stream and Socket.IO, and over every change between them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use tests::Visavis;
use tests::client::{Sse, Ws, connect, credentials, join, post};
use tests::connection::Transport::{SocketIo, WebSocket};
use tests::connection::{ALL, Connection};
use tests::socketio::Sio;

#[test]
fn the_same_steps_go_over_each_transport() {
    let server = Visavis::start(&[]);
    for transport in ALL {
        let room = format!("steps-{transport:?}");
        let (mut ada, adas) = Connection::join(transport, server.addr, &room, "Ada");
        assert_eq!((&adas["state"], &adas["room"]["topology"]), (&json!("joined"), &json!("mesh")));
        assert!(adas["hostToken"].is_string());
        for feature in ["websocket", "sse", "socketio"] {
            assert!(adas["features"].as_array().unwrap().contains(&json!(feature)), "{adas}");
        }
        let (mut bob, bobs) = Connection::join(transport, server.addr, &room, "Bob");
        assert_eq!(bobs["peers"][0]["id"], adas["self"]["id"]);
        assert_eq!(ada.next()["peer"]["name"], "Bob");

        let description = json!({"type": "offer", "sdp": "v=0"});
        let signal = json!({"type": "signal", "to": bobs["self"]["id"], "epoch": 1, "description": description, "seq": 1});
        assert_eq!(ada.ask(&signal), json!({"type": "ack", "seq": 1}));
        assert_eq!(bob.next()["description"], description);
        assert_eq!(ada.ask(&signal), json!({"type": "ack", "seq": 1}), "once more has the same answer");
        bob.send(&json!({"type": "chat", "text": "no second offer"}));
        assert_eq!(bob.next()["text"], "no second offer");
        assert_eq!(ada.next()["text"], "no second offer");

        // Refusals carry the number, and do not close the connection.
        let refused = ada.ask(&json!({"type": "dance", "seq": 2}));
        assert_eq!((&refused["code"], &refused["seq"]), (&json!("unknown-message"), &json!(2)));
        let refused = bob.ask(&json!({"type": "host", "action": "lock", "seq": 1}));
        assert_eq!(refused["code"], "forbidden");
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        let refused = ada.ask(&json!({"type": "app", "topic": "deep", "data": deep, "seq": 3}));
        assert_eq!(refused["code"], "bad-request");
        assert_eq!(ada.ask(&json!({"type": "ping", "t": 7, "seq": 4}))["t"], 7);

        ada.send(&json!({"type": "update", "hand": true}));
        assert_eq!(bob.until("peer-updated")["peer"]["hand"], true);
        bob.send(&json!({"type": "leave"}));
        assert_eq!(ada.until("peer-left")["reason"], "left");
        assert_eq!(ada.ask(&json!({"type": "host", "action": "end", "seq": 6}))["type"], "ack");
        assert_eq!(ada.until("room-ended")["reason"], "host-ended");
        assert!(ada.next_or_end().is_none());
    }
}

/// The next event. On a busy machine a peer may be without a transport for long enough to be reported as away.
fn next_but_away(connection: &mut Connection) -> Value {
    loop {
        let event = connection.next();
        if event["type"] != "peer-updated" {
            return event;
        }
    }
}

#[test]
fn every_change_of_transport_replays_what_was_missed_once_and_in_order() {
    let server = Visavis::start(&[]);
    for from in ALL {
        for to in ALL {
            let room = format!("{from:?}-{to:?}");
            let (mut ada, _) = Connection::join(WebSocket, server.addr, &room, "Ada");
            let (mut bob, welcome) = Connection::join(from, server.addr, &room, "Bob");
            let session = credentials(&welcome);
            ada.until("peer-joined");
            ada.send(&json!({"type": "chat", "text": "one"}));
            assert_eq!(bob.until("chat")["text"], "one", "{room}");
            let cursor = bob.last_id();

            // Missed with the old transport gone, and with it still open and unread.
            let mut old = None;
            if from == to {
                drop(bob);
            } else {
                old = Some(bob);
            }
            for text in ["two", "three"] {
                ada.send(&json!({"type": "chat", "text": text}));
                ada.send(&json!({"type": "signal", "to": session.peer, "epoch": 1, "candidate": {"candidate": text}}));
            }
            assert_eq!(ada.until("chat")["text"], "one");
            assert_eq!(ada.until("chat")["text"], "two");
            assert_eq!(ada.until("chat")["text"], "three");

            let (mut bob, welcome) = Connection::resume(to, server.addr, &session, cursor);
            assert_eq!((&welcome["type"], &welcome["resumed"]), (&json!("welcome"), &json!(true)), "{room}");
            assert_eq!((&welcome["lastId"], &welcome["self"]["id"]), (&json!(cursor), &json!(session.peer)));
            for text in ["two", "three"] {
                assert_eq!(next_but_away(&mut bob)["text"], text, "{room}");
                assert_eq!(next_but_away(&mut bob)["candidate"]["candidate"], text, "{room}");
            }
            if let Some(mut old) = old {
                assert_eq!(old.until("error")["code"], "session-replaced", "{room}");
                assert!(old.next_or_end().is_none(), "{room}: that is the old transport's last word");
            }
            ada.send(&json!({"type": "chat", "text": "four"}));
            assert_eq!(next_but_away(&mut bob)["text"], "four", "{room}: nothing twice");
            assert_eq!(next_but_away(&mut ada)["text"], "four", "{room}: nobody joined or left");
        }
    }
}

#[test]
fn what_is_answered_before_the_stream_is_open_waits_for_it() {
    let server = Visavis::start(&[]);
    let welcome = post(server.addr, "/api/v1/sessions", None, &join("early", "Ada").to_string()).json();
    let ada = credentials(&welcome);
    let path = format!("/api/v1/sessions/{}/messages", ada.session);
    let say = |messages: Value| {
        let answer = post(server.addr, &path, Some(&ada.secret), &messages.to_string());
        assert_eq!(answer.status, 202, "{}", answer.body);
    };
    say(json!([{"type": "chat", "text": "one", "seq": 1}, {"type": "host", "action": "dance", "seq": 2}]));
    say(json!({"type": "host", "action": "kick", "peer": "0123456789abcdef", "seq": 3}));
    let mut stream = Sse::open(server.addr, ada.clone(), None).unwrap();
    assert_eq!(stream.next()["seq"], 1);
    for (seq, code) in [(2, "bad-request"), (3, "peer-unknown")] {
        let refused = stream.next();
        assert_eq!(
            (&refused["type"], &refused["seq"], &refused["code"]),
            (&json!("error"), &json!(seq), &json!(code))
        );
    }
    assert_eq!(stream.next()["text"], "one", "events follow");
    drop(stream);

    // The same while a stream is interrupted, for up to 64 of them; on another transport the welcome comes first.
    let (mut bob, _) = Ws::join(server.addr, "early", "Bob");
    let away = json!({"id": ada.peer, "away": true});
    loop {
        let event = bob.until("peer-updated");
        if (&event["peer"]["id"], &event["peer"]["away"]) == (&away["id"], &away["away"]) {
            break;
        }
    }
    say((4..104).map(|seq| json!({"type": "reaction", "emoji": "👋", "seq": seq})).collect());
    let (mut back, first) = Ws::resume(server.addr, &ada, 0);
    assert_eq!((&first["type"], &first["lastSeq"]), (&json!("welcome"), &json!(103)));
    for seq in 4..68 {
        let answer = back.next();
        assert_eq!((&answer["type"], &answer["seq"]), (&json!("ack"), &json!(seq)));
    }
    assert_ne!(back.next()["type"], "ack");
}

#[test]
fn a_session_goes_round_all_transports_and_loses_nothing() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Connection::join(SocketIo, server.addr, "round", "Ada");
    let (mut bob, welcome) = Connection::join(SocketIo, server.addr, "round", "Bob");
    let session = credentials(&welcome);
    for (turn, to) in ALL.into_iter().cycle().take(9).enumerate() {
        ada.send(&json!({"type": "chat", "text": format!("before {turn}")}));
        let cursor = bob.last_id();
        let (next, _) = Connection::resume(to, server.addr, &session, cursor);
        bob = next;
        ada.send(&json!({"type": "chat", "text": format!("after {turn}")}));
        assert_eq!(bob.next()["text"], format!("before {turn}"));
        assert_eq!(bob.next()["text"], format!("after {turn}"));
    }
}

#[test]
fn socket_io_refuses_what_the_protocol_refuses() {
    let server = Visavis::start(&[]);
    let refused = Sio::try_connect(server.addr, &[("origin", "https://elsewhere.example")]).err().unwrap();
    assert_eq!(refused.status(), 403);

    let mut sio = Sio::connect(server.addr);
    let error = sio.ask(&json!({"type": "join", "room": "no/such id", "name": "Ada"}));
    assert_eq!(error["code"], "bad-request");
    // Binary data and empty messages are invalid; each is answered, and does not close the connection.
    sio.send_text(r#"451-7["message",{"type":"chat","text":{"_placeholder":true,"num":0}}]"#);
    sio.send_binary(b"\x00\x01");
    assert_eq!(sio.acknowledged(7)["code"], "bad-request");
    sio.send_text(r#"428["message"]"#);
    assert_eq!(sio.acknowledged(8)["code"], "bad-request");
    sio.send(&json!({"type": "join", "room": "r", "name": ""}));
    assert_eq!(sio.next()["code"], "name-invalid", "without an acknowledgement it comes as an event");
    assert_eq!(sio.ask(&json!({"type": "join", "room": "r", "name": "Ada"}))["type"], "welcome");

    // A signal may be larger than other messages; anything larger ends the connection.
    let text = "a".repeat(70_000);
    assert_eq!(sio.ask(&json!({"type": "chat", "text": text, "seq": 1}))["code"], "too-large");
    assert!(sio.next_or_end().is_none());
    let mut early = Sio::connect(server.addr);
    assert_eq!(early.ask(&json!({"type": "chat", "text": "let me in"}))["code"], "unauthorized");
    assert!(early.next_or_end().is_none());
    let mut heavy = Sio::connect(server.addr);
    heavy.send_text(r#"4511-["message",{}]"#);
    assert_eq!(heavy.next()["code"], "bad-request", "more than ten attachments");
    assert!(heavy.next_or_end().is_none());
}

#[test]
fn what_comes_together_with_a_handshake_is_heard() {
    let server = Visavis::start(&[]);
    let mut stream = connect(server.addr);
    let join = br#"{"type":"join","room":"early","name":"Ada"}"#;
    let mut sent = format!(
        "GET /api/v1/ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.addr
    )
    .into_bytes();
    // A text frame, masked with zeros.
    sent.extend([0x81, 0x80 | u8::try_from(join.len()).unwrap(), 0, 0, 0, 0]);
    sent.extend(join);
    stream.write_all(&sent).unwrap();
    let (mut heard, mut buffer) = (String::new(), [0; 4_096]);
    while !heard.contains(r#""type":"welcome""#) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn a_burst_over_socket_io_is_limited_and_stays_in_order() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Sio::join(server.addr, "burst", "Ada");
    for seq in 1..=150 {
        ada.send(&json!({"type": "chat", "text": seq.to_string(), "seq": seq}));
    }
    let (mut texts, mut acks) = (Vec::new(), Vec::new());
    while texts.len() + acks.len() < 300 {
        let event = ada.next();
        match event["type"].as_str().unwrap() {
            "chat" => texts.push(event["text"].as_str().unwrap().parse::<u64>().unwrap()),
            "ack" => acks.push(event["seq"].as_u64().unwrap()),
            _ => panic!("{event}"),
        }
    }
    let all: Vec<u64> = (1..=150).collect();
    assert_eq!((&texts, &acks), (&all, &all));
    for seq in 151..=600 {
        ada.send(&json!({"type": "ping", "t": seq, "seq": seq}));
    }
    let limited = (151..=600).filter(|_| ada.next()["code"] == "rate-limited").count();
    assert!(limited > 0, "600 messages at once are more than the burst allows");
}

#[test]
fn a_disconnect_only_loses_the_transport_and_a_leave_before_it_counts() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, welcome) = Sio::join(server.addr, "standup", "Bob");
    let session = credentials(&welcome);
    bob.send_text("41");
    let (mut bob, welcome) = Sio::resume(server.addr, &session, bob.last_id);
    assert_eq!(welcome["resumed"], true);
    bob.send(&json!({"type": "chat", "text": "last words"}));
    bob.send(&json!({"type": "leave"}));
    bob.send_text("41");
    assert_eq!(ada.until("chat")["text"], "last words");
    assert_eq!(ada.next()["reason"], "left");
}

#[test]
fn transports_that_are_off_are_not_there() {
    let server = Visavis::start(&["--transports", "socketio"]);
    let (_, welcome) = Sio::join(server.addr, "only", "Ada");
    let features = welcome["features"].as_array().unwrap();
    assert!(features.contains(&json!("socketio")) && !features.contains(&json!("websocket")), "{features:?}");
    assert_eq!(Ws::try_connect(server.addr, &[]).err().unwrap().status(), 404);
    let server = Visavis::start(&["--transports", "websocket,sse"]);
    assert_eq!(Sio::try_connect(server.addr, &[]).err().unwrap().status(), 404);
}

#[test]
fn an_end_that_is_asked_for_reaches_socket_io() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Sio::join(server.addr, "standup", "Ada");
    server.terminate();
    assert!(ada.until("going-away")["reconnectAfterMs"].is_u64());
    assert!(ada.next_or_end().is_none());
    drop(ada);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:?}");
}
