//! Requests as other programs send them: repeated, conditional, with other spellings, from other places.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::io::{Read, Write};

use serde_json::{Value, json};
use tests::api::{Api, host_token, wanted};
use tests::client::{Ws, connect};
use tests::{Visavis, ask};

fn path(meeting: &Value) -> String {
    format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())
}

#[test]
fn a_room_that_is_asked_for_again_is_made_once() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    let make = |who: &Api, key: &str, body: &str| {
        who.ask("POST", "/api/v1/rooms", &[("idempotency-key", key)], Some(body))
    };
    for who in [&api, &Api::anonymous(server.addr)] {
        let first = make(who, "one", "{}");
        assert_eq!(first.status, 201, "{}", first.body);
        assert_eq!(
            first.json()["hostUrl"],
            format!(
                "{}#host={}",
                first.json()["url"].as_str().unwrap(),
                first.json()["hostToken"].as_str().unwrap()
            )
        );
        let again = make(who, "one", "{}");
        assert_eq!(
            (again.status, again.body, again.head.contains("location")),
            (201, first.body.clone(), first.head.contains("location"))
        );
        let other = make(who, "one", r#"{"topology":"sfu"}"#);
        assert_eq!((other.status, &other.json()["code"]), (422, &json!("idempotency-mismatch")));
        assert_ne!(make(who, "two", "{}").json()["room"], first.json()["room"]);
    }
    assert_eq!(api.get("/api/v1/rooms").json()["rooms"].as_array().unwrap().len(), 4);
    assert_eq!(make(&api, "", "{}").status, 400);
}

#[test]
fn a_version_of_a_meeting_is_one_body_and_who_has_it_is_not_sent_it_again() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let path = path(&api.book(&json!({})));
    let (one, two) = (api.get(&path), api.get(&path));
    assert_eq!((one.header("etag"), &one.body), (two.header("etag"), &two.body), "byte for byte");
    let tag = one.header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let answer = api.ask("GET", &path, &[("if-none-match", &known)], None);
        assert_eq!((answer.status, &*answer.body, answer.header("etag")), (304, "", &*tag), "{known}");
    }
    assert_eq!(api.ask("GET", &path, &[("if-none-match", "\"7\"")], None).status, 200);
    // A compressing proxy weakens the tag.
    let change = |tag: &str, title: &str| {
        api.ask("PATCH", &path, &[("if-match", tag)], Some(&json!({"title": title}).to_string())).status
    };
    assert_eq!(change(&format!("W/{tag}"), "Another"), 200);
    assert_eq!(change(&tag, "A third"), 412);
    assert_eq!(api.ask("GET", &path, &[("if-none-match", &tag)], None).status, 200);
    let reader = Api::with_key(&server, &["meetings:read"], &[]).get(&path);
    assert_ne!(reader.header("etag"), api.get(&path).header("etag"), "who is shown less has another version");
}

#[test]
fn links_lead_where_people_are_or_nothing_is_booked() {
    let (server, public) = (Visavis::start(&[]), Visavis::start(&["--public-url", "https://calls.example"]));
    let body = wanted(&json!({})).to_string();
    let send = |server: &Visavis,
                version: &str,
                host: &str,
                bearer: &str,
                more: &str,
                path: &str,
                body: &str| {
        let bearer =
            if bearer.is_empty() { String::new() } else { format!("authorization: Bearer {bearer}\r\n") };
        let length = body.len();
        ask(
            connect(server.addr),
            &format!(
                "POST {path} HTTP/{version}\r\n{host}connection: close\r\n{bearer}{more}content-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            ),
        )
    };
    let key = |server: &Visavis| Api::with_key(server, &["meetings:write", "rooms"], &[]).bearer().to_owned();
    let (keyed, stranger) = (key(&server), String::new());
    let inner = "host: visavis.internal\r\n";
    let page = "origin: http://visavis.internal\r\n";
    for (version, host, bearer, more, status) in [
        ("1.1", inner, &keyed, "", 409),
        ("1.1", "host: 10.0.0.5:8080\r\n", &keyed, "", 409),
        ("1.0", "", &keyed, "", 409),
        ("1.0", "", &stranger, "", 409),
        ("1.1", "host: localhost:8080\r\n", &keyed, "", 201),
        ("1.1", "host: [::1]:8080\r\n", &keyed, "", 201),
    ] {
        for (path, body) in
            [("/api/v1/meetings", &*body), ("/api/v1/rooms", "{}"), ("/api/v1/rooms/standup/tokens", "{}")]
        {
            if path.ends_with("tokens") && bearer.is_empty() {
                continue;
            }
            let answer = send(&server, version, host, bearer, more, path, body);
            assert_eq!(answer.status, status, "{path} {host}{more}: {}", answer.body);
            assert!(status == 201 || answer.body.contains("--public-url"), "{}", answer.body);
        }
    }
    // Anyone with the page open can see its address.
    assert_eq!(send(&server, "1.1", inner, &stranger, "", "/api/v1/meetings", &body).status, 201);
    let _ = page;
    let keyed = key(&public);
    for (version, host) in [("1.1", inner), ("1.0", "")] {
        let booked = send(&public, version, host, &keyed, "", "/api/v1/meetings", &body).json();
        assert!(booked["joinUrl"].as_str().unwrap().starts_with("https://calls.example/r/"), "{booked}");
        let minted = send(&public, version, host, &keyed, "", "/api/v1/rooms/standup/tokens", "{}").json();
        assert!(
            minted["url"].as_str().unwrap().starts_with("https://calls.example/r/standup#token="),
            "{minted}"
        );
    }
}

#[test]
fn a_host_token_in_the_place_of_a_key_is_told_what_it_is() {
    let server = Visavis::start(&[]);
    let meeting = Api::anonymous(server.addr).book(&json!({}));
    let host = Api::with_bearer(server.addr, host_token(&meeting));
    let refused = host.get("/api/v1/rooms");
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("this is a host token"), "{}", refused.body);
    assert!(Api::with_bearer(server.addr, "nonsense").get("/api/v1/rooms").body.contains("vsk_"));
}

#[test]
fn a_path_below_the_interface_may_end_in_a_slash() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let booked = api.post("/api/v1/meetings/", &wanted(&json!({})));
    assert_eq!(booked.status, 201, "{}", booked.body);
    assert_eq!(api.get(&format!("{}/", path(&booked.json()))).json()["meeting"], booked.json()["meeting"]);
    assert_eq!(api.get("/api/v1/meetings/?limit=1").status, 200);
    assert_eq!(api.get("/api/v1/nothing/").status, 404);
    assert_eq!(api.get("/api/v1/meetings//").status, 404);
}

#[test]
fn a_body_that_is_coded_or_marked_is_told_so() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["admin"], &[]);
    let session = r#"{"type":"join","room":"standup","name":"Ada"}"#;
    let meeting = wanted(&json!({})).to_string();
    for (path, body) in [
        ("/api/v1/meetings", &*meeting),
        ("/api/v1/rooms", "{}"),
        ("/api/v1/rooms/standup/tokens", "{}"),
        ("/api/v1/recordings", r#"{"room":"standup"}"#),
        ("/api/v1/sessions", session),
    ] {
        for coding in ["gzip", "br"] {
            let answer = api.ask("POST", path, &[("content-encoding", coding)], Some(body));
            assert_eq!(answer.status, 415, "{path}: {}", answer.body);
            assert!(answer.body.contains("Content-Encoding"), "{}", answer.body);
        }
        let marked = api.ask("POST", path, &[], Some(&format!("\u{feff}{body}")));
        assert_eq!(marked.status, 400, "{path}: {}", marked.body);
        assert!(
            path.ends_with("sessions") || marked.body.contains("byte order mark"),
            "{path}: {}",
            marked.body
        );
    }
}

/// The response to a head that announces a body with `Expect: 100-continue`.
fn expecting(server: &Visavis, path: &str, more: &str, length: usize) -> String {
    let mut stream = connect(server.addr);
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {}\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{more}\r\n",
        server.addr
    )
    .unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && stream.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

#[test]
fn nobody_is_asked_for_a_body_that_is_refused_anyway() {
    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    let bearer = |api: Api| format!("authorization: Bearer {}\r\n", api.bearer());
    let good = bearer(Api::with_key(&server, &["admin"], &[]));
    let (_ws, welcome) = {
        let open = Visavis::start(&[]);
        let joined = Ws::join(open.addr, "standup", "Ada");
        drop(open);
        joined
    };
    let messages = format!("/api/v1/sessions/{}/messages", welcome["session"].as_str().unwrap());
    for path in
        ["/api/v1/meetings", "/api/v1/rooms", "/api/v1/rooms/standup/tokens", "/api/v1/recordings", &messages]
    {
        for more in ["", "authorization: Bearer vsk_AAAA\r\n"] {
            let answer = expecting(&server, path, more, 100);
            assert!(answer.contains(" 401 "), "{path}: {answer}");
        }
    }
    for path in [
        "/api/v1/meetings",
        "/api/v1/rooms",
        "/api/v1/rooms/standup/tokens",
        "/api/v1/recordings",
        "/api/v1/sessions",
    ] {
        assert!(expecting(&server, path, &good, 10_000_000).contains(" 413 "), "{path}");
        assert!(
            expecting(&server, path, &good, 20).contains(" 100 "),
            "{path}: what may be sent is asked for"
        );
    }
}

#[test]
fn a_recording_is_stopped_once() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["recordings"], &[]);
    let mut host = Ws::connect(server.addr);
    host.send(&json!({"type": "join", "room": "standup", "name": "Ada", "topology": "auto"}));
    host.until("welcome");
    let body = json!({"room": "standup"});
    assert_eq!(api.post("/api/v1/recordings", &body).status, 202);
    while host.until("recording")["state"] != "active" {}
    let (first, second) =
        (api.post("/api/v1/recordings/stop", &body), api.post("/api/v1/recordings/stop", &body));
    assert_eq!((first.status, second.status), (202, 409), "{}", second.body);
    assert_eq!(host.until("recording")["state"], "stopped");
    let rest = host.settle();
    assert!(rest.iter().all(|event| event["type"] != "recording"), "it is told once: {rest:?}");
    assert_eq!(api.post("/api/v1/recordings", &body).status, 202, "and may begin anew");
}
