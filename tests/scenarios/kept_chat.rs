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
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use serde_json::{Value, json};
use signaling_core::testing::SeededEntropy;
use tests::Visavis;
use tests::client::{Credentials, Ws, credentials};
use tests::connection::{ALL_AND_POLLING, Connection, Transport};

const ROOMS: usize = 5;
const SESSIONS: usize = 50;
/// Kills in a row; `VISAVIS_KILLS` makes them more.
const KILLS: usize = 10;
/// Messages around each kill. Those of a room, and what the first to return say, are nearly all of its kept chat.
const MESSAGES: usize = 40 * ROOMS;
/// Within this time, 95 of 100 sessions are welcomed again.
const RESUME: Duration = Duration::from_millis(500);

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
        let transport = ALL_AND_POLLING[number % ALL_AND_POLLING.len()];
        let (connection, welcome) =
            Connection::join(transport, server.addr, &room(number), &format!("Peer {number}"));
        let credentials = credentials(&welcome);
        let (pending, acknowledged, heard) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { transport, connection, credentials, seq: 0, pending, acknowledged, heard }
    }

    /// Says something; a server that has been killed hears it after the resume.
    fn say(&mut self, text: String) {
        self.seq += 1;
        self.connection.try_send(&json!({"type": "chat", "text": text, "seq": self.seq}));
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

    /// Resumes, sends again what was not answered, and returns how long it took until the welcome.
    #[allow(clippy::disallowed_methods, reason = "the time is what is measured")]
    fn resume(&mut self, server: &Visavis) -> Duration {
        let (last_id, start) = (self.connection.last_id(), Instant::now());
        let (connection, welcome) =
            Connection::resume(self.transport, server.addr, &self.credentials, last_id);
        let took = start.elapsed();
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
        took
    }
}

fn room(number: usize) -> String {
    format!("room-{}", number % ROOMS)
}

#[test]
fn what_was_acknowledged_is_heard_once_and_in_order_over_kills_on_all_transports() {
    let kills = std::env::var("VISAVIS_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut random = SeededEntropy::new(18);
    // Clients without a connection that stays are many connections from one address.
    let unlimited = ["--new-connections-per-second", "0"];
    let mut server = Visavis::start(&unlimited);
    let mut sessions: Vec<Session> = (0..SESSIONS).map(|number| Session::join(&server, number)).collect();
    let mut resumes = Vec::new();
    for kill in 0..kills {
        let last = MESSAGES / 2 + random.below(MESSAGES / 2);
        thread::scope(|scope| {
            // The chat goes on while the server is killed.
            let (now, killer) = sync_channel(0);
            let server = &server;
            scope.spawn(move || {
                killer.recv().unwrap();
                server.signal(Signal::KILL);
            });
            for number in 0..MESSAGES {
                if number == last {
                    now.send(()).unwrap();
                }
                let said = number % ROOMS + ROOMS * random.below(SESSIONS / ROOMS);
                sessions[said].say(format!("{kill}/{number}"));
            }
        });
        let folder = server.folder();
        server.kill();
        sessions.iter_mut().for_each(Session::drain);
        server = Visavis::start_in(folder, &unlimited);

        // Some are back and talking before the others return.
        let mut order: Vec<usize> = (0..SESSIONS).collect();
        (1..SESSIONS).for_each(|last| order.swap(last, random.below(last + 1)));
        let (first, _) = order.split_at(ROOMS);
        for &number in first {
            resumes.push(sessions[number].resume(&server));
            sessions[number].say(format!("{kill}: {number} is back"));
        }
        thread::scope(|scope| {
            let late = sessions.iter_mut().enumerate().filter(|(number, _)| !first.contains(number));
            let late: Vec<_> = late.map(|(_, session)| scope.spawn(|| session.resume(&server))).collect();
            resumes.extend(late.into_iter().map(|resume| resume.join().unwrap()));
        });
        for (number, session) in sessions.iter_mut().enumerate().take(ROOMS) {
            session.say(format!("{kill}: all are back in {number}"));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            session.hear(&format!("{kill}: all are back in {}", number % ROOMS));
        }
    }
    resumes.sort_unstable();
    let [median, most, longest] =
        [resumes.len() / 2, resumes.len() * 95 / 100, resumes.len() - 1].map(|place| resumes[place]);
    eprintln!(
        "{} resumes over {kills} kills: median {median:?}, 95th percentile {most:?}, longest {longest:?}",
        resumes.len()
    );
    assert!(most <= RESUME, "95th percentile {most:?}");
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
