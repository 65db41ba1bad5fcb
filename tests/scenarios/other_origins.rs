//! The interfaces available to a page of another origin that the operator has allowed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::client::{connect, post};

use tests::{Answer, Visavis, request};

const PAGE: &str = "https://lessons.example";

fn server() -> Visavis {
    Visavis::start(&["--allowed-origin", PAGE])
}

fn names(answer: &Answer, header: &str) -> Vec<String> {
    answer.header(header).split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[test]
fn whatever_answers_can_be_read_and_recordings_in_parts() {
    let server = server();
    for path in ["/version", "/livez", "/api/v1/recordings", "/api/v1/nothing", "/nothing", "/api/v1/rooms"] {
        let answer = request(server.addr, "GET", path, &[("origin", PAGE)], None);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{path}: {}", answer.head);
        let exposed = names(&answer, "access-control-expose-headers");
        for name in [
            "content-range",
            "content-length",
            "accept-ranges",
            "content-disposition",
            "etag",
            "location",
            "retry-after",
        ] {
            assert!(exposed.iter().any(|one| one == name), "{path}: {name} in {exposed:?}");
        }
        let asked = [
            ("origin", PAGE),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization,range,if-range"),
        ];
        let preflight = request(server.addr, "OPTIONS", path, &asked, None);
        assert!((200..300).contains(&preflight.status), "{path}: {}", preflight.head);
        let allowed = names(&preflight, "access-control-allow-headers");
        for name in ["authorization", "range", "if-range", "idempotency-key", "if-match"] {
            assert!(allowed.iter().any(|one| one == name), "{path}: {name} in {allowed:?}");
        }
        // Other origins cannot read anything.
        let foreign = request(server.addr, "GET", path, &[("origin", "https://evil.example")], None);
        assert_eq!(foreign.headers("access-control-allow-origin"), [""; 0], "{path}");
    }
}

/// Joins over HTTP; returns the welcome.
fn join(server: &Visavis, ticket: bool) -> Value {
    let body = json!({"type": "join", "room": "standup", "name": "Ada", "ticket": ticket}).to_string();
    let answer = post(server.addr, "/api/v1/sessions", None, &body);
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

/// The head of the response to an `EventSource` with this query.
fn stream(server: &Visavis, session: &Value, query: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let mut stream = connect(server.addr);
    let path = format!("/api/v1/sessions/{}/events{query}", session["session"].as_str().unwrap());
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {}\r\norigin: {PAGE}\r\naccept: text/event-stream\r\n\r\n",
        server.addr
    )
    .unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && stream.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_ticket_opens_one_stream_and_nothing_else() {
    let server = server();
    let ada = join(&server, true);
    let ticket = ada["ticket"].as_str().unwrap();
    assert_ne!(ada["secret"], ada["ticket"]);
    let other = join(&server, true);
    assert_eq!(stream(&server, &ada, ""), 401, "a page of another origin has no cookie");
    assert_eq!(stream(&server, &ada, &format!("?ticket={}", other["ticket"].as_str().unwrap())), 401);
    assert_eq!(stream(&server, &ada, "?ticket=nonsense"), 401);
    assert_eq!(
        stream(&server, &ada, &format!("?ticket={}", ada["secret"].as_str().unwrap())),
        401,
        "a secret is no ticket"
    );
    assert_eq!(stream(&server, &ada, &format!("?ticket={ticket}")), 200);
    assert_eq!(stream(&server, &ada, &format!("?ticket={ticket}")), 401, "it was good once");
    let messages = format!("/api/v1/sessions/{}/messages", ada["session"].as_str().unwrap());
    assert_eq!(
        post(server.addr, &messages, Some(ticket), r#"{"type":"ping"}"#).status,
        401,
        "it sends nothing"
    );
    // A resume gives a new ticket.
    let resume = json!({
        "type": "resume", "session": ada["session"], "secret": ada["secret"], "lastId": ada["lastId"], "ticket": true,
    });
    let again = post(server.addr, "/api/v1/sessions", None, &resume.to_string());
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(stream(&server, &ada, &format!("?ticket={}", again.json()["ticket"].as_str().unwrap())), 200);
    assert_eq!(join(&server, false)["ticket"], Value::Null, "who does not ask for one gets none");
    let wrong = json!({"type": "join", "room": "standup", "name": "Ada", "ticket": "yes"}).to_string();
    assert_eq!(post(server.addr, "/api/v1/sessions", None, &wrong).status, 400);
}
