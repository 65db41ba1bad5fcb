//! Invalid input from clients, which must not affect anybody else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};
use tests::client::{Sse, Ws, credentials, join, post};
use tests::{Visavis, ask, request};

/// A server with a call in progress between two clients that must not be affected.
struct Call {
    server: Visavis,
    ada: Ws,
    bob: Sse,
}

impl Call {
    fn new() -> Self {
        let server = Visavis::start(&[]);
        let (mut ada, _) = Ws::join(server.addr, "quiet", "Ada");
        let (bob, _) = Sse::join(server.addr, "quiet", "Bob");
        ada.until("peer-joined");
        Self { server, ada, bob }
    }

    /// The two still reach each other, and have received nothing else.
    fn end_undisturbed(mut self) {
        assert_eq!(self.ada.settle(), Vec::<Value>::new());
        self.ada.send(&json!({"type": "chat", "text": "all well"}));
        assert_eq!(self.bob.next()["text"], "all well");
    }
}

#[test]
fn messages_that_are_wrong_are_answered_and_close_nothing() {
    let call = Call::new();
    let (mut eve, _) = Ws::join(call.server.addr, "other", "Eve");
    let deep = format!(r#"{{"type":"app","topic":"t","data":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let long = json!({"type": "chat", "text": "x".repeat(4_001)}).to_string();
    let cases = [
        ("", "bad-request"),
        ("{", "bad-request"),
        ("null", "bad-request"),
        ("[1,2]", "bad-request"),
        (r#"["chat","not by its place"]"#, "bad-request"),
        (r#"{"type":7}"#, "bad-request"),
        (r#"{"type":"chat"}"#, "bad-request"),
        (r#"{"type":"chat","text":["x"]}"#, "bad-request"),
        (r#"{"type":"chat","text":"  "}"#, "bad-request"),
        (r#"{"type":"signal","to":"sfu"}"#, "bad-request"),
        (r#"{"type":"signal","to":"nobody","candidate":{}}"#, "peer-unknown"),
        (r#"{"type":"update","name":""}"#, "name-invalid"),
        (r#"{"type":"update","microphone":"yes"}"#, "bad-request"),
        (r#"{"type":"warp"}"#, "unknown-message"),
        (r#"{"type":"join","room":"x","name":"again"}"#, "invalid-state"),
        (&deep, "bad-request"),
        (&long, "bad-request"),
    ];
    for (text, code) in cases {
        eve.send_text(text);
        assert_eq!(eve.until("error")["code"], code, "to {}", &text[..text.len().min(80)]);
    }
    eve.send_binary(&[1, 2, 3]);
    assert_eq!(eve.until("error")["code"], "bad-request");
    let numbered = deep.replacen('{', r#"{"seq":2,"#, 1);
    for (seq, text) in [(1, r#"{"seq":1}"#), (2, &numbered)] {
        eve.send_text(text);
        assert_eq!(eve.until("error")["seq"], seq, "whoever numbers messages knows which one it was");
    }
    eve.send(&json!({"type": "chat", "text": "still here"}));
    assert_eq!(eve.until("chat")["text"], "still here");
    call.end_undisturbed();
}

#[test]
fn too_large_closes_and_the_session_may_resume() {
    let call = Call::new();
    for (kind, size) in [("chat", 70_000), ("chat", 300_000), ("signal", 300_000)] {
        let (mut eve, welcome) = Ws::join(call.server.addr, "other", "Eve");
        eve.send_text(json!({"type": kind, "to": "sfu", "text": "x".repeat(size)}).to_string());
        let refused = eve.until("error");
        assert_eq!(refused["code"], "too-large");
        assert!(refused["message"].as_str().unwrap().contains("a `signal` 256 KiB"), "{refused}");
        assert_eq!(eve.closed(), 4413);
        let (mut eve, welcome) = Ws::resume(call.server.addr, &credentials(&welcome), eve.last_id);
        assert_eq!(welcome["resumed"], true);
        // A signal may be larger than other messages.
        let description = json!({"type": "offer", "sdp": "x".repeat(200_000)});
        eve.send(&json!({"type": "signal", "to": "0000000000000000", "description": description}));
        assert_eq!(eve.until("error")["code"], "peer-unknown");
    }
    call.end_undisturbed();
}

#[test]
fn frames_that_are_no_frames_end_that_connection() {
    let call = Call::new();
    // A text frame that is not UTF-8 (masked with zeros, which changes nothing).
    let (mut eve, _) = Ws::join(call.server.addr, "other", "Eve");
    eve.stream().write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).unwrap();
    assert_eq!(eve.until("error")["code"], "bad-request");
    assert_eq!(eve.closed(), 1007);
    // A frame that is not masked (RFC 6455, section 5.1).
    let (mut eve, _) = Ws::join(call.server.addr, "other", "Eve");
    eve.stream().write_all(&[0x81, 0x02, b'{', b'}']).unwrap();
    assert_eq!(eve.closed(), 1002);
    // A reserved opcode.
    let (mut eve, _) = Ws::join(call.server.addr, "other", "Eve");
    eve.stream().write_all(&[0x83, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(eve.closed(), 1002);
    call.end_undisturbed();
}

#[test]
fn the_first_message_is_join_or_resume() {
    let call = Call::new();
    let mut eve = Ws::connect(call.server.addr);
    eve.send(&json!({"type": "chat", "text": "hello"}));
    assert_eq!(eve.next()["code"], "unauthorized");
    assert_eq!(eve.closed(), 4401);
    let mut eve = Ws::connect(call.server.addr);
    for (name, code) in
        [("", "name-invalid"), ("a\u{0}b", "name-invalid"), (&*"x".repeat(65), "name-invalid")]
    {
        eve.send(&join("quiet", name));
        assert_eq!(eve.next()["code"], code);
    }
    for room in ["", "a?b", "../etc", &"x".repeat(65)] {
        eve.send(&join(room, "Eve"));
        assert_eq!(eve.next()["code"], "bad-request", "{room}");
    }
    eve.send(&json!({"type": "join", "room": "quiet", "name": "Eve", "token": "made-up"}));
    assert_eq!(eve.next()["code"], "unauthorized");
    assert_eq!(eve.closed(), 4401);
    let mut eve = Ws::connect(call.server.addr);
    eve.send(&json!({"type": "resume", "session": "no-such-session", "secret": "x", "lastId": 1}));
    assert_eq!(eve.next()["code"], "session-unknown");
    call.end_undisturbed();
}

#[test]
fn requests_that_no_route_takes_are_answered_with_a_problem() {
    let server = Visavis::start(&[]);
    let ask = |method, path, headers: &[(&str, &str)], body: Option<&str>| {
        let answer = request(server.addr, method, path, headers, body.map(str::as_bytes));
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status, "{method} {path}");
        (answer.status, problem["code"].as_str().unwrap().to_owned(), answer.header("allow").to_owned())
    };
    for path in ["/api/v1", "/api/v1/nothing", "/api/v1/rooms/a/b", "/api/v2/rooms", "/nothing"] {
        assert_eq!(ask("GET", path, &[], None), (404, "not-found".into(), String::new()), "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/", "GET,HEAD"),
        ("POST", "/r/room", "GET,HEAD"),
        ("DELETE", "/livez", "GET,HEAD"),
        ("PUT", "/api/v1/rooms", "GET,HEAD,POST"),
        ("GET", "/api/v1/sessions", "POST"),
        ("DELETE", "/api/v1/meetings", "GET,HEAD,POST"),
    ] {
        let (status, _, allowed) = ask(method, path, &[], None);
        assert_eq!((status, &*allowed), (405, allow), "{method} {path}");
    }
    assert_eq!(ask("GET", "/api/v1/ws", &[], None).0, 400, "no WebSocket handshake");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(ask("POST", "/api/v1/rooms", &form, Some("topology=sfu")).0, 415);
}

#[test]
fn nobody_guesses_what_an_answer_is() {
    let server = Visavis::start(&[]);
    let json = [("content-type", "application/json")];
    let join = r#"{"type": "join", "room": "standup", "name": "<script>alert(1)</script>"}"#;
    for (method, path, body) in [
        ("GET", "/version", None),
        ("GET", "/api/v1/rooms/standup", None),
        ("GET", "/api/v1/openapi.json", None),
        ("GET", "/api/v1/meetings", None),
        ("GET", "/api/v1/recordings?room=standup", None),
        ("GET", "/api/v1/ice-servers", None),
        ("GET", "/api/v1/media-path", None),
        ("POST", "/api/v1/causes", Some("{}")),
        ("GET", "/api/v1/invitations/none", None),
        ("POST", "/api/v1/rooms", Some("{}")),
        ("POST", "/api/v1/sessions", Some(join)),
        (
            "POST",
            "/api/v1/meetings",
            Some(r#"{"title": "Standup", "timeZone": "UTC", "durationMinutes": 30}"#),
        ),
        ("POST", "/socket.io/", Some("{}")),
        ("GET", "/nothing", None),
    ] {
        let answer = request(server.addr, method, path, &json, body.map(str::as_bytes));
        assert!(answer.header("content-type").contains("json"), "{method} {path}: {}", answer.head);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
    }
}

#[test]
fn a_name_of_which_nothing_can_be_seen_is_none() {
    let server = Visavis::start(&[]);
    for name in ["", " ", "\u{3164}", "\u{200b}", "\u{200b}\u{feff} \u{2800}", "\u{ad}", "\u{1160}"] {
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": "standup", "name": name}));
        assert_eq!(ws.next()["code"], "name-invalid", "{name:?}");
        let mut path = "/whip/standup?name=".to_owned();
        for byte in name.bytes() {
            write!(path, "%{byte:02x}").unwrap();
        }
        let answer =
            request(server.addr, "POST", &path, &[("content-type", "application/sdp")], Some(b"v=0"));
        assert!((400..500).contains(&answer.status), "{name:?}: {}", answer.head);
    }
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    for (message, code) in [
        (json!({"type": "update", "name": "\u{3164}"}), "name-invalid"),
        (json!({"type": "chat", "text": "\u{200b}"}), "bad-request"),
        (json!({"type": "reaction", "emoji": "\u{fe0f}"}), "bad-request"),
    ] {
        ada.send(&message);
        assert_eq!(ada.until("error")["code"], code, "{message}");
    }
}

#[test]
fn whoever_only_looks_at_a_stream_does_not_take_it_over() {
    let Call { server, mut ada, mut bob } = Call::new();
    let path = format!("/api/v1/sessions/{}/events", bob.credentials.session);
    let bearer = format!("Bearer {}", bob.credentials.secret);
    let looked = request(server.addr, "HEAD", &path, &[("authorization", &bearer)], None);
    assert_eq!((looked.status, looked.header("content-type")), (200, "text/event-stream"));
    ada.send(&json!({"type": "chat", "text": "still there?"}));
    assert_eq!(bob.next()["text"], "still there?");
}

#[test]
fn pages_of_other_origins_are_refused_on_every_transport() {
    let server = Visavis::start(&["--allowed-origin", "https://friend.example"]);
    let addr = server.addr;
    let own = format!("http://{addr}");
    let near = format!("http://{addr}.evil.example");
    for (origin, allowed) in [
        (own.as_str(), true),
        ("https://friend.example", true),
        ("https://friend.example.evil.example", false),
        ("http://friend.example", false),
        (near.as_str(), false),
        ("null", false),
    ] {
        let upgraded = Ws::try_connect(addr, &[("origin", origin)]);
        match &upgraded {
            Ok(_) => assert!(allowed, "{origin}"),
            Err(response) => assert!(!allowed && response.status() == 403, "{origin}: {response:?}"),
        }
        let body = join("x", "Eve").to_string();
        let answer = ask(
            TcpStream::connect(addr).unwrap(),
            &format!(
                "POST /api/v1/sessions HTTP/1.1\r\nhost: {addr}\r\norigin: {origin}\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert_eq!(answer.status, if allowed { 201 } else { 403 }, "{origin}");
        if !allowed {
            assert!(answer.body.contains(r#""code":"forbidden""#), "{}", answer.body);
        }
    }
}

#[test]
fn requests_that_are_wrong_get_the_problem_that_says_so() {
    let call = Call::new();
    let addr = call.server.addr;
    let is = |answer: &tests::Answer, status: u16, code: &str| {
        assert_eq!(answer.status, status, "{} {}", answer.head, answer.body);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
        assert!(
            answer.head.to_lowercase().contains("content-type: application/problem+json"),
            "{}",
            answer.head
        );
    };
    is(&post(addr, "/api/v1/sessions", None, "{"), 400, "bad-request");
    is(&post(addr, "/api/v1/sessions", None, r#"{"type":"chat","text":"x"}"#), 400, "bad-request");
    is(&post(addr, "/api/v1/sessions", None, r#"{"type":"warp"}"#), 400, "unknown-message");
    is(&post(addr, "/api/v1/sessions", None, &join("x", "").to_string()), 400, "name-invalid");
    let huge = json!({"type": "join", "room": "x", "name": "x", "padding": "x".repeat(70_000)}).to_string();
    is(&post(addr, "/api/v1/sessions", None, &huge), 413, "too-large");
    is(&post(addr, "/api/v1/sessions/none/messages", Some("x"), "{}"), 404, "session-unknown");
    is(&post(addr, "/api/v1/sessions/0000000000000000/messages", Some("x"), "{}"), 401, "unauthorized");
    let session = &call.bob.credentials.session;
    let path = format!("/api/v1/sessions/{session}/messages");
    let secret = Some(call.bob.credentials.secret.as_str());
    is(&post(addr, &path, secret, "nonsense"), 400, "bad-request");
    is(&post(addr, &path, secret, &"[".repeat(1000)), 400, "bad-request");
    let request = |head: &str| {
        ask(
            TcpStream::connect(addr).unwrap(),
            &format!("{head}\r\nhost: {addr}\r\nconnection: close\r\n\r\n"),
        )
    };
    is(&request("PUT /api/v1/sessions HTTP/1.1"), 405, "bad-request");
    let form = "POST /api/v1/sessions HTTP/1.1\r\ncontent-type: text/plain\r\ncontent-length: 0";
    is(&request(form), 415, "bad-request");
    is(&request(&format!("GET /api/v1/sessions/{session}/events HTTP/1.1")), 401, "unauthorized");
    is(&request("GET /api/v1/rooms/a%3Fb HTTP/1.1"), 400, "bad-request");
    drop(call);
}

#[test]
fn markup_in_names_is_text() {
    let call = Call::new();
    let name = r#"<img src=x onerror="alert(1)">"#;
    let (_, welcome) = Ws::join(call.server.addr, "other", name);
    assert_eq!(welcome["self"]["name"], name);
    call.end_undisturbed();
}
