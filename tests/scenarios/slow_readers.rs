//! A client that does not read affects only itself.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::thread;

use serde_json::{Value, json};
use tests::Visavis;
use tests::client::{Sse, Ws, credentials};
use tests::connection::{Connection, Transport};
use tests::socketio::Sio;

/// 60 KB each: more than two kernel buffers, a mailbox and the megabyte behind them hold.
const MESSAGES: u64 = 320;

fn message(seq: u64) -> Value {
    json!({"type": "app", "topic": "load", "data": {"seq": seq, "text": "x".repeat(60_000)}, "seq": seq})
}

#[test]
fn who_reads_nothing_is_cut_off_and_may_resume_while_the_others_hear_everything() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Connection::join(Transport::WebSocket, server.addr, "standup", "Ada");
    let (mut sleeper, welcome) = Ws::join(server.addr, "standup", "Sleeper");
    let (mut other, others) = Sio::join(server.addr, "standup", "Other sleeper");
    let (mut bob, _) = Sse::join(server.addr, "standup", "Bob");
    let listening = thread::spawn(move || {
        (0..MESSAGES).map(|_| bob.until("app")["data"]["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    });

    for seq in 1..=MESSAGES {
        ada.deliver(&message(seq));
    }
    assert_eq!(listening.join().unwrap(), (1..=MESSAGES).collect::<Vec<_>>());

    assert_eq!(sleeper.closed(), 4408);
    let (_, welcome) = Ws::resume(server.addr, &credentials(&welcome), sleeper.last_id);
    assert_eq!(welcome["resumed"], true);

    let mut heard = 0;
    while let Some(event) = other.next_or_end() {
        heard += u64::from(event["type"] == "app");
    }
    assert!(heard < MESSAGES, "the end came before all was said");
    let (_, welcome) = Sio::resume(server.addr, &credentials(&others), other.last_id);
    assert_eq!(welcome["resumed"], true);
}
