//! Chat over kills of the server: what was acknowledged is lost to nobody, and comes once and in order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use signaling_core::testing::SeededEntropy;
use tests::Visavis;
use tests::client::{Credentials, Ws, credentials};
use tests::connection::{ALL, Connection, Transport};

const ROOMS: usize = 5;
const SESSIONS: usize = 50;
/// Kills in a row; `VISAVIS_KILLS` makes them more.
const KILLS: usize = 3;
/// Messages before each kill. A room has a fifth of them, so that all of its kept chat matters.
const MESSAGES: usize = 240;

/// A session with its client's memory.
struct Session {
    transport: Transport,
    connection: Connection,
    credentials: Credentials,
    seq: u64,
    /// Messages without an answer, by their numbers.
    pending: BTreeMap<u64, String>,
    /// What was acknowledged.
    acknowledged: Vec<String>,
    heard: Vec<String>,
}

impl Session {
    fn join(server: &Visavis, number: usize) -> Self {
        let transport = ALL[number % ALL.len()];
        let (connection, welcome) =
            Connection::join(transport, server.addr, &room(number), &format!("Peer {number}"));
        let credentials = credentials(&welcome);
        let (pending, acknowledged, heard) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { transport, connection, credentials, seq: 0, pending, acknowledged, heard }
    }

    fn say(&mut self, text: String) {
        self.seq += 1;
        self.connection.send(&json!({"type": "chat", "text": text, "seq": self.seq}));
        self.pending.insert(self.seq, text);
    }

    fn note(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "chat" => self.heard.push(event["text"].as_str().unwrap().to_owned()),
            "ack" => self.settle(event["seq"].as_u64().unwrap()),
            "error" => panic!("{event}"),
            _ => {}
        }
    }

    fn settle(&mut self, seq: u64) {
        self.acknowledged.extend(self.pending.remove(&seq));
    }

    /// Reads what the dead server's connection still holds.
    fn drain(&mut self) {
        while let Some(event) = self.connection.next_or_end() {
            self.note(&event);
        }
    }

    fn hear(&mut self, text: &str) {
        while !self.heard.iter().any(|heard| heard == text) {
            let event = self.connection.next();
            self.note(&event);
        }
    }

    fn resume(&mut self, server: &Visavis) {
        let last_id = self.connection.last_id();
        let (connection, welcome) =
            Connection::resume(self.transport, server.addr, &self.credentials, last_id);
        assert_eq!(welcome["resumed"], true, "{welcome}");
        (self.connection, self.credentials) = (connection, credentials(&welcome));
        let last_seq = welcome["lastSeq"].as_u64().unwrap();
        let taken: Vec<u64> = self.pending.range(..=last_seq).map(|(seq, _)| *seq).collect();
        for seq in taken {
            self.settle(seq);
        }
        for (seq, text) in &self.pending {
            self.connection.send(&json!({"type": "chat", "text": text, "seq": seq}));
        }
    }
}

fn room(number: usize) -> String {
    format!("room-{}", number % ROOMS)
}

#[test]
fn what_was_acknowledged_is_heard_once_and_in_order_over_kills_on_all_transports() {
    let kills = std::env::var("VISAVIS_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut random = SeededEntropy::new(18);
    let mut server = Visavis::start(&[]);
    let mut sessions: Vec<Session> = (0..SESSIONS).map(|number| Session::join(&server, number)).collect();
    for kill in 0..kills {
        for number in 0..MESSAGES {
            let said = random.below(SESSIONS);
            sessions[said].say(format!("{kill}/{number}"));
        }
        let folder = server.folder();
        server.kill();
        sessions.iter_mut().for_each(Session::drain);
        server = Visavis::start_in(folder, &[]);

        // Some are back and talking before the others return.
        let mut order: Vec<usize> = (0..SESSIONS).collect();
        (1..SESSIONS).for_each(|last| order.swap(last, random.below(last + 1)));
        for (back, number) in order.into_iter().enumerate() {
            sessions[number].resume(&server);
            if back < ROOMS {
                sessions[number].say(format!("{kill}: {number} is back"));
            }
        }
        for (number, session) in sessions.iter_mut().enumerate().take(ROOMS) {
            session.say(format!("{kill}: all are back in {number}"));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            session.hear(&format!("{kill}: all are back in {}", number % ROOMS));
        }
    }
    for session in &mut sessions {
        // Acknowledgements that come after what was waited for.
        while !session.pending.is_empty() {
            let event = session.connection.next();
            session.note(&event);
        }
    }
    for place in 0..ROOMS {
        let members: Vec<_> = sessions.iter().skip(place).step_by(ROOMS).collect();
        let heard = &members[0].heard;
        for member in &members {
            assert_eq!(member.heard, *heard, "all hear the same, in one order");
            for text in &member.acknowledged {
                let times = heard.iter().filter(|heard| *heard == text).count();
                assert_eq!(times, 1, "{text} was acknowledged");
            }
        }
    }
    let acknowledged: usize = sessions.iter().map(|session| session.acknowledged.len()).sum();
    assert!(acknowledged >= kills * MESSAGES, "{acknowledged} acknowledged");
}

/// The files with chat of a server.
fn files(server: &Visavis) -> usize {
    fs::read_dir(server.folder().path().join("visavis-data/chat")).map_or(0, Iterator::count)
}

#[test]
fn chat_is_erased_with_its_room_and_not_written_where_the_operator_says_so() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    ada.send(&json!({"type": "chat", "text": "hello", "seq": 1}));
    ada.until("ack");
    assert_eq!(files(&server), 1);
    ada.send(&json!({"type": "host", "action": "end", "seq": 2}));
    ada.until("room-ended");
    assert_eq!(files(&server), 0);
    let (mut ada, _) = Ws::join(server.addr, "another", "Ada");
    ada.send(&json!({"type": "chat", "text": "hello", "seq": 1}));
    ada.until("ack");
    let folder = server.folder();
    drop(server);

    let server = Visavis::start_in(Arc::clone(&folder), &["--keep-chat", "off"]);
    assert_eq!(files(&server), 0, "nothing of before is left");
    let (mut ada, _) = Ws::join(server.addr, "standup-2", "Ada");
    ada.send(&json!({"type": "chat", "text": "hello", "seq": 1}));
    ada.until("ack");
    assert_eq!(files(&server), 0);
}
