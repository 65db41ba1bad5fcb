//! A full disk: at startup, during operation, and after space is available again. A limit on the size of files stands
//! in for it, so that the test does not need root.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::sync::Arc;

use serde_json::json;
use tests::api::{Api, host_token, until, wanted};
use tests::client::Ws;
use tests::{Visavis, get, on_a_full_disk};

fn is_ready(server: &Visavis) -> bool {
    get(server.addr, "/readyz").status == 200
}

#[test]
fn bookings_are_refused_while_the_disk_is_full_and_taken_when_there_is_room() {
    let server = Visavis::start(&[]);
    let api = Api::anonymous(server.addr);
    let first = api.book(&json!({}));
    server.limit_files(Some(0));
    // More than there are connections.
    for _ in 0..20 {
        let answer = api.post("/api/v1/meetings", &wanted(&json!({})));
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overloaded")), "{}", answer.body);
        assert!(!answer.header("retry-after").is_empty());
    }
    until("readyz to say it", || get(server.addr, "/readyz").body.contains("meetings"));
    // Existing meetings can be read and joined.
    let (_ada, welcome) = Ws::join(server.addr, first["code"].as_str().unwrap(), "Ada");
    assert_eq!(welcome["type"], "welcome");
    server.limit_files(None);
    until("readyz", || is_ready(&server));
    for _ in 0..20 {
        api.book(&json!({}));
    }
}

#[test]
fn what_a_host_sets_after_a_full_disk_is_so_after_a_restart() {
    let mut server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, _) = Ws::join(server.addr, "retro", "Bob");
    let folder = server.folder();
    let journal = folder.path().join("visavis-data/rooms.jsonl");
    let length = fs::metadata(&journal).unwrap().len();
    // The next line is cut short.
    server.limit_files(Some(length + 10));
    let lock = |host: &mut Ws, seq: u64| {
        host.send(&json!({"type": "host", "action": "lock", "seq": seq}));
        assert_eq!(host.until("ack")["seq"], seq);
    };
    lock(&mut bob, 1);
    server.logged("what hosts set is not kept over a restart until it can be written");
    server.limit_files(None);
    lock(&mut ada, 1);
    server.kill();
    drop(server);
    let server = Visavis::start_in(Arc::clone(&folder), &[]);
    let mut stranger = Ws::connect(server.addr);
    stranger.send(&json!({"type": "join", "room": "standup", "name": "Eve"}));
    assert_eq!(stranger.next()["code"], "room-locked");
}

#[test]
fn what_could_not_be_written_is_written_when_there_is_room() {
    let mut server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    server.limit_files(Some(0));
    ada.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    ada.until("ack");
    server.limit_files(None);
    server.logged("what hosts have set is kept again");
    until("readyz", || is_ready(&server));
    let folder = server.folder();
    server.kill();
    drop(server);
    let server = Visavis::start_in(folder, &[]);
    let mut stranger = Ws::connect(server.addr);
    stranger.send(&json!({"type": "join", "room": "standup", "name": "Eve"}));
    assert_eq!(stranger.next()["code"], "room-locked");
}

#[test]
fn a_full_disk_does_not_stop_the_start() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for is_fresh in [true, false] {
        let mut server = Visavis::start_on_a_full_disk(Arc::clone(&folder), &[]);
        let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
        let (_bob, _) = Ws::join(server.addr, "standup", "Bob");
        assert_eq!(ada.until("peer-joined")["peer"]["name"], "Bob");
        let api = Api::anonymous(server.addr);
        assert_eq!(api.post("/api/v1/meetings", &wanted(&json!({}))).status, 503);
        until("readyz to say it", || !is_ready(&server));
        assert_eq!(get(server.addr, "/livez").status, 200);
        server.limit_files(None);
        until("readyz", || is_ready(&server));
        api.book(&json!({}));
        // The key that could not be stored is stored now, and what it sealed is valid after a restart.
        server.kill();
        drop(server);
        let server = Visavis::start_in(Arc::clone(&folder), &[]);
        let (_ada, again) = Ws::resume(server.addr, &tests::client::credentials(&welcome), ada.last_id);
        assert_eq!(again["resumed"], true, "fresh: {is_fresh}; {again}");
    }
}

#[test]
fn a_host_ends_a_meeting_while_the_disk_is_full() {
    let server = Visavis::start(&["--webhook-allow-private"]);
    // Nobody listens there; pending webhooks can still be read.
    let call = Api::anonymous(server.addr).book(&json!({"webhookUrl": "http://127.0.0.1:1/"}));
    let mut host = Ws::connect(server.addr);
    host.send(&json!({"type": "join", "room": call["code"], "name": "Ada", "token": host_token(&call)}));
    host.until("welcome");
    let path = format!("/api/v1/meetings/{}", call["meeting"].as_str().unwrap());
    let api = Api::with_bearer(server.addr, host_token(&call));
    until("the note of it", || api.get(&format!("{path}/deliveries")).body.contains("meeting.started"));
    server.limit_files(Some(0));
    host.send(&json!({"type": "host", "action": "end", "seq": 1}));
    host.until("room-ended");
    for _ in 0..3 {
        let mut guest = Ws::connect(server.addr);
        guest.send(&json!({"type": "join", "room": call["code"], "name": "Bob"}));
        assert_eq!(guest.next()["code"], "room-ended");
    }
    server.limit_files(None);
    until("the note of its end", || api.get(&path).json()["state"] == "ended");
    assert!(api.get(&format!("{path}/deliveries")).body.contains("meeting.ended"));
}

/// Says something, and waits for the answer.
fn say(peer: &mut Ws, text: &str, seq: u64) {
    peer.send(&json!({"type": "chat", "text": text, "seq": seq}));
    assert_eq!(peer.until("ack")["seq"], seq);
}

#[test]
fn chat_that_was_kept_is_there_after_a_disk_that_was_full_while_its_file_was_exchanged() {
    /// The lines of a full file.
    const FULL: u64 = 200;
    // Neither of the first lines of the new file can be written, or a part of either.
    for most in [0, 20, 150] {
        for is_free_again in [false, true] {
            let mut server = Visavis::start(&[]);
            let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
            let (mut bob, bobs) = Ws::join(server.addr, "standup", "Bob");
            let mut cursor = 0;
            for number in 1..=FULL / 2 {
                say(&mut ada, &format!("ada {number}"), number);
                say(&mut bob, &format!("bob {number}"), number);
                if number == 90 {
                    cursor = bob.last_id;
                }
            }
            server.limit_files(Some(most));
            say(&mut bob, "into nothing", FULL);
            server.logged("chat is not kept over a restart until it can be written");
            let chats = fs::read_dir(server.folder().path().join("visavis-data/chat")).unwrap();
            let names: Vec<_> =
                chats.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert!(names.iter().any(|name| name.ends_with(".old.jsonl")), "exchanged: {names:?}");
            if is_free_again {
                server.limit_files(None);
                say(&mut bob, "kept again", FULL + 1);
                server.logged("chat is kept again");
            }
            let folder = server.folder();
            server.kill();
            let server = Visavis::start_in(folder, &[]);

            let (mut bob, again) = Ws::resume(server.addr, &tests::client::credentials(&bobs), cursor);
            let last_seq = if is_free_again { FULL + 1 } else { FULL / 2 };
            assert_eq!(again["lastSeq"], last_seq, "{most}, {is_free_again}");
            // What was answered has no second effect.
            bob.send(&json!({"type": "chat", "text": "bob 100", "seq": last_seq}));
            bob.send(&json!({"type": "chat", "text": "the end", "seq": FULL + 2}));
            let mut heard = Vec::new();
            while heard.last().is_none_or(|text| text != "the end") {
                heard.push(bob.until("chat")["text"].as_str().unwrap().to_owned());
            }
            let kept = (91..=FULL / 2).flat_map(|number| [format!("ada {number}"), format!("bob {number}")]);
            let more = is_free_again.then_some("kept again").into_iter().chain(["the end"]);
            let expected: Vec<String> = kept.chain(more.map(str::to_owned)).collect();
            assert_eq!(heard, expected, "{most}, {is_free_again}");
        }
    }
}

#[test]
fn a_backup_that_fails_leaves_nothing_that_looks_like_one() {
    let server = Visavis::start(&[]);
    Api::anonymous(server.addr).book(&json!({}));
    let folder = server.folder();
    let failed = on_a_full_disk(folder.path(), &["backup", "copy"]).output().unwrap();
    assert!(!failed.status.success() && !folder.path().join("copy").exists(), "{failed:?}");
    let done = tests::run(folder.path(), &["backup", "copy"], &[]);
    assert!(done.status.success(), "{done:?}");
}
