//! A closed connection is reported to the others within a second, on every transport.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what fails in a test fails the test; how long it takes is what is promised"
)]

use std::any::Any;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Visavis;
use tests::client::{Credentials, Sse, Ws, credentials};
use tests::socketio::Sio;

/// Joins as Bob; returns the open connection and the welcome.
type Join = fn(&Visavis) -> (Box<dyn Any>, Value);

/// The next `peer-updated` about a peer; returns whether it is away.
fn told(ada: &mut Ws, peer: &str) -> bool {
    loop {
        let event = ada.until("peer-updated");
        if event["peer"]["id"] == peer {
            return event["peer"]["away"] == true;
        }
    }
}

#[test]
fn a_closed_connection_is_told_within_a_second() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let ways: [(&str, Join); 3] = [
        ("websocket", |server| {
            let (connection, welcome) = Ws::join(server.addr, "standup", "Bob");
            (Box::new(connection), welcome)
        }),
        ("event stream", |server| {
            let (connection, welcome) = Sse::join(server.addr, "standup", "Bob");
            (Box::new(connection), welcome)
        }),
        ("socket.io", |server| {
            let (connection, welcome) = Sio::join(server.addr, "standup", "Bob");
            (Box::new(connection), welcome)
        }),
    ];
    for (transport, join) in ways {
        let (connection, welcome) = join(&server);
        let bob: Credentials = credentials(&welcome);
        ada.until("peer-joined");
        let closed_at = Instant::now();
        drop(connection);
        assert!(told(&mut ada, &bob.peer), "{transport}");
        assert!(closed_at.elapsed() < Duration::from_secs(1), "{transport}: {:?}", closed_at.elapsed());
        let (_bob, welcome) = Ws::resume(server.addr, &bob, 0);
        assert_eq!(welcome["resumed"], true, "{transport}");
        assert!(!told(&mut ada, &bob.peer), "{transport}: back again");
    }
}
