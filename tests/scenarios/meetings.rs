//! Meetings: booked over HTTP, joined by code, ended by authorised people.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::api::{Api, host_token, in_seconds, until, wanted};
use tests::client::{Sse, Ws, post};
use tests::socketio::Sio;
use tests::{Visavis, run};

/// Tries to join a room or a code; returns the welcome or the error.
fn knock(server: &Visavis, room: &str, more: &Value) -> (Ws, Value) {
    let mut ws = Ws::connect(server.addr);
    let mut join = json!({"type": "join", "room": room, "name": "Somebody"});
    for (name, value) in more.as_object().unwrap() {
        join[name] = value.clone();
    }
    ws.send(&join);
    let answer = ws.next();
    (ws, answer)
}

#[test]
fn two_meet_by_code_a_third_is_refused_and_the_creator_ends_it_for_good() {
    let server = Visavis::start(&[]);
    let call = Api::anonymous(server.addr).book(&json!({"title": "Call", "capacity": 2}));
    let code = call["code"].as_str().unwrap();
    assert_eq!(call["state"], "open");
    assert!(call["joinUrl"].as_str().unwrap().ends_with(&format!("/r/{code}")));

    let (mut ada, welcome) = knock(&server, code, &json!({"token": host_token(&call)}));
    assert_eq!((&welcome["state"], &welcome["room"]["id"]), (&json!("joined"), &call["room"]));
    // Typed without dashes and in capitals, over another transport.
    let typed = code.replace('-', "").to_uppercase();
    let (mut bob, welcome) = Sse::join(server.addr, &typed, "Bob");
    assert_eq!(welcome["room"]["id"], call["room"]);
    let mut eve = Sio::connect(server.addr);
    let spoken = code.replace('-', " ");
    assert_eq!(eve.ask(&json!({"type": "join", "room": spoken, "name": "Eve"}))["code"], "room-full");

    // The guest cannot end it, even when alone, and can return at any time.
    let end = json!({"type": "host", "action": "end", "seq": 1});
    bob.send(&end);
    assert_eq!(bob.until("error")["code"], "forbidden");
    ada.send(&json!({"type": "leave"}));
    bob.until("peer-left");
    bob.send(&json!({"type": "host", "action": "end", "seq": 2}));
    assert_eq!(bob.until("error")["code"], "forbidden");
    let (mut ada, _) = knock(&server, code, &json!({"token": host_token(&call)}));
    ada.send(&end);
    assert_eq!(ada.until("room-ended")["reason"], "host-ended");
    assert_eq!(bob.until("room-ended")["reason"], "host-ended");
    for room in [code, call["room"].as_str().unwrap()] {
        assert_eq!(knock(&server, room, &json!({})).1["code"], "room-ended");
        assert_eq!(knock(&server, room, &json!({"token": host_token(&call)})).1["code"], "room-ended");
    }
}

#[test]
fn codes_cannot_be_guessed() {
    let server = Visavis::start(&[]);
    let mut answers = Vec::new();
    for guess in 0..40 {
        let code = format!("ccc-ddd-{}{}f", 2 + guess / 8, 2 + guess % 8);
        answers.push(knock(&server, &code, &json!({})).1["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(answers[0], "not-found", "and no room is made");
    assert_eq!(answers.last().unwrap(), "rate-limited");
    // Names that are not codes are not affected.
    assert_eq!(knock(&server, "standup", &json!({})).1["type"], "welcome");
}

#[test]
fn the_early_wait_and_the_host_is_let_in() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let starts_at = in_seconds(3_600);
    let meeting = api.book(&json!({"startsAt": starts_at, "lobby": true}));
    assert_eq!((&meeting["state"], &meeting["startsAt"]), (&json!("scheduled"), &json!(starts_at)));
    let code = meeting["code"].as_str().unwrap();
    let (_, refused) = knock(&server, code, &json!({}));
    assert_eq!((&refused["code"], &refused["startsAt"]), (&json!("not-started"), &json!(starts_at)));
    let body = json!({"type": "join", "room": code, "name": "Bob"}).to_string();
    let refused = post(server.addr, "/api/v1/sessions", None, &body);
    assert_eq!((refused.status, &refused.json()["startsAt"]), (403, &json!(starts_at)));
    let (mut host, welcome) = knock(&server, code, &json!({"token": host_token(&meeting)}));
    assert_eq!(welcome["state"], "joined");

    // The meeting is brought forward: it begins, and newcomers now wait until the host admits them.
    let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
    let change = json!({"startsAt": in_seconds(-60)}).to_string();
    let changed = api.ask("PATCH", &path, &[("if-match", "*")], Some(&change));
    assert_eq!((changed.status, &changed.json()["state"]), (200, &json!("open")), "{}", changed.body);
    let (_bob, welcome) = knock(&server, code, &json!({}));
    assert_eq!(welcome["state"], "waiting");
    assert_eq!(host.until("lobby")["name"], "Somebody");
}

#[test]
fn a_meeting_is_booked_read_changed_and_called_off() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let answer = api.post("/api/v1/meetings", &wanted(&json!({"startsAt": "2027-03-28T07:00:00Z"})));
    let meeting = answer.json();
    let path = answer.header("location").to_owned();
    assert_eq!((answer.header("etag"), &meeting["endsAt"]), ("\"1\"", &json!("2027-03-28T07:30:00Z")));
    assert_eq!(path, format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap()));

    let change = json!({"title": "Retro", "password": "sesame"}).to_string();
    let ask = |etag: &[(&str, &str)]| api.ask("PATCH", &path, etag, Some(&change));
    assert_eq!(ask(&[]).status, 428);
    assert_eq!(ask(&[("if-match", "\"7\"")]).status, 412);
    let changed = ask(&[("if-match", "\"1\"")]);
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    assert_eq!(ask(&[("if-match", "\"1\"")]).status, 412, "it is no longer the newest");
    let read = api.get(&path);
    assert_eq!((read.header("etag"), &read.json()["title"]), ("\"2\"", &json!("Retro")));
    assert!(!read.body.contains("sesame"), "the password is told to nobody");

    let calendar = Api::anonymous(server.addr).get(&format!("{path}/calendar.ics"));
    assert_eq!(calendar.header("content-type"), "text/calendar; charset=utf-8");
    assert!(calendar.body.contains("METHOD:PUBLISH\r\n") && calendar.body.contains("SEQUENCE:1\r\n"));
    assert!(calendar.body.contains("DTSTART;TZID=Europe/Berlin:20270328T090000\r\n"), "{}", calendar.body);
    assert_eq!(api.ask("DELETE", &path, &[], None).status, 204);
    let calendar = Api::anonymous(server.addr).get(&format!("{path}/calendar.ics"));
    assert!(calendar.body.contains("METHOD:CANCEL\r\n") && calendar.body.contains("SEQUENCE:2\r\n"));
    assert_eq!(api.get(&path).json()["state"], "cancelled");
    assert_eq!(knock(&server, meeting["code"].as_str().unwrap(), &json!({})).1["code"], "room-ended");
    assert_eq!(ask(&[("if-match", "*")]).status, 409);
}

#[test]
fn the_host_token_is_good_for_its_own_meeting_alone() {
    let server = Visavis::start(&[]);
    let anonymous = Api::anonymous(server.addr);
    let (mine, other) = (anonymous.book(&json!({})), anonymous.book(&json!({})));
    let path = |meeting: &Value| format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
    let host = Api::with_bearer(server.addr, host_token(&mine));
    assert_eq!(host.get(&path(&mine)).json()["title"], "Standup");
    assert_eq!(host.get(&path(&other)).status, 404);
    assert_eq!(anonymous.get(&path(&mine)).status, 401);
    assert_eq!(anonymous.get("/api/v1/meetings").status, 401);
    assert_eq!(host.post(&format!("{}/end", path(&other)), &json!({})).status, 404);
    let (mut guest, _) = knock(&server, mine["code"].as_str().unwrap(), &json!({}));
    let ended = host.post(&format!("{}/end", path(&mine)), &json!({}));
    assert_eq!((ended.status, &ended.json()["state"]), (200, &json!("ended")));
    assert_eq!(guest.until("room-ended")["reason"], "host-ended");
    assert_eq!(host.post(&format!("{}/end", path(&mine)), &json!({})).status, 409);
}

#[test]
fn keys_open_what_their_scopes_say_and_nobody_elses_meetings() {
    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    let ada = Api::with_key(&server, &["meetings:write"], &["--note", "Ada's shop"]);
    let bob = Api::with_key(&server, &["meetings:write"], &[]);
    let reader = Api::with_key(&server, &["meetings:read"], &[]);
    let admin = Api::with_key(&server, &["admin"], &[]);
    let rooms = Api::with_key(&server, &["rooms"], &[]);
    let meeting = ada.book(&json!({}));
    let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
    let status = |who: &Api| who.get(&path).status;
    assert_eq!(
        [status(&ada), status(&bob), status(&reader), status(&admin), status(&rooms)],
        [200, 404, 200, 200, 403]
    );
    assert_eq!(reader.get(&path).json()["hostUrl"], Value::Null, "who may only read is no host");
    assert_eq!(reader.post("/api/v1/meetings", &wanted(&json!({}))).status, 403);
    assert_eq!(Api::anonymous(server.addr).post("/api/v1/meetings", &wanted(&json!({}))).status, 401);
    assert_eq!(bob.get("/api/v1/meetings").json(), json!({"meetings": []}));
    for forged in ["vsk_", "vsk_AAAA", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(status(&Api::with_bearer(server.addr, forged)), 401, "{forged}");
    }

    // Two keys of one customer share meetings; a revoked key is refused.
    let first = Api::with_key(&server, &["meetings:write"], &["--customer", "acme"]);
    let second = Api::with_key(&server, &["meetings:read"], &["--customer", "acme"]);
    let shared = first.book(&json!({}));
    assert_eq!(second.get("/api/v1/meetings").json()["meetings"][0]["meeting"], shared["meeting"]);
    assert_eq!(second.get(&path).status, 404);
    let folder = server.folder();
    let list = String::from_utf8(run(folder.path(), &["api-key", "list"], &[]).stdout).unwrap();
    let id = list.lines().find(|line| line.contains("Ada's shop")).unwrap().split(' ').next().unwrap();
    assert!(run(folder.path(), &["api-key", "revoke", id], &[]).status.success());
    assert_eq!(status(&ada), 401);
    let kept = std::fs::read(folder.path().join("visavis-data/visavis.db")).unwrap();
    assert!(!kept.windows(4).any(|four| four == b"vsk_"), "keys are kept as digests");
}

#[test]
fn pages_of_meetings_come_in_order_and_once() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let made: Vec<Value> =
        (0..7).map(|n| api.book(&json!({"title": format!("No. {n}")}))["meeting"].clone()).collect();
    let mut seen = Vec::new();
    let mut path = "/api/v1/meetings?limit=3".to_owned();
    let mut pages = 0;
    loop {
        let page = api.get(&path).json();
        seen.extend(page["meetings"].as_array().unwrap().iter().map(|meeting| meeting["meeting"].clone()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/meetings?limit=3&after={next}"),
            None => break,
        }
    }
    seen.sort_by_key(|id| made.iter().position(|one| one == id));
    assert_eq!((pages, seen), (3, made));
    for bad in ["limit=0", "limit=101", "limit=x", "after=..%2F..", "after=%00"] {
        assert_eq!(api.get(&format!("/api/v1/meetings?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn an_abandoned_call_expires_and_a_restart_changes_nothing_about_it() {
    let mut server = Visavis::start(&[]);
    let call = Api::anonymous(server.addr).book(&json!({"emptyTimeoutSeconds": 2}));
    let code = call["code"].as_str().unwrap();
    let (mut ada, _) = knock(&server, code, &json!({}));
    ada.send(&json!({"type": "leave"}));
    ada.closed();
    let folder = server.folder();
    server.kill();
    drop(server);
    let server = Visavis::start_in(folder, &[]);
    let host = Api::with_bearer(server.addr, host_token(&call));
    let path = format!("/api/v1/meetings/{}", call["meeting"].as_str().unwrap());
    until("its expiry", || host.get(&path).json()["state"] == "expired");
    assert_eq!(knock(&server, code, &json!({})).1["code"], "room-ended");
}

#[test]
fn guests_wait_for_the_host_where_the_meeting_says_so() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let meeting = api.book(&json!({"waitForHost": true}));
    let code = meeting["code"].as_str().unwrap();
    let (mut bob, welcome) = knock(&server, code, &json!({}));
    assert_eq!((&welcome["state"], &welcome["room"]["host"]), (&json!("waiting"), &Value::Null));
    let (_host, _) = knock(&server, code, &json!({"token": host_token(&meeting)}));
    assert_eq!(bob.until("welcome")["state"], "joined");

    // When `waitForHost` is turned off, those who already wait are admitted.
    let meeting = api.book(&json!({"waitForHost": true}));
    let (mut cy, welcome) = knock(&server, meeting["code"].as_str().unwrap(), &json!({}));
    assert_eq!(welcome["state"], "waiting");
    let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
    let change = json!({"waitForHost": false}).to_string();
    let changed = api.ask("PATCH", &path, &[("if-match", "*")], Some(&change));
    assert_eq!((changed.status, &changed.json()["waitForHost"]), (200, &json!(false)));
    assert_eq!(cy.until("welcome")["state"], "joined");
}

#[test]
fn applications_make_rooms_where_nobody_else_may() {
    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    let ask = |api: &Api| api.post("/api/v1/rooms", &json!({"topology": "sfu"}));
    assert_eq!(ask(&Api::anonymous(server.addr)).status, 401);
    assert_eq!(ask(&Api::with_key(&server, &["meetings:write"], &[])).status, 403);
    let made = ask(&Api::with_key(&server, &["rooms"], &[]));
    assert_eq!(made.status, 201, "{}", made.body);
    let (room, token) = (made.json()["room"].clone(), made.json()["hostToken"].clone());
    let (_ada, welcome) = knock(&server, room.as_str().unwrap(), &json!({"token": token}));
    assert_eq!((&welcome["self"]["host"], &welcome["room"]["topology"]), (&json!(true), &json!("sfu")));
}
