//! Two servers that use one database, and one secret: each message about a meeting leaves once, and in order, also when
//! one of the two is killed, and what one has sealed the other opens.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::BTreeMap;
use std::thread;

use serde_json::json;
use tests::Visavis;
use tests::api::{Api, host_token};
use tests::client::{Ws, credentials};
use tests::hooks::Receptionist;
use tests::postgres::Postgres;

const EVENTS: [&str; 3] = ["meeting.created", "meeting.changed", "meeting.cancelled"];
/// The attempts that a server has under way for one receiver, at most.
const UNDER_WAY: usize = 4;

/// What a receiver was told: the ids of the messages, and the events of each meeting in the order of their arrival.
#[derive(Default)]
struct Told {
    ids: BTreeMap<String, usize>,
    meetings: BTreeMap<String, Vec<String>>,
}

impl Told {
    /// Receives until so many different messages have come.
    fn receive(&mut self, receiver: &Receptionist, messages: usize) {
        while self.ids.len() < messages {
            let hook = receiver.next();
            let id = hook.headers["webhook-id"].clone();
            let meeting = hook.json()["data"]["meeting"].as_str().unwrap().to_owned();
            let is_new = *self.ids.entry(id).and_modify(|times| *times += 1).or_insert(1) == 1;
            if is_new {
                self.meetings.entry(meeting).or_default().push(hook.kind());
            }
            hook.answer("204 No Content");
        }
    }

    /// The number of messages that came more than once.
    fn repeated(&self) -> usize {
        self.ids.values().filter(|times| **times > 1).count()
    }

    fn is_whole(&self, meetings: usize) {
        assert_eq!(self.meetings.len(), meetings);
        for (meeting, events) in &self.meetings {
            assert_eq!(events[..], EVENTS, "{meeting}");
        }
    }
}

/// Books, changes and cancels meetings, each step at the other of two servers.
fn busy(meetings: usize, first: &Api, second: &Api, receiver: &str) {
    for number in 0..meetings {
        let (here, there) = if number % 2 == 0 { (first, second) } else { (second, first) };
        let meeting = here.book(&json!({"webhookUrl": receiver}));
        let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
        let change = json!({"title": format!("Standup {number}")}).to_string();
        assert_eq!(there.ask("PATCH", &path, &[("if-match", "*")], Some(&change)).status, 200);
        assert_eq!(here.ask("DELETE", &path, &[], None).status, 204);
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
fn every_message_leaves_once_and_in_order_also_when_one_of_two_servers_is_killed() {
    const MEETINGS: usize = 250;
    let postgres = Postgres::start();
    let url = postgres.url();
    let unlimited = ["--new-connections-per-second", "0"];
    let arguments = [&["--webhook-allow-private", "--database-url", url.as_str()][..], &unlimited].concat();
    let (mut first, second) = (Visavis::start(&arguments), Visavis::start(&arguments));
    let here = Api::with_key(&first, &["meetings:write"], &["--database-url", &url]);
    let there = here.at(second.addr);

    let receiver = Receptionist::open();
    let (hooks, mut told) = (receiver.url(), Told::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| busy(MEETINGS / 2, &here, &there, &hooks));
        }
        told.receive(&receiver, MEETINGS * EVENTS.len());
    });
    told.is_whole(MEETINGS);
    assert_eq!(told.repeated(), 0, "twice while nobody died: {:?}", told.ids);

    // Half of them are still to be told when one dies. The other waits until the claims of the dead one have ended.
    let receiver = Receptionist::open();
    let (hooks, mut told) = (receiver.url(), Told::default());
    thread::scope(|scope| {
        scope.spawn(|| busy(MEETINGS, &there, &there, &hooks));
        told.receive(&receiver, MEETINGS * EVENTS.len() / 2);
        first.kill();
        told.receive(&receiver, MEETINGS * EVENTS.len());
    });
    told.is_whole(MEETINGS);
    assert!(told.repeated() <= UNDER_WAY, "more than the dead one had under way: {}", told.repeated());
}
