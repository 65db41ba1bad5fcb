//! Two servers that use one database, and one secret: each message about a meeting leaves once, and in order, also when
//! one of the two is killed, and what one has sealed the other opens.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::thread;

use serde_json::json;
use signaling_core::testing::SeededEntropy;
use tests::api::{Api, host_token, wanted};
use tests::client::{Ws, credentials};
use tests::hooks::Receptionist;
use tests::postgres::Postgres;
use tests::{Answer, Visavis};

const EVENTS: [&str; 3] = ["meeting.created", "meeting.changed", "meeting.cancelled"];
/// The attempts that a server has under way for one receiver, at most.
const UNDER_WAY: usize = 4;

/// What a receiver was told: the ids of the messages, and the events of each meeting in the order of their arrival.
#[derive(Default)]
struct Told {
    ids: BTreeMap<String, usize>,
    meetings: BTreeMap<String, Vec<String>>,
    cancelled: usize,
}

impl Told {
    /// Receives one message.
    fn receive(&mut self, receiver: &Receptionist) {
        let hook = receiver.next();
        let id = hook.headers["webhook-id"].clone();
        let meeting = hook.json()["data"]["meeting"].as_str().unwrap().to_owned();
        let is_new = *self.ids.entry(id).and_modify(|times| *times += 1).or_insert(1) == 1;
        if is_new {
            self.cancelled += usize::from(hook.kind() == EVENTS[2]);
            self.meetings.entry(meeting).or_default().push(hook.kind());
        }
        hook.answer("204 No Content");
    }

    /// Receives until so many different messages have come.
    fn receive_messages(&mut self, receiver: &Receptionist, messages: usize) {
        while self.ids.len() < messages {
            self.receive(receiver);
        }
    }

    /// Receives until the last event of each meeting has come.
    fn receive_all(&mut self, receiver: &Receptionist, meetings: usize) {
        while self.cancelled < meetings {
            self.receive(receiver);
        }
    }

    /// The number of messages that came more than once.
    fn repeated(&self) -> usize {
        self.ids.values().filter(|times| **times > 1).count()
    }

    /// Each event of each meeting was told, in order, and as one message. A change that the application has asked for
    /// twice may be two.
    fn is_whole(&self, meetings: usize, asked_twice: &BTreeSet<String>) {
        assert_eq!(self.meetings.len(), meetings);
        for (meeting, events) in &self.meetings {
            let mut events = events.clone();
            if asked_twice.contains(meeting) {
                events.dedup();
            }
            assert_eq!(events[..], EVENTS, "{meeting}");
        }
    }
}

/// An application that uses either of two servers, and the other one if the first does not answer.
struct Application<'a> {
    servers: [&'a Api; 2],
    /// The meetings of which it does not know how often a request has taken effect.
    asked_twice: BTreeSet<String>,
}

impl<'a> Application<'a> {
    fn new(servers: [&'a Api; 2]) -> Self {
        Self { servers, asked_twice: BTreeSet::new() }
    }

    /// Asks one of them, or else the other; returns the answer, and whether both were asked.
    fn ask(
        &self,
        first: usize,
        method: &str,
        path: &str,
        header: (&str, &str),
        body: Option<&str>,
    ) -> (Answer, bool) {
        let [here, there] = [first % 2, (first + 1) % 2].map(|server| self.servers[server]);
        match here.try_ask(method, path, &[header], body) {
            Some(answer) => (answer, false),
            None => (there.ask(method, path, &[header], body), true),
        }
    }

    /// Books, changes and cancels meetings, each step at the other server.
    fn run(mut self, meetings: Range<usize>, receiver: &str) -> BTreeSet<String> {
        for number in meetings {
            let booking = wanted(&json!({"webhookUrl": receiver})).to_string();
            let once = format!("booking {number}");
            let (booked, _) =
                self.ask(number, "POST", "/api/v1/meetings", ("idempotency-key", &once), Some(&booking));
            assert_eq!(booked.status, 201, "{}", booked.body);
            let id = booked.json()["meeting"].as_str().unwrap().to_owned();
            let path = format!("/api/v1/meetings/{id}");
            let change = json!({"title": format!("Standup {number}")}).to_string();
            let (changed, twice) = self.ask(number + 1, "PATCH", &path, ("if-match", "*"), Some(&change));
            assert_eq!(changed.status, 200, "{}", changed.body);
            let (cancelled, again) = self.ask(number, "DELETE", &path, ("if-match", "*"), None);
            assert!(cancelled.status == 204 || again, "{}", cancelled.body);
            if twice {
                self.asked_twice.insert(id);
            }
        }
        self.asked_twice
    }
}

#[test]
fn one_secret_makes_sessions_and_tokens_of_one_server_good_on_the_other() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let arguments = ["--cluster-secret", "a secret of two servers", "--database-url", &url];
    let (first, second) = (Visavis::start(&arguments), Visavis::start(&arguments));
    let (mut ada, welcome) = Ws::join(first.addr, "standup", "Ada");
    ada.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    ada.until("ack");
    let (_ada, again) = Ws::resume(second.addr, &credentials(&welcome), ada.last_id);
    assert_eq!((&again["resumed"], &again["self"]["id"]), (&json!(true), &welcome["self"]["id"]));
    assert_eq!(again["self"]["host"], true);

    let meeting = Api::anonymous(first.addr).book(&json!({"lobby": true}));
    let mut host = Ws::connect(second.addr);
    host.send(
        &json!({"type": "join", "room": meeting["code"], "name": "Bob", "token": host_token(&meeting)}),
    );
    assert_eq!(host.until("welcome")["self"]["host"], true);
}

#[test]
fn every_message_leaves_once_while_both_of_two_servers_live() {
    const MEETINGS: usize = 100;
    let pair = Pair::start();
    let (receiver, mut told) = (Receptionist::open(), Told::default());
    let hooks = receiver.url();
    thread::scope(|scope| {
        for half in [0..MEETINGS / 2, MEETINGS / 2..MEETINGS] {
            let application = Application::new([&pair.here, &pair.there]);
            scope.spawn(|| application.run(half, &hooks));
        }
        told.receive_messages(&receiver, MEETINGS * EVENTS.len());
    });
    told.is_whole(MEETINGS, &BTreeSet::new());
    assert_eq!(told.repeated(), 0, "{:?}", told.ids);
}

/// A message that the dead server had under way comes again from the other, once the claim has ended.
#[test]
fn every_message_leaves_in_order_and_under_one_id_when_one_of_two_servers_is_killed() {
    const MEETINGS: usize = 500;
    let seed = std::env::var("VISAVIS_SEED").map_or(18, |text| text.parse().unwrap());
    let mut random = SeededEntropy::new(seed);
    let mut pair = Pair::start();
    let (receiver, mut told) = (Receptionist::open(), Told::default());
    let hooks = receiver.url();
    let (victim, after) = (random.below(2), random.below(MEETINGS * EVENTS.len()));
    eprintln!("seed {seed}: server {victim} is killed after {after} messages");
    let asked_twice = thread::scope(|scope| {
        let halves = [0..MEETINGS / 2, MEETINGS / 2..MEETINGS].map(|half| {
            let application = Application::new([&pair.here, &pair.there]);
            scope.spawn(|| application.run(half, &hooks))
        });
        told.receive_messages(&receiver, after);
        pair.servers[victim].kill();
        told.receive_all(&receiver, MEETINGS);
        halves.map(|half| half.join().unwrap()).into_iter().flatten().collect()
    });
    told.is_whole(MEETINGS, &asked_twice);
    assert!(told.repeated() <= UNDER_WAY, "more than the dead one had under way: {}", told.repeated());
}

/// Two servers on one database, and an application that has a key.
struct Pair {
    servers: [Visavis; 2],
    here: Api,
    there: Api,
    _postgres: Postgres,
}

impl Pair {
    fn start() -> Self {
        let postgres = Postgres::start();
        let url = postgres.url();
        let arguments =
            ["--webhook-allow-private", "--database-url", &url, "--new-connections-per-second", "0"];
        let servers = [(); 2].map(|()| Visavis::start(&arguments));
        let here = Api::with_key(&servers[0], &["meetings:write"], &["--database-url", &url]);
        let there = here.at(servers[1].addr);
        Self { servers, here, there, _postgres: postgres }
    }
}
