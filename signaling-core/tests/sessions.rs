//! Edge cases of one session: numbers, rates, silence.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use signaling_core::testing::SeededEntropy;
use signaling_core::{
    ClientMessage, CloseReason, ConnectionId, Environment, Frame, Grant, JsonCodec, NewConnection, Offer,
    Outbound, RequestId, Seat, ServerKey, SessionClaims, Shard, StreamRefusal, Timestamp,
};

#[derive(Clone, Default)]
struct Screen {
    frames: Arc<Mutex<Vec<Value>>>,
    closed: Arc<Mutex<Option<CloseReason>>>,
    /// It takes nothing, until it must take all.
    is_full: Arc<Mutex<bool>>,
}

impl Outbound for Screen {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        if *self.is_full.lock().unwrap() {
            return Offer::Full;
        }
        self.frames.lock().unwrap().push(serde_json::from_slice(&frame.json).unwrap());
        Offer::Taken
    }
    fn take_all(&mut self) {
        *self.is_full.lock().unwrap() = false;
    }
    fn close(&mut self, reason: CloseReason) {
        *self.closed.lock().unwrap() = Some(reason);
    }
}

impl Screen {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.frames.lock().unwrap())
    }
}

struct Server {
    shard: Shard,
    now: Timestamp,
}

impl Server {
    fn new() -> Self {
        let environment = Environment {
            entropy: Box::new(SeededEntropy::new(1)),
            ..Environment::new(ServerKey::new([1; 32]))
        };
        let now = Timestamp::from_millis(1_790_000_000_000);
        Self { shard: Shard::new(environment, now, Vec::new()), now }
    }

    fn join(&mut self, id: u64) -> (Seat, Screen) {
        let text = format!(r#"{{"type":"join","room":"r","name":"c{id}"}}"#);
        let ClientMessage::Join(join) = JsonCodec::default().decode(text.as_bytes()).unwrap().message else {
            panic!("not a join")
        };
        let screen = Screen::default();
        let outbound = Box::new(screen.clone());
        let connection = NewConnection { id: ConnectionId(id), outbound };
        let grant = Grant { may_create: true, ..Grant::default() };
        let (seat, _) = self.shard.join(self.now, &join, &grant, Some((connection, None))).unwrap();
        (seat, screen)
    }

    fn say(&mut self, seat: &Seat, text: &str) {
        let message = JsonCodec::default().decode(text.as_bytes());
        self.shard.receive(self.now, seat, None, message, None);
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.shard.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.shard.handle_timeout(due);
        }
        self.now = end;
    }
}

#[test]
fn a_number_refused_for_its_rate_has_its_effect_when_it_comes_again() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    for seq in 1..=205 {
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    let refused: Vec<_> = screen
        .take()
        .iter()
        .filter(|event| event["type"] == "error")
        .map(|event| event["seq"].clone())
        .collect();
    assert_eq!(refused, [201, 202, 203, 204, 205]);
    server.pass(Duration::from_secs(1));
    // A later message arrives first; the earlier ones come late, and take effect once.
    for seq in [206, 201, 201, 206] {
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    let events = screen.take();
    let said: Vec<_> =
        events.iter().filter(|event| event["type"] == "chat").map(|event| &event["text"]).collect();
    assert_eq!(said, ["206", "201"]);
    assert_eq!(events.iter().filter(|event| event["type"] == "ack").count(), 4);
}

#[test]
fn all_of_a_burst_may_come_again_though_something_got_through_it() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    for seq in 1..=600 {
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
        if seq % 100 == 0 {
            server.pass(Duration::from_millis(50));
        }
    }
    let refused: Vec<u64> = screen
        .take()
        .iter()
        .filter(|event| event["type"] == "error")
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert!((300..400).contains(&refused.len()), "{} refused", refused.len());
    for seq in &refused {
        server.pass(Duration::from_secs(1));
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    let events = screen.take();
    let said: Vec<u64> = events
        .iter()
        .filter(|event| event["type"] == "chat")
        .map(|event| event["text"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(said, refused);
}

#[test]
fn a_refusal_is_remembered_with_its_number() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    for _ in 0..2 {
        server.say(&seat, r#"{"type":"chat","text":"","seq":1}"#);
    }
    let events = screen.take();
    let codes: Vec<_> = events.iter().filter(|event| event["seq"] == 1).map(|event| &event["code"]).collect();
    assert_eq!(codes, ["bad-request", "bad-request"]);
}

#[test]
fn silence_for_two_heartbeats_loses_the_connection_and_then_the_place() {
    let mut server = Server::new();
    let (ada, adas) = server.join(1);
    let (bob, bobs) = server.join(2);
    for _ in 0..6 {
        server.pass(Duration::from_secs(5));
        server.say(&ada, r#"{"type":"ping"}"#);
    }
    assert_eq!(*bobs.closed.lock().unwrap(), Some(CloseReason::Silent));
    assert!(server.shard.knows(&bob), "he may still resume");
    let pings = bobs.take().iter().filter(|event| event["type"] == "ping").count();
    assert!(pings >= 2, "the server says something at least every 15 s: {pings}");
    for _ in 0..6 {
        server.pass(Duration::from_secs(5));
        server.say(&ada, r#"{"type":"ping"}"#);
    }
    assert!(!server.shard.knows(&bob));
    let left: Vec<_> = adas.take().into_iter().filter(|event| event["type"] == "peer-left").collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["reason"], "timeout");
    assert_eq!(*adas.closed.lock().unwrap(), None);
}

#[test]
fn an_empty_room_ends_and_its_name_rests() {
    let mut server = Server::new();
    let (ada, _) = server.join(1);
    server.say(&ada, r#"{"type":"leave"}"#);
    assert_eq!(server.shard.room_count(), 1, "who comes back at once finds the same room");
    server.pass(Duration::from_mins(10));
    assert_eq!(server.shard.room_count(), 0);
    let text = r#"{"type":"join","room":"r","name":"early"}"#;
    let ClientMessage::Join(join) = JsonCodec::default().decode(text.as_bytes()).unwrap().message else {
        panic!("not a join")
    };
    let grant = Grant { may_create: true, ..Grant::default() };
    let early = server.shard.join(server.now, &join, &grant, None).unwrap_err();
    assert_eq!(early.code.as_str(), "room-ended");
    server.pass(Duration::from_mins(1));
    assert!(server.shard.join(server.now, &join, &grant, None).is_ok());
}

#[test]
fn the_stream_of_before_a_resume_stays_away_while_the_one_after_it_is_there() {
    let mut server = Server::new();
    let (_, screen) = server.join(1);
    let key = ServerKey::new([1; 32]);
    let claims = |text: &Value| SessionClaims::open(&key, text.as_str().unwrap()).unwrap();
    let before = claims(&screen.take()[0]["secret"]);
    server.pass(Duration::from_secs(1));
    let (_, welcome) = server.shard.resume(server.now, &before, 0, None).unwrap();
    let welcome: Value = serde_json::from_slice(&welcome.json).unwrap();
    let after = claims(&welcome["secret"]);

    let attach = |server: &mut Server, claims: &SessionClaims, id: u64| {
        let id = ConnectionId(id);
        let connection = || NewConnection { id, outbound: Box::new(Screen::default()) };
        server.shard.attach(server.now, claims, None, connection)
    };
    let seat = attach(&mut server, &before, 2).expect("who resumed may know the old secret alone");
    attach(&mut server, &after, 3).unwrap();
    assert_eq!(attach(&mut server, &before, 4), Err(StreamRefusal::Replaced));
    attach(&mut server, &after, 5).expect("a stream that breaks comes back");
    server.shard.detach(server.now, &seat, ConnectionId(5));
    attach(&mut server, &before, 6).expect("nobody is there to be thrown out");
}

#[test]
fn a_replaced_stream_stays_away_while_its_replacement_is_there_and_may_reconnect_afterwards() {
    let mut server = Server::new();
    let (_, screen) = server.join(1);
    let secret = screen.take()[0]["secret"].as_str().unwrap().to_owned();
    let claims = SessionClaims::open(&ServerKey::new([1; 32]), &secret).unwrap();
    let connection = |id| NewConnection { id: ConnectionId(id), outbound: Box::new(Screen::default()) };
    let attach = |server: &mut Server, id| server.shard.attach(server.now, &claims, None, || connection(id));
    let seat = attach(&mut server, 2).unwrap();
    server.shard.resume(server.now, &claims, 0, Some((connection(3), None))).unwrap();
    assert_eq!(attach(&mut server, 4), Err(StreamRefusal::Replaced));
    server.shard.detach(server.now, &seat, ConnectionId(3));
    attach(&mut server, 5).expect("nothing is there that it would replace");
    attach(&mut server, 6).expect("a stream that breaks comes back");
}

/// The answers to a message: their types or codes.
fn answers(screen: &Screen, seq: u64) -> Vec<String> {
    let events = screen.take();
    let of_it = events.iter().filter(|event| event["seq"] == seq);
    of_it.map(|event| event["code"].as_str().or(event["type"].as_str()).unwrap().to_owned()).collect()
}

#[test]
fn nothing_is_acknowledged_that_had_no_effect() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    server.say(&seat, r#"{"type":"chat","text":"nine","seq":9}"#);
    screen.take();
    // A skipped number has had no effect, and takes effect when it comes.
    server.say(&seat, r#"{"type":"chat","text":"five","seq":5}"#);
    let events = screen.take();
    assert!(events.iter().any(|event| event["type"] == "chat" && event["text"] == "five"), "{events:?}");
    // A refusal is remembered, however many messages come after it.
    server.say(&seat, r#"{"type":"chat","text":"","seq":10}"#);
    for seq in 11..400 {
        server.pass(Duration::from_millis(50));
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    screen.take();
    server.say(&seat, r#"{"type":"chat","text":"","seq":10}"#);
    assert_eq!(answers(&screen, 10), ["bad-request"]);
    server.say(&seat, r#"{"type":"chat","text":"11","seq":11}"#);
    assert_eq!(answers(&screen, 11), ["ack"], "and an effect too");
}

#[test]
fn more_holes_than_are_kept_lead_to_no_false_acknowledgement() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    // Clients that number messages by the clock leave a gap before each.
    for seq in (1..=2_000).map(|n| n * 1_000) {
        server.pass(Duration::from_millis(50));
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    screen.take();
    server.say(&seat, r#"{"type":"chat","text":"late","seq":1500}"#);
    let events = screen.take();
    let had_effect = events.iter().any(|event| event["type"] == "chat");
    let acknowledged = events.iter().any(|event| event["type"] == "ack");
    assert_eq!(had_effect, acknowledged, "{events:?}");
    assert!(events.iter().any(|event| event["seq"] == 1500), "it is answered: {events:?}");
}

#[test]
fn the_number_of_a_rate_limited_message_is_not_used_on_a_resume_either() {
    let mut server = Server::new();
    let (seat, screen) = server.join(1);
    let secret = screen.take()[0]["secret"].as_str().unwrap().to_owned();
    for seq in 1..=203 {
        server.say(&seat, &format!(r#"{{"type":"chat","text":"{seq}","seq":{seq}}}"#));
    }
    let claims = SessionClaims::open(&ServerKey::new([1; 32]), &secret).unwrap();
    let (_, welcome) = server.shard.resume(server.now, &claims, 0, None).unwrap();
    let welcome: Value = serde_json::from_slice(&welcome.json).unwrap();
    assert_eq!(welcome["lastSeq"], 200);
}

#[test]
fn who_reads_slowly_still_gets_the_answer_to_its_leave_and_the_end_of_its_room() {
    let mut server = Server::new();
    let ([ada, bob], [adas, bobs]) = {
        let ((ada, adas), (bob, bobs)) = (server.join(1), server.join(2));
        ([ada, bob], [adas, bobs])
    };
    for screen in [&adas, &bobs] {
        screen.take();
        *screen.is_full.lock().unwrap() = true;
    }
    let kinds = |screen: &Screen| {
        screen.take().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    server.say(&ada, r#"{"type":"chat","text":"hello","seq":1}"#);
    server.say(&bob, r#"{"type":"leave","seq":1}"#);
    assert_eq!(kinds(&bobs), ["ack", "chat", "peer-left"]);
    assert_eq!(*bobs.closed.lock().unwrap(), Some(CloseReason::Ended));
    assert_eq!(kinds(&adas), [""; 0]);
    server.say(&ada, r#"{"type":"host","action":"end","seq":2}"#);
    assert_eq!(kinds(&adas), ["ack", "ack", "chat", "peer-left", "room-ended"]);
    assert_eq!(*adas.closed.lock().unwrap(), Some(CloseReason::Ended));
}
