//! Storage of meetings in `SQLite` and in `PostgreSQL`: once, durably, and without blocking calls.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tests::api::{Api, host_token, until, wanted};
use tests::client::Ws;
use tests::postgres::{Postgres, with_both};
use tests::{Visavis, get, run};

#[test]
fn one_idempotency_key_makes_one_meeting_however_often_it_comes() {
    with_both(|database| {
        let server = Visavis::start(database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let body = wanted(&json!({"startsAt": "2027-03-28T07:00:00Z"})).to_string();
        let ask = |key: &str, body: &str| {
            api.ask("POST", "/api/v1/meetings", &[("idempotency-key", key)], Some(body))
        };
        let replies: BTreeSet<String> = thread::scope(|scope| {
            let askers: Vec<_> = (0..100).map(|_| scope.spawn(|| ask("one", &body))).collect();
            let answers = askers.into_iter().map(|asker| asker.join().unwrap());
            answers
                .inspect(|answer| assert_eq!(answer.status, 201, "{}", answer.body))
                .map(|it| it.body)
                .collect()
        });
        assert_eq!(replies.len(), 1, "everybody is told the same");
        assert_eq!(api.get("/api/v1/meetings").json()["meetings"].as_array().unwrap().len(), 1);
        let other = wanted(&json!({"title": "Another"})).to_string();
        let mismatch = ask("one", &other);
        assert_eq!((mismatch.status, &mismatch.json()["code"]), (422, &json!("idempotency-mismatch")));
        assert_eq!(ask("two", &other).status, 201);
        // Keys of others are independent.
        let stranger = Api::with_key(&server, &["meetings:write"], database);
        let made = stranger.ask("POST", "/api/v1/meetings", &[("idempotency-key", "one")], Some(&other));
        assert_eq!(made.status, 201);
    });
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    with_both(|database| {
        let mut server = Visavis::start(database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let folder = server.folder();
        let mut made = Vec::new();
        for _ in 0..5 {
            let meeting = api.at(server.addr).book(&json!({"startsAt": "2027-03-28T07:00:00Z"}));
            server.kill();
            made.push(meeting["meeting"].clone());
            server = Visavis::start_in(Arc::clone(&folder), database);
        }
        let page = api.at(server.addr).get("/api/v1/meetings").json();
        let kept: Vec<_> =
            page["meetings"].as_array().unwrap().iter().map(|meeting| meeting["meeting"].clone()).collect();
        assert_eq!(kept, made);
    });
}

#[test]
fn a_host_who_ends_a_call_ends_it_also_when_the_server_is_killed_at_once() {
    let mut server = Visavis::start(&["--webhook-allow-private"]);
    // Nobody listens there; pending webhooks can still be read.
    let call = Api::anonymous(server.addr).book(&json!({"webhookUrl": "http://127.0.0.1:1/"}));
    let mut host = Ws::connect(server.addr);
    host.send(&json!({"type": "join", "room": call["code"], "name": "Ada", "token": host_token(&call)}));
    host.until("welcome");
    let path = format!("/api/v1/meetings/{}", call["meeting"].as_str().unwrap());
    let api = Api::with_bearer(server.addr, host_token(&call));
    // The presence of participants is known.
    until("the note of it", || api.get(&format!("{path}/deliveries")).body.contains("meeting.started"));
    host.send(&json!({"type": "host", "action": "end", "seq": 1}));
    host.until("room-ended");
    server.kill();
    let server = Visavis::start_in(server.folder(), &[]);
    let api = api.at(server.addr);
    until("the note of its end", || api.get(&path).json()["state"] == "ended");
}

/// Waits until meetings are available again; until then, requests are refused as unavailable.
fn is_back(api: &Api) {
    until("its return", || {
        let answer = api.get("/api/v1/meetings");
        assert!([200, 503].contains(&answer.status), "{}", answer.body);
        answer.status == 200
    });
}

#[test]
fn without_its_database_calls_go_on_and_meetings_come_back_by_themselves() {
    let postgres = Postgres::start();
    let server = Visavis::start(&["--database-url", &postgres.url()]);
    let database = ["--database-url".to_owned(), postgres.url()];
    let api = Api::with_key(&server, &["meetings:write"], &[&database[0], &database[1]]);
    let call = api.book(&json!({}));
    let (mut ada, _) = Ws::join(server.addr, call["code"].as_str().unwrap(), "Ada");
    let (mut bob, _) = Ws::join(server.addr, "standup", "Bob");
    // The response says that the answer is unknown, long before a client with ten times the permitted second gives up.
    let impatient = api.within(Duration::from_secs(10));
    let mut refused = || {
        let booking = wanted(&json!({}));
        for answer in [impatient.get("/api/v1/meetings"), impatient.post("/api/v1/meetings", &booking)] {
            assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overloaded")));
            assert!(!answer.header("retry-after").is_empty());
        }
        for one in [&mut ada, &mut bob] {
            one.send(&json!({"type": "chat", "text": "still there"}));
            assert_eq!(one.until("chat")["text"], "still there");
        }
    };
    postgres.freeze();
    refused();
    postgres.thaw();
    is_back(&api);
    postgres.down();
    refused();
    // Rooms without meetings can be created, and the open one can be joined by name.
    let (_cy, _) = Ws::join(server.addr, "retro", "Cy");
    let (_dee, _) = Ws::join(server.addr, call["room"].as_str().unwrap(), "Dee");
    postgres.up();
    is_back(&api);
    assert_eq!(api.get("/api/v1/meetings").json()["meetings"][0]["meeting"], call["meeting"]);
}

/// Gives the database's files to another user, or takes them back; where the tests are not run by root, nobody may open them.
fn give_away(data: &Path, away: bool) {
    for name in ["visavis.db", "visavis.db-wal", "visavis.db-shm"] {
        let file = data.join(name);
        if !file.exists() {
            continue;
        }
        if rustix::process::geteuid().is_root() {
            let owner = if away { Some(65_534) } else { Some(0) };
            std::os::unix::fs::chown(&file, owner, None).unwrap();
        } else {
            let mode = if away { 0 } else { 0o600 };
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn a_database_of_another_owner_costs_the_meetings_alone() {
    let first = Visavis::start(&[]);
    let api = Api::with_key(&first, &["meetings:write"], &[]);
    let meeting = api.book(&json!({}));
    let folder = first.folder();
    drop(first);
    let data = folder.path().join("visavis-data");
    give_away(&data, true);
    let server = Visavis::start_without_privileges(folder, &[]);
    let api = api.at(server.addr);
    let refused = api.get("/api/v1/meetings");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")), "{}", refused.body);
    until("word of it", || get(server.addr, "/readyz").status == 503);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (_bob, _) = Ws::join(server.addr, "standup", "Bob");
    assert_eq!(ada.until("peer-joined")["peer"]["name"], "Bob");
    give_away(&data, false);
    is_back(&api);
    assert_eq!(api.get("/api/v1/meetings").json()["meetings"][0]["meeting"], meeting["meeting"]);
    until("readiness", || get(server.addr, "/readyz").status == 200);
}

#[test]
fn processes_that_begin_at_the_same_time_agree_on_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    thread::scope(|scope| {
        let made: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| run(folder, &["api-key", "--init", "create", "--scope", "admin"], &[])))
            .collect();
        for one in made {
            let one = one.join().unwrap();
            assert!(one.status.success(), "{one:?}");
        }
    });
    let list = String::from_utf8(run(folder, &["api-key", "list"], &[]).stdout).unwrap();
    assert_eq!(list.lines().count(), 8);
}
