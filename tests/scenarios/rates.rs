//! More chat lines than the rate limit allows, with interruptions: each acknowledged line arrives once and in order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::thread;

use serde_json::json;
use tests::Visavis;
use tests::client::{Sse, credentials};
use tests::connection::{ALL, Connection};

const LINES: u64 = 300;
/// The connection is cut after this many lines, every other time with a line in flight.
const CUT_EVERY: u64 = 70;

#[test]
fn lines_beyond_the_rate_arrive_once_and_in_order_over_every_transport() {
    // Each POST of this event stream's client uses a separate connection.
    let server = Visavis::start(&["--new-connections-per-second", "1000"]);
    let addr = server.addr;
    let speakers = ALL.map(|transport| {
        thread::spawn(move || {
            let room = format!("{transport:?}");
            let (mut bob, _) = Sse::join(addr, &room, "Bob");
            let (mut ada, welcome) = Connection::join(transport, addr, &room, "Ada");
            let session = credentials(&welcome);
            for seq in 1..=LINES {
                let line = json!({"type": "chat", "text": seq.to_string(), "seq": seq});
                if seq % CUT_EVERY == 0 {
                    if seq % (2 * CUT_EVERY) == 0 {
                        ada.send(&line);
                    }
                    let last_id = ada.last_id();
                    (ada, _) = Connection::resume(transport, addr, &session, last_id);
                }
                ada.deliver(&line);
            }
            let heard: Vec<u64> =
                (0..LINES).map(|_| bob.until("chat")["text"].as_str().unwrap().parse().unwrap()).collect();
            assert_eq!(heard, (1..=LINES).collect::<Vec<_>>(), "{transport:?}");
        })
    });
    for speaker in speakers {
        speaker.join().unwrap();
    }
}
