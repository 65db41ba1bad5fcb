//! A server that stands still for a while, and one whose machine's clock is set.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tests::client::{Sse, Ws, credentials};
use tests::{Visavis, get};

/// Longer than a silence of two heartbeats, and longer than the resume window.
const STANDSTILL: Duration = Duration::from_secs(40);

#[test]
fn a_server_that_stood_still_holds_it_against_nobody() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, _) = Sse::join(server.addr, "standup", "Bob");
    let (cy, welcome) = Ws::join(server.addr, "standup", "Cy");
    // This one has lost its transport, and has the resume window to come back.
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
