//! A server that is killed and restarted during a call, and one that is asked to end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::sync::Arc;

use serde_json::json;
use tests::client::{Sse, Ws, credentials, post};
use tests::{Visavis, request};

#[test]
fn after_a_kill_everybody_is_the_same_peer_in_the_same_room() {
    let mut server = Visavis::start(&[]);
    let (mut ada, adas) = Ws::join(server.addr, "standup", "Ada");
    let (bob, bobs) = Sse::join(server.addr, "standup", "Bob");
    ada.until("peer-joined");
    ada.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    ada.until("ack");
    let (ada_is, cursor) = (credentials(&adas), ada.last_id);
    let folder = server.folder();
    server.kill();
    drop(server);

    let server = Visavis::start_in(folder, &[]);
    let (mut ada, welcome) = Ws::resume(server.addr, &ada_is, cursor);
    assert_eq!((&welcome["type"], &welcome["resumed"]), (&json!("welcome"), &json!(true)));
    assert_eq!(welcome["self"]["id"], adas["self"]["id"]);
    assert_eq!(welcome["room"]["locked"], true, "what the host had set is still so");
    let snapshot = ada.next();
    assert_eq!((&snapshot["type"], &snapshot["gap"]), (&json!("snapshot"), &json!(true)));
    let (mut bob, welcome) = Sse::resume(server.addr, &bob.credentials, bob.last_id);
    assert_eq!(welcome["self"]["id"], bobs["self"]["id"]);
    let snapshot = bob.until("snapshot");
    assert_eq!(snapshot["peers"][0]["id"], adas["self"]["id"]);
    assert_eq!(ada.until("peer-joined")["peer"]["id"], bobs["self"]["id"]);

    // Events continue with greater numbers, and the host's power and token are still valid.
    ada.send(&json!({"type": "host", "action": "unlock", "seq": 2}));
    assert_eq!(ada.until("ack")["seq"], 2);
    let mut second = Ws::connect(server.addr);
    second.send(&json!({"type": "join", "room": "standup", "name": "Ada too", "token": adas["hostToken"]}));
    second.until("welcome");
    second.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    assert_eq!(second.until("ack")["seq"], 1);
}

#[test]
fn the_session_key_is_replaced_and_nobody_drops_out() {
    let server = Visavis::start(&[]);
    let folder = server.folder();
    let key = |what: &str| assert!(tests::run(folder.path(), &["session-key", what], &[]).status.success());
    let room: serde_json::Value =
        serde_json::from_str(&post(server.addr, "/api/v1/rooms", None, "{}").body).unwrap();
    let name = room["room"].as_str().unwrap();
    let (ada, adas) = Ws::join(server.addr, name, "Ada");
    let (ada_is, cursor) = (credentials(&adas), ada.last_id);
    key("rotate");
    server.terminate();
    server.wait();

    // Who was in the call resumes, and has a secret made with the new key; links from before are valid.
    let server = Visavis::start_in(Arc::clone(&folder), &[]);
    let (mut ada, welcome) = Ws::resume(server.addr, &ada_is, cursor);
    assert_eq!((&welcome["resumed"], &welcome["self"]["id"]), (&json!(true), &adas["self"]["id"]));
    ada.until("snapshot");
    let host = |addr, token: &serde_json::Value| {
        let mut host = Ws::connect(addr);
        host.send(&json!({"type": "join", "room": name, "name": "Host", "token": token}));
        host.next()
    };
    assert_eq!(host(server.addr, &room["hostToken"])["type"], "welcome");
    let (new_is, cursor) = (credentials(&welcome), ada.last_id);
    assert_ne!(new_is.secret, ada_is.secret);
    key("retire");
    server.terminate();
    server.wait();

    // What only the earlier key opens has ended with it.
    let server = Visavis::start_in(Arc::clone(&folder), &[]);
    let mut stranger = Ws::connect(server.addr);
    stranger.send(&ada_is.resume(cursor));
    assert_eq!(stranger.next()["type"], "error");
    let (_, welcome) = Ws::resume(server.addr, &new_is, cursor);
    assert_eq!(welcome["self"]["id"], adas["self"]["id"]);
    assert_eq!(host(server.addr, &room["hostToken"])["code"], "unauthorized");
}

#[test]
fn a_room_that_waits_for_its_first_guest_survives_a_kill() {
    let mut server = Visavis::start(&[]);
    let made = post(server.addr, "/api/v1/rooms", None, "{}");
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let room = made["room"].as_str().unwrap();
    let folder = server.folder();
    server.kill();
    drop(server);
    let server = Visavis::start_in(folder, &[]);
    let (_guest, welcome) = Ws::join(server.addr, room, "Guest");
    assert_eq!(welcome["state"], "joined");
}

#[test]
fn a_room_that_was_ended_stays_dead_over_a_restart() {
    let mut server = Visavis::start(&[]);
    let made = post(server.addr, "/api/v1/rooms", None, "{}");
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let room = made["room"].as_str().unwrap();
    for room in [room, "standup"] {
        let mut host = Ws::connect(server.addr);
        let token = (room != "standup").then(|| made["hostToken"].clone());
        host.send(&json!({"type": "join", "room": room, "name": "Host", "token": token}));
        host.until("welcome");
        host.send(&json!({"type": "host", "action": "end"}));
        assert_eq!(host.until("room-ended")["reason"], "host-ended");
        assert_eq!(host.closed(), 1000);
    }
    let folder = server.folder();
    server.kill();
    drop(server);
    let server = Visavis::start_in(folder, &[]);
    for room in [room, "standup"] {
        let mut late = Ws::connect(server.addr);
        late.send(&json!({"type": "join", "room": room, "name": "Late"}));
        assert_eq!(late.next()["code"], "room-ended", "{room}");
    }
}

#[test]
fn an_end_that_is_asked_for_tells_everybody_and_is_clean() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, _) = Sse::join(server.addr, "standup", "Bob");
    server.terminate();
    assert!(ada.until("going-away")["reconnectAfterMs"].is_u64());
    assert_eq!(ada.closed(), 1001);
    assert!(bob.until("going-away")["reconnectAfterMs"].is_u64());
    assert!(bob.next_or_end().is_none());
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:?}");
}

#[test]
fn clients_are_told_different_times_to_return() {
    let server = Visavis::start(&[]);
    let mut peers: Vec<Ws> =
        (0..20).map(|number| Ws::join(server.addr, "standup", &format!("Peer {number}")).0).collect();
    server.terminate();
    let mut delays: Vec<u64> =
        peers.iter_mut().map(|peer| peer.until("going-away")["reconnectAfterMs"].as_u64().unwrap()).collect();
    delays.sort_unstable();
    delays.dedup();
    assert_eq!(delays.len(), peers.len(), "{delays:?}");
}

#[test]
fn the_host_is_the_host_after_twenty_restarts() {
    let mut server = Visavis::start(&[]);
    let lock = json!({"type": "host", "action": "lock", "seq": 1});
    let (ada, adas) = Ws::join(server.addr, "standup", "Ada");
    let (bob, bobs) = Ws::join(server.addr, "standup", "Bob");
    let (mut ada_is, mut bob_is) = (credentials(&adas), credentials(&bobs));
    drop((ada, bob));
    for restart in 0..20 {
        let folder = server.folder();
        server.kill();
        drop(server);
        server = Visavis::start_in(folder, &[]);
        let is_first = restart % 4 == 0;
        let mut ada = is_first.then(|| Ws::resume(server.addr, &ada_is, 0));
        // The guest usually returns first, and gains no additional power.
        let (mut bob, bobs) = Ws::resume(server.addr, &bob_is, 0);
        bob.send(&lock);
        assert_eq!(bob.until("error")["code"], "forbidden", "restart {restart}");
        let (ada, adas) = ada.get_or_insert_with(|| Ws::resume(server.addr, &ada_is, 0));
        ada.send(&lock);
        assert_eq!(ada.until("ack")["seq"], 1, "restart {restart}");
        (ada_is, bob_is) = (credentials(adas), credentials(&bobs));
    }
}

#[test]
fn whoever_has_left_stays_out_over_a_kill() {
    let mut server = Visavis::start(&[]);
    let (mut ada, adas) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, bobs) = Ws::join(server.addr, "standup", "Bob");
    let (cem, cems) = Sse::join(server.addr, "standup", "Cem");
    bob.send(&json!({"type": "leave", "seq": 1}));
    assert_eq!(bob.closed(), 1000);
    let path = format!("/api/v1/sessions/{}", cem.credentials.session);
    let bearer = format!("Bearer {}", cem.credentials.secret);
    assert_eq!(request(server.addr, "DELETE", &path, &[("authorization", &bearer)], None).status, 204);
    ada.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    ada.until("ack");
    let folder = server.folder();
    server.kill();
    drop(server);
    let server = Visavis::start_in(folder, &[]);
    let (_ada, welcome) = Ws::resume(server.addr, &credentials(&adas), 0);
    assert_eq!(welcome["room"]["locked"], true);
    for gone in [bobs, cems] {
        let (_, answer) = Ws::resume(server.addr, &credentials(&gone), 0);
        assert_eq!(answer["code"], "session-unknown");
    }
}
