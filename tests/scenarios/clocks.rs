//! A server that is suspended for a while, and one whose machine's clock is set.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::{Api, host_token, in_seconds};
use tests::client::{Sse, Ws, credentials};
use tests::{Visavis, get};

/// Longer than two missed heartbeats, and longer than the resume window.
const STANDSTILL: Duration = Duration::from_secs(40);

#[test]
fn a_server_that_stood_still_holds_it_against_nobody() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, _) = Sse::join(server.addr, "standup", "Bob");
    let (cy, welcome) = Ws::join(server.addr, "standup", "Cy");
    // This client has lost its transport, and has the resume window to reconnect.
    let (cys, cursor) = (credentials(&welcome), cy.last_id);
    drop(cy);
    server.signal(Signal::STOP);
    std::thread::sleep(STANDSTILL);
    server.signal(Signal::CONT);
    // It runs, and has done what was due.
    assert_eq!(get(server.addr, "/livez").status, 200);
    ada.send(&json!({"type": "chat", "text": "still here", "seq": 1}));
    assert_eq!(ada.until("ack")["seq"], 1);
    assert_eq!(bob.until("chat")["text"], "still here");
    let (_cy, welcome) = Ws::resume(server.addr, &cys, cursor);
    assert_eq!(welcome["resumed"], true, "{welcome}");
    server.logged("the process did not run for a while: that time counts against nobody");
}

/// A library that makes a program see a different time (Debian's package libfaketime).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const SET: &str = "the machine's clock was set: times follow it at once, and what cannot be undone waits until it has stood for five minutes";

/// A machine whose wall clock can be set.
struct Machine(Arc<TempDir>);

impl Machine {
    fn new() -> Self {
        assert!(Path::new(FAKETIME).exists(), "{FAKETIME} is not there: install libfaketime");
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn set_clock(&self, days_ahead: i64) {
        // A concurrent reader sees either the old or the new file.
        fs::write(self.0.path().join("clock.new"), format!("{days_ahead:+}d\n")).unwrap();
        fs::rename(self.0.path().join("clock.new"), self.0.path().join("clock")).unwrap();
    }

    fn start(&self) -> Visavis {
        let clock = self.0.path().join("clock");
        let environment = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Visavis::start_with(Arc::clone(&self.0), &[], &environment)
    }
}

/// The current time as reported by the server.
fn now(ws: &mut Ws) -> String {
    ws.send(&json!({"type": "ping"}));
    ws.until("pong")["serverTime"].as_str().unwrap().to_owned()
}

fn state(api: &Api, meeting: &Value) -> Value {
    api.get(&format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())).json()["state"].clone()
}

#[test]
#[ignore = "long: needs libfaketime"]
fn three_seconds_of_a_clock_three_days_ahead_cost_nothing() {
    let machine = Machine::new();
    machine.set_clock(0);
    let mut server = machine.start();
    let (mut ada, adas) = Ws::join(server.addr, "standup", "Ada");
    let meeting = Api::anonymous(server.addr).book(&json!({"startsAt": in_seconds(86_400)}));
    let api = Api::with_bearer(server.addr, host_token(&meeting));
    let tomorrow = in_seconds(86_400);

    machine.set_clock(3);
    server.logged(SET);
    assert!(now(&mut ada) > tomorrow, "times follow at once");
    let (mut bob, bobs) = Ws::join(server.addr, "standup", "Bob");
    ada.until("peer-joined");
    let (mut cy, _) = Ws::join(server.addr, "retro", "Cy");
    cy.send(&json!({"type": "host", "action": "end", "seq": 1}));
    cy.until("room-ended");
    assert_eq!(state(&api, &meeting), "open");
    // Longer than the interval between checks for due work.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(state(&api, &meeting), "open", "nothing has expired");

    machine.set_clock(0);
    while now(&mut ada) > tomorrow {}
    assert_eq!(state(&api, &meeting), "scheduled");
    ada.send(&json!({"type": "chat", "text": "here", "seq": 1}));
    assert_eq!(bob.until("chat")["text"], "here", "no timer took notice");

    // Sessions from that time resume after a restart, and names of rooms that ended then are reserved for a minute at
    // most.
    let cursors = (ada.last_id, bob.last_id);
    server.kill();
    drop(server);
    let server = machine.start();
    for (welcome, cursor) in [(&adas, cursors.0), (&bobs, cursors.1)] {
        let (_ws, again) = Ws::resume(server.addr, &credentials(welcome), cursor);
        assert_eq!(again["resumed"], true, "{again}");
    }
    assert_eq!(state(&api.at(server.addr), &meeting), "scheduled");
    let enters = || {
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": "retro", "name": "Dee"}));
        ws.next()["type"] == "welcome"
    };
    let waited = (0..90).find(|_| {
        let is_in = enters();
        if !is_in {
            std::thread::sleep(Duration::from_secs(1));
        }
        is_in
    });
    assert!(waited.is_some(), "the name rests for much longer than a minute");
}

#[test]
#[ignore = "long: needs libfaketime"]
fn a_machine_that_begins_with_a_wrong_clock_is_served_once_it_is_right() {
    let machine = Machine::new();
    for days in [3, -3] {
        machine.set_clock(0);
        let server = machine.start();
        let meeting = Api::anonymous(server.addr).book(&json!({"startsAt": in_seconds(86_400)}));
        let api = Api::with_bearer(server.addr, host_token(&meeting));
        drop(server);
        machine.set_clock(days);
        let server = machine.start();
        let (mut bob, bobs) = Ws::join(server.addr, &format!("retro{days}"), "Bob");
        let is_right = |at: &str| (in_seconds(-86_400)..in_seconds(86_400)).contains(&at.to_owned());
        assert!(!is_right(&now(&mut bob)));
        std::thread::sleep(Duration::from_secs(3));
        machine.set_clock(0);
        server.logged(SET);
        assert!(is_right(&now(&mut bob)));
        assert_eq!(state(&api.at(server.addr), &meeting), "scheduled");
        // The time passed to the relay and the time it checks come from the same clock.
        let credentials = bobs["iceServers"].to_string();
        assert!(credentials.contains("turn:"), "{credentials}");
    }
}
