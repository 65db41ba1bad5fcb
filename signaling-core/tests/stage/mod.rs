//! A server and scripted people, in virtual time.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::meeting::{Happening, RoomHappening};
use signaling_core::message::{Name, TopologyChoice};
use signaling_core::room::{Announcement, Caption, MediaTerms, MeetingTerms, Pass, RoomRecord};
use signaling_core::testing::{MemoryLog, SeededEntropy};
use signaling_core::{
    Arranged, ClientMessage, CloseReason, ConnectionId, Environment, Frame, Grant, HostClaims, JsonCodec,
    LifeId, MediaDemand, MediaEvent, MediaJoin, MediaPlane, NewConnection, Offer, Outbound, RecordScope,
    RequestId, RoomId, RoomObserver, RoomStore, Rules, Seat, ServerKey, SessionClaims, SessionId, Shard,
    Timestamp, TokenIdentity, Wall,
};

/// The frames that one connection was sent.
#[derive(Clone, Default)]
struct Screen {
    frames: Arc<Mutex<Vec<Value>>>,
    closed: Arc<Mutex<Option<CloseReason>>>,
}

impl Outbound for Screen {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        self.frames.lock().unwrap().push(serde_json::from_slice(&frame.json).unwrap());
        Offer::Taken
    }
    fn close(&mut self, reason: CloseReason) {
        *self.closed.lock().unwrap() = Some(reason);
    }
}

/// A store that outlives the server.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<RoomId, RoomRecord>>>);

impl RoomStore for Kept {
    fn load(&self) -> Vec<RoomRecord> {
        self.0.lock().unwrap().values().cloned().collect()
    }
    fn save(&self, record: &RoomRecord) {
        self.0.lock().unwrap().insert(record.room.clone(), record.clone());
    }
    fn end_session(&self, room: &RoomId, session: SessionId) {
        if let Some(record) = self.0.lock().unwrap().get_mut(room) {
            record.end_session(session);
        }
    }
    fn forget(&self, room: &RoomId) {
        self.0.lock().unwrap().remove(room);
    }
}

/// A media plane that records what it is told to record.
#[derive(Clone, Default)]
struct Recorder {
    scopes: Arc<Mutex<Vec<RecordScope>>>,
    captions: Arc<Mutex<Vec<String>>>,
}

impl MediaPlane for Recorder {
    fn demand(&self, _room: &RoomId, demand: MediaDemand) {
        match demand {
            MediaDemand::Record { scope, .. } => self.scopes.lock().unwrap().push(scope),
            MediaDemand::Caption(caption) => self.captions.lock().unwrap().push(caption.text.to_string()),
            _ => {}
        }
    }
}

/// Records what happens in rooms of meetings.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<RoomHappening>>>);

impl RoomObserver for Watcher {
    fn happened(&self, happening: Happening) {
        self.0.lock().unwrap().push(happening.what);
    }
}

struct Person {
    seat: Seat,
    secret: String,
    connection: ConnectionId,
    screen: Screen,
    seq: u64,
    last_id: u64,
}

pub(crate) struct Stage {
    pub(crate) now: Timestamp,
    shard: Shard,
    key: ServerKey,
    store: Kept,
    log: MemoryLog,
    recorder: Recorder,
    watcher: Watcher,
    /// The room of a meeting, passed with every join.
    pub(crate) meeting: Option<Arc<RoomRecord>>,
    /// When the meeting was looked up; by default at the time of the join.
    pub(crate) looked_up_at: Option<Timestamp>,
    /// The join token of the next joins, as the authenticator knows it.
    pub(crate) token: Option<TokenIdentity>,
    people: BTreeMap<&'static str, Person>,
    connections: u64,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (now, key) = (Timestamp::from_millis(1_790_000_000_000), ServerKey::new([5; 32]));
        let (store, log) = (Kept::default(), MemoryLog::default());
        let (recorder, watcher) = (Recorder::default(), Watcher::default());
        let shard = shard(&key, &store, &log, &recorder, &watcher, now, Vec::new());
        let (meeting, looked_up_at, token, people) = (None, None, None, BTreeMap::new());
        let connections = 0;
        Self {
            now,
            shard,
            key,
            store,
            log,
            recorder,
            watcher,
            meeting,
            looked_up_at,
            token,
            people,
            connections,
        }
    }

    fn connection(&mut self) -> (NewConnection, ConnectionId, Screen) {
        self.connections += 1;
        let (id, screen) = (ConnectionId(self.connections), Screen::default());
        (NewConnection { id, outbound: Box::new(screen.clone()) }, id, screen)
    }

    fn grant(&self) -> Grant {
        let known = self.token.is_some();
        let token = self.token.clone();
        let pass = if known { Pass::Admitted } else { Pass::None };
        Grant { may_create: true, pass, token_known: known, token, ..Grant::default() }
    }

    /// Joins `room`, with further fields. Returns the welcome or the error.
    pub(crate) fn join(&mut self, who: &'static str, more: Value) -> Value {
        let mut message = json!({"type": "join", "room": "room", "name": who, "topology": "auto"});
        let Value::Object(more) = more else { panic!("not an object: {more}") };
        for (field, value) in more {
            message[field] = value;
        }
        let ClientMessage::Join(join) = decode(&message) else { unreachable!() };
        let arranged = self
            .meeting
            .clone()
            .map(|record| Arranged { record, as_of: self.looked_up_at.unwrap_or(self.now) });
        let grant = Grant { arranged, ..self.grant() };
        let (connection, id, screen) = self.connection();
        match self.shard.join(self.now, &join, &grant, Some((connection, None))) {
            Ok((seat, welcome)) => {
                let welcome: Value = serde_json::from_slice(&welcome.json).unwrap();
                let secret = welcome["secret"].as_str().unwrap().to_owned();
                let last_id = welcome["lastId"].as_u64().unwrap();
                self.people.insert(who, Person { seat, secret, connection: id, screen, seq: 0, last_id });
                welcome
            }
            Err(refusal) => json!({"code": refusal.code}),
        }
    }

    /// A WHIP or WHEP client joins. Returns its seat, or the code of the error.
    pub(crate) fn join_media(&mut self, name: &str, role: &str, terms: MediaTerms) -> Result<Seat, String> {
        let message = json!({"type": "join", "room": "room", "name": name, "role": role});
        let ClientMessage::Join(join) = decode(&message) else { unreachable!() };
        let grant = self.grant();
        let asked = MediaJoin { join: *join, grant, terms };
        self.shard.join_media(self.now, &asked).map_err(|refusal| refusal.code.as_str().to_owned())
    }

    /// The media plane reports an event.
    pub(crate) fn media(&mut self, event: MediaEvent) {
        self.shard.media(self.now, &"room".parse().unwrap(), event);
    }

    pub(crate) fn knows(&self, seat: &Seat) -> bool {
        self.shard.knows(seat)
    }

    /// The connection is lost; the session stays.
    pub(crate) fn lose(&mut self, who: &str) {
        let person = &self.people[who];
        self.shard.detach(self.now, &person.seat, person.connection);
    }

    /// The secret of the session.
    pub(crate) fn secret(&self, who: &str) -> String {
        self.people[who].secret.clone()
    }

    /// Resumes the session. Returns the welcome or the error.
    pub(crate) fn resume(&mut self, who: &str) -> Value {
        let secret = self.secret(who);
        self.resume_with(who, &secret)
    }

    /// As [`Self::resume`], with an earlier secret.
    pub(crate) fn resume_with(&mut self, who: &str, secret: &str) -> Value {
        let (connection, id, screen) = self.connection();
        let person = self.people.get_mut(who).unwrap();
        let claims = SessionClaims::open(&self.key, secret).unwrap();
        match self.shard.resume(self.now, &claims, person.last_id, Some((connection, None))) {
            Ok((_, welcome)) => {
                (person.connection, person.screen) = (id, screen);
                serde_json::from_slice(&welcome.json).unwrap()
            }
            Err(refusal) => json!({"code": refusal.code}),
        }
    }

    /// A room for a meeting with an id made by the server, and its host token.
    pub(crate) fn arrange(&mut self, starts_at: Option<Timestamp>) -> (RoomRecord, String) {
        let mut entropy = SeededEntropy::new(77);
        let room = RoomId::made_by_server(&self.key, &mut entropy);
        let life = LifeId::random(&mut entropy);
        let mut record = RoomRecord::new(room.clone(), life, self.now, TopologyChoice::Auto);
        record.meeting = Some(MeetingTerms { starts_at, ..MeetingTerms::default() });
        let token = HostClaims { room, life }.seal(&self.key, &mut entropy);
        (record, token)
    }

    /// The meeting has changed.
    pub(crate) fn rearrange(&mut self, record: RoomRecord) -> bool {
        self.shard.arrange(self.now, Box::new(record))
    }

    /// What happened in rooms of meetings since the last call.
    pub(crate) fn happenings(&self) -> Vec<RoomHappening> {
        std::mem::take(&mut *self.watcher.0.lock().unwrap())
    }

    pub(crate) fn peer(&self, who: &str) -> String {
        self.people[who].seat.peer.to_string()
    }

    /// Sends a message. Returns `ack`, the code of the error, or `nothing` if there is no answer. Events are kept.
    pub(crate) fn say(&mut self, who: &str, mut message: Value) -> String {
        let person = self.people.get_mut(who).unwrap();
        person.seq += 1;
        message["seq"] = person.seq.into();
        let envelope = JsonCodec::default().decode(message.to_string().as_bytes());
        self.shard.receive(self.now, &person.seat, Some(person.connection), envelope, None);
        let mut frames = person.screen.frames.lock().unwrap();
        let answer = frames.iter().position(|frame| frame["seq"] == person.seq);
        let Some(answer) = answer.map(|at| frames.remove(at)) else { return "nothing".to_owned() };
        answer["code"].as_str().or(answer["type"].as_str()).unwrap().to_owned()
    }

    /// Sends the last message again, as a client does that had no answer. Returns the answer as [`Self::say`] does.
    pub(crate) fn repeat(&mut self, who: &str, message: Value) -> String {
        self.people.get_mut(who).unwrap().seq -= 1;
        self.say(who, message)
    }

    /// The lives of rooms of which chat is kept.
    pub(crate) fn kept_lives(&self) -> Vec<LifeId> {
        self.log.lives()
    }

    /// The events since the last call, without heartbeats and welcomes.
    pub(crate) fn heard(&mut self, who: &str) -> Vec<Value> {
        let person = self.people.get_mut(who).unwrap();
        let mut events = std::mem::take(&mut *person.screen.frames.lock().unwrap());
        person.last_id =
            events.iter().filter_map(|event| event["id"].as_u64()).fold(person.last_id, u64::max);
        events.retain(|event| !["ping", "welcome"].contains(&event["type"].as_str().unwrap()));
        events
    }

    pub(crate) fn was_let_go(&self, who: &str) -> Option<CloseReason> {
        *self.people[who].screen.closed.lock().unwrap()
    }

    /// What the media plane was told to record since the last call.
    pub(crate) fn recordings(&self) -> Vec<RecordScope> {
        std::mem::take(&mut *self.recorder.scopes.lock().unwrap())
    }

    /// The captions that the media plane was given since the last call.
    pub(crate) fn recorded_captions(&self) -> Vec<String> {
        std::mem::take(&mut *self.recorder.captions.lock().unwrap())
    }

    /// A program sends a line of captions. Returns the code of the error, if there is one.
    pub(crate) fn caption(&mut self, source: &str, text: &str, is_final: bool) -> &'static str {
        let caption = Caption { source: Name::parse(source).unwrap(), text: text.into(), is_final };
        let sent = self.shard.caption(self.now, &"room".parse().unwrap(), &caption);
        sent.map_or_else(|refusal| refusal.code.as_str(), |()| "")
    }

    /// A program sends a message to everybody. Returns the code of the error, if there is one.
    pub(crate) fn announce(&mut self, name: &str, text: &str) -> &'static str {
        let announcement = Announcement { name: Name::parse(name).unwrap(), text: text.into() };
        let sent = self.shard.announce(self.now, &"room".parse().unwrap(), &announcement);
        sent.map_or_else(|refusal| refusal.code.as_str(), |()| "")
    }

    /// The life of the room.
    pub(crate) fn life(&self) -> LifeId {
        self.shard.summary(&"room".parse().unwrap()).unwrap().life
    }

    /// The recording is started or stopped from outside. Returns the code of the error, if there is one.
    pub(crate) fn record(&mut self, life: Option<LifeId>, on: bool) -> &'static str {
        let asked = self.shard.record(self.now, &"room".parse().unwrap(), life, on);
        asked.map_or_else(|refusal| refusal.code.as_str(), |()| "")
    }

    /// Time passes; connected people send something every ten seconds.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let due = self.shard.poll_timeout().unwrap_or(end);
            self.now =
                due.min(self.now + Duration::from_secs(10)).min(end).max(self.now + Duration::from_millis(1));
            self.shard.handle_timeout(self.now);
            for person in self.people.values() {
                let ping = JsonCodec::default().decode(br#"{"type":"ping"}"#);
                self.shard.receive(self.now, &person.seat, Some(person.connection), ping, None);
                person.screen.frames.lock().unwrap().retain(|frame| frame["type"] != "pong");
            }
        }
    }

    /// The machine's clock is set to `wall`, while the trusted clock shows `settled`.
    pub(crate) fn set_clock(&mut self, wall: Timestamp, settled: Option<Timestamp>) {
        self.shard.set_wall(Wall::new(self.now, wall, settled));
    }

    /// The process ends without notice, and a new one takes its place, with another clock.
    pub(crate) fn restart_at(&mut self, now: Timestamp) {
        self.now = now;
        self.restart();
    }

    /// The process ends without notice, and a new one takes its place.
    pub(crate) fn restart(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        let records = self.store.clone().load();
        self.shard =
            shard(&self.key, &self.store, &self.log, &self.recorder, &self.watcher, self.now, records);
    }
}

fn decode(message: &Value) -> ClientMessage {
    JsonCodec::default().decode(message.to_string().as_bytes()).unwrap().message
}

fn shard(
    key: &ServerKey,
    store: &Kept,
    log: &MemoryLog,
    recorder: &Recorder,
    watcher: &Watcher,
    now: Timestamp,
    records: Vec<RoomRecord>,
) -> Shard {
    let environment = Environment {
        rules: Arc::new(Rules { sfu: true, recorder: true, ..Rules::new(key.clone()) }),
        media: Arc::new(recorder.clone()),
        store: Arc::new(store.clone()),
        log: Arc::new(log.clone()),
        observer: Arc::new(watcher.clone()),
        entropy: Box::new(SeededEntropy::new(now.as_millis())),
        ..Environment::new(key.clone())
    };
    Shard::new(environment, now, records)
}
