//! A server and its clients in virtual time, and what each client must have seen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::room::RoomRecord;
use signaling_core::testing::{MemoryLog, SeededEntropy};
use signaling_core::{
    ClientMessage, CloseReason, Code, ConnectionId, Environment, Frame, Grant, JsonCodec, Limits,
    NewConnection, Offer, Outbound, RequestId, RoomId, RoomStore, Rules, Seat, ServerKey, SessionClaims,
    SessionId, Shard, Timestamp,
};

/// The frames that a connection has taken, and why the server closed it.
#[derive(Default)]
pub(crate) struct Pipe {
    frames: Vec<Arc<Frame>>,
    capacity: usize,
    refused: bool,
    closed: Option<CloseReason>,
}

struct PipeEnd(Arc<Mutex<Pipe>>);

impl Outbound for PipeEnd {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        let mut pipe = self.0.lock().unwrap();
        assert!(pipe.closed.is_none(), "a frame after the last word");
        if pipe.frames.len() >= pipe.capacity {
            pipe.refused = true;
            return Offer::Full;
        }
        pipe.frames.push(Arc::clone(frame));
        Offer::Taken
    }

    fn close(&mut self, reason: CloseReason) {
        let before = self.0.lock().unwrap().closed.replace(reason);
        assert_eq!(before, None, "closed twice");
    }
}

/// How a client gets its events.
#[derive(Clone, Copy)]
pub(crate) enum TransportKind {
    Duplex,
    EventStream,
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

/// A client with a page.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) room: String,
    session: Option<Session>,
    connection: Option<(ConnectionId, Arc<Mutex<Pipe>>)>,
    /// Other peers in the room, as far as the client knows.
    pub(crate) others: BTreeSet<String>,
    /// The other peers that are away.
    away: BTreeSet<String>,
    last_id: u64,
    next_seq: u64,
    unanswered: BTreeMap<u64, Sent>,
    /// The greatest `seq` that the server knew when the session was resumed last.
    last_seq: u64,
    /// The cursor of its welcome or of the last snapshot: earlier signals to it may be lost.
    since: u64,
    /// Where the chat begins that it must have received.
    start: u64,
    /// Chat from the start on, by the ids of its events.
    heard: BTreeMap<u64, String>,
    /// Signals to it since the last gap.
    signals: Vec<String>,
    /// Acknowledged signals of other clients to this one.
    owed: BTreeSet<String>,
}

impl Client {
    fn is_peer(&self, peer: &Value) -> bool {
        self.session.as_ref().is_some_and(|session| *peer == session.peer)
    }
}

/// A message that waits for its answer.
#[derive(Debug)]
struct Sent {
    message: Value,
    /// For a signal: the receiving client, and its `since` when the signal was sent.
    to: Option<(usize, u64)>,
}

struct Session {
    seat: Seat,
    secret: String,
    peer: String,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    shard: Shard,
    store: Kept,
    log: MemoryLog,
    codec: Arc<JsonCodec>,
    key: ServerKey,
    pub(crate) random: SeededEntropy,
    next_connection: u64,
    said: u64,
    /// The first client of each room is its witness: it never loses anything, and other clients are compared with it.
    pub(crate) clients: Vec<Client>,
    rooms: usize,
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize, rooms: usize) -> Self {
        let mut random = SeededEntropy::new(seed);
        let now = Timestamp::from_millis(1_790_000_000_000 + random.next_u64() % 100_000);
        let key = ServerKey::new([3; 32]);
        let (store, log) = (Kept::default(), MemoryLog::default());
        let shard = shard(&key, &store, &log, now, random.next_u64(), Vec::new());
        let clients = (0..clients).map(|index| Client {
            name: format!("c{index}"),
            room: format!("room{}", index % rooms),
            ..Client::default()
        });
        let clients = clients.collect();
        let codec = Arc::new(JsonCodec::default());
        let mut world =
            Self { now, shard, store, log, codec, key, random, next_connection: 0, said: 0, clients, rooms };
        for witness in 0..rooms {
            world.join(witness);
        }
        world
    }

    pub(crate) fn is_witness(&self, index: usize) -> bool {
        index < self.rooms
    }

    pub(crate) fn is_in(&self, index: usize) -> bool {
        self.clients[index].session.is_some()
    }

    pub(crate) fn is_connected(&self, index: usize) -> bool {
        self.clients[index].connection.is_some()
    }

    fn connection(&mut self) -> (NewConnection, ConnectionId, Arc<Mutex<Pipe>>) {
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        let pipe = Arc::new(Mutex::new(Pipe { capacity: 32, ..Pipe::default() }));
        (NewConnection { id, outbound: Box::new(PipeEnd(Arc::clone(&pipe))) }, id, pipe)
    }

    fn decode(&self, message: &Value) -> ClientMessage {
        self.codec.decode(message.to_string().as_bytes()).unwrap().message
    }

    pub(crate) fn join(&mut self, index: usize) {
        let client = &self.clients[index];
        let message = json!({"type": "join", "room": client.room, "name": client.name, "topology": "mesh"});
        let ClientMessage::Join(join) = self.decode(&message) else { unreachable!() };
        let grant = Grant { may_create: true, ..Grant::default() };
        let (connection, id, pipe) = self.connection();
        let welcome = match self.shard.join(self.now, &join, &grant, Some((connection, None))) {
            Ok((_, welcome)) => welcome,
            Err(refusal) => {
                assert_eq!(refusal.code, Code::RoomEnded, "{refusal}");
                return;
            }
        };
        let welcome: Value = serde_json::from_slice(&welcome.json).unwrap();
        let client = &mut self.clients[index];
        *client = Client { name: client.name.clone(), room: client.room.clone(), ..Client::default() };
        client.session = Some(Session {
            seat: Seat {
                room: client.room.parse().unwrap(),
                peer: text(&welcome, "/self/id").parse().unwrap(),
                session: text(&welcome, "/session").parse().unwrap(),
            },
            secret: text(&welcome, "/secret"),
            peer: text(&welcome, "/self/id"),
        });
        // Of the earlier chat, a newcomer must receive the newest fifty; the welcome's cursor says where they begin.
        client.last_id = welcome["lastId"].as_u64().unwrap();
        (client.since, client.start) = (client.last_id, client.last_id);
        client.connection = Some((id, pipe));
        self.read(index);
    }

    /// Resumes the session, over a connection of its own, or over HTTP with an event stream after it.
    pub(crate) fn resume(&mut self, index: usize, kind: TransportKind) {
        let Some(session) = &self.clients[index].session else { return };
        let claims = SessionClaims::open(&self.key, &session.secret).unwrap();
        let last_id = self.clients[index].last_id;
        let (connection, id, pipe) = self.connection();
        let resumed = match kind {
            TransportKind::Duplex => {
                self.shard.resume(self.now, &claims, last_id, Some((connection, None))).map(|_| ())
            }
            TransportKind::EventStream => {
                self.shard.resume(self.now, &claims, last_id, None).map(|(_, welcome)| {
                    let welcome = serde_json::from_slice(&welcome.json).unwrap();
                    self.handle(index, &welcome);
                    let given = (self.random.below(2) == 0).then_some(last_id);
                    self.shard.attach(self.now, &claims, given, || connection).unwrap();
                })
            }
        };
        match resumed {
            Ok(()) => {
                self.clients[index].connection = Some((id, pipe));
                self.read(index);
                self.resend(index);
            }
            Err(refusal) => {
                let over = [Code::SessionUnknown, Code::RoomEnded];
                assert!(over.contains(&refusal.code), "a resume was refused: {refusal}");
                self.forget(index);
            }
        }
    }

    /// The session has ended, and the client must receive nothing more.
    fn forget(&mut self, index: usize) {
        let client = &mut self.clients[index];
        *client = Client { name: client.name.clone(), room: client.room.clone(), ..Client::default() };
    }

    /// The client's connection breaks; the server may or may not notice.
    pub(crate) fn lose(&mut self, index: usize, noticed: bool) {
        let client = &mut self.clients[index];
        let (Some((id, _)), Some(session)) = (client.connection.take(), &client.session) else { return };
        if noticed {
            let seat = session.seat.clone();
            self.shard.detach(self.now, &seat, id);
        }
    }

    pub(crate) fn leave(&mut self, index: usize) {
        if self.is_connected(index) {
            self.send(index, json!({"type": "leave"}));
            assert!(!self.is_in(index) || self.clients[index].connection.is_none());
            self.forget(index);
        }
    }

    /// Sends a new chat message.
    pub(crate) fn chat(&mut self, index: usize) {
        self.said += 1;
        let room = &self.clients[index].room;
        let text = format!("{room}/{}", self.said);
        self.send(index, json!({"type": "chat", "text": text}));
    }

    pub(crate) fn signal(&mut self, index: usize) {
        let others: Vec<_> = self.clients[index].others.iter().cloned().collect();
        if others.is_empty() {
            return;
        }
        let to = &others[self.random.below(others.len())];
        self.said += 1;
        let text = format!("{}/{}>{to}", self.clients[index].room, self.said);
        let size = if self.random.below(20) == 0 { 60_000 } else { 10 };
        let candidate = json!({"candidate": text, "padding": "x".repeat(size)});
        self.send(index, json!({"type": "signal", "to": to, "epoch": 1, "candidate": candidate}));
    }

    fn send(&mut self, index: usize, mut message: Value) {
        let to = self.clients.iter().position(|other| other.is_peer(&message["to"]));
        let to = to.map(|to| (to, self.clients[to].since));
        let client = &mut self.clients[index];
        client.next_seq += 1;
        message["seq"] = client.next_seq.into();
        client.unanswered.insert(client.next_seq, Sent { message: message.clone(), to });
        self.transmit(index, &message);
        // A repetition must change nothing.
        if self.random.below(10) == 0 {
            self.transmit(index, &message);
        }
        self.read_all();
    }

    /// Sends the messages again that were not answered before the connection broke.
    fn resend(&mut self, index: usize) {
        let again: Vec<_> =
            self.clients[index].unanswered.values().map(|sent| sent.message.clone()).collect();
        for message in again {
            self.transmit(index, &message);
        }
        self.read_all();
    }

    fn transmit(&mut self, index: usize, message: &Value) {
        let client = &self.clients[index];
        let (Some((id, _)), Some(session)) = (&client.connection, &client.session) else { return };
        let envelope = self.codec.decode(message.to_string().as_bytes());
        // An event stream's client posts; the server cannot tell which of its requests belong to which stream.
        let connection = (self.random.below(2) == 0).then_some(*id);
        let seat = session.seat.clone();
        self.shard.receive(self.now, &seat, connection, envelope, None);
    }

    /// How much the client's connection takes before it is full.
    pub(crate) fn set_capacity(&mut self, index: usize, capacity: usize) {
        if let Some((_, pipe)) = &self.clients[index].connection {
            pipe.lock().unwrap().capacity = capacity;
        }
    }

    pub(crate) fn read_all(&mut self) {
        for index in 0..self.clients.len() {
            self.read(index);
        }
    }

    fn read(&mut self, index: usize) {
        loop {
            let Some((id, pipe)) = self.clients[index].connection.clone() else { return };
            let (frames, refused, closed) = {
                let mut pipe = pipe.lock().unwrap();
                if pipe.capacity == 0 && pipe.closed.is_none() {
                    return;
                }
                (std::mem::take(&mut pipe.frames), std::mem::take(&mut pipe.refused), pipe.closed)
            };
            for frame in frames {
                let event = serde_json::from_slice(&frame.json).unwrap();
                self.handle(index, &event);
            }
            if closed.is_some() {
                self.clients[index].connection = None;
                return;
            }
            if !refused {
                return;
            }
            let Some(session) = &self.clients[index].session else { return };
            let seat = session.seat.clone();
            self.shard.writable(self.now, &seat, id);
        }
    }

    fn handle(&mut self, index: usize, event: &Value) {
        if let Some(id) = event["id"].as_u64() {
            let client = &mut self.clients[index];
            assert!(id > client.last_id, "{} got {id} after {}: {event}", client.name, client.last_id);
            client.last_id = id;
        }
        match event["type"].as_str().unwrap() {
            "welcome" => {
                let client = &mut self.clients[index];
                if event["resumed"] == true {
                    assert!(event.get("peers").is_none());
                    assert_eq!(event["lastId"].as_u64().unwrap(), client.last_id);
                    client.last_seq = event["lastSeq"].as_u64().unwrap();
                    let session = client.session.as_mut().unwrap();
                    assert_eq!(text(event, "/self/id"), session.peer, "the same peer as before");
                    session.secret = text(event, "/secret");
                } else {
                    (client.others, client.away) = (peers(&event["peers"]), away(&event["peers"]));
                }
            }
            "snapshot" => {
                assert_eq!(event["gap"], true);
                let client = &mut self.clients[index];
                (client.others, client.away) = (peers(&event["peers"]), away(&event["peers"]));
                let cursor = std::mem::replace(&mut client.last_id, event["lastId"].as_u64().unwrap());
                assert!(client.last_id >= cursor, "{} goes back from {cursor}: {event}", client.name);
                client.since = client.last_id;
                client.signals.clear();
                client.owed.clear();
                // A restarted server knows of chat alone what has taken effect: another repetition could do so twice.
                let last_seq = client.last_seq;
                client.unanswered.retain(|seq, sent| *seq > last_seq && sent.message["type"] == "chat");
                self.chat_follows(index, cursor);
            }
            "peer-joined" => {
                let peer = text(event, "/peer/id");
                self.note_presence(index, &event["peer"]);
                assert!(self.clients[index].others.insert(peer), "joined twice: {event}");
            }
            "peer-updated" => self.note_presence(index, &event["peer"]),
            "peer-left" => {
                let peer = text(event, "/peer");
                self.clients[index].away.remove(&peer);
                let own = self.clients[index].session.as_ref().is_some_and(|session| session.peer == peer);
                assert!(own || self.clients[index].others.remove(&peer), "left without being there: {event}");
            }
            "chat" => {
                let client = &mut self.clients[index];
                let said = text(event, "/text");
                assert!(said.starts_with(&format!("{}/", client.room)), "{said} came to {}", client.room);
                assert!(
                    !client.heard.values().any(|heard| *heard == said),
                    "{} heard {said} twice",
                    client.name
                );
                client.heard.insert(client.last_id, said);
            }
            "signal" => {
                let client = &mut self.clients[index];
                let said = text(event, "/candidate/candidate");
                let to = said.split_once('>').unwrap().1;
                assert_eq!(to, client.session.as_ref().unwrap().peer, "somebody else's signal");
                assert!(!client.signals.contains(&said), "{} got {said} twice", client.name);
                client.signals.push(said);
            }
            "ack" => {
                let seq = event["seq"].as_u64().unwrap();
                let sent = self.clients[index].unanswered.remove(&seq);
                // Who left and came again is another peer, whose cursor may be the same: at the oldest chat kept.
                if let Some(Sent { message, to: Some((to, since)) }) = sent
                    && self.clients[to].since == since
                    && self.clients[to].is_peer(&message["to"])
                {
                    self.clients[to].owed.insert(text(&message, "/candidate/candidate"));
                }
            }
            "error" => {
                let code = event["code"].as_str().unwrap();
                assert_eq!(code, "peer-unknown", "{event}");
                self.clients[index].unanswered.remove(&event["seq"].as_u64().unwrap());
            }
            "ping" | "room-updated" | "room-ended" => {}
            other => panic!("an event that nothing led to: {other}"),
        }
    }

    /// After a gap a client is given the latest fifty chat messages, as far as it has not heard them.
    fn chat_follows(&mut self, index: usize, cursor: u64) {
        let witness = &self.clients[index % self.rooms].heard;
        let oldest =
            witness.keys().nth_back(49).or_else(|| witness.keys().next()).copied().unwrap_or_default();
        let lost = witness.range(cursor + 1..).any(|(id, _)| *id < oldest);
        let client = &mut self.clients[index];
        if lost {
            client.start = oldest - 1;
            client.heard.clear();
        }
    }

    fn note_presence(&mut self, index: usize, peer: &Value) {
        let id = text(peer, "/id");
        let away = &mut self.clients[index].away;
        if peer["away"] == true {
            away.insert(id)
        } else {
            away.remove(&id)
        };
    }

    /// Time passes; connected clients that read send something every ten seconds.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let step =
                self.shard.poll_timeout().unwrap_or(end).min(self.now + Duration::from_secs(10)).min(end);
            self.now = step.max(self.now + Duration::from_millis(1));
            self.shard.handle_timeout(self.now);
            assert!(
                self.shard.poll_timeout().is_none_or(|due| due > self.now),
                "a timer that is due stays due"
            );
            self.read_all();
            for index in 0..self.clients.len() {
                let reads = self.clients[index]
                    .connection
                    .as_ref()
                    .is_some_and(|(_, pipe)| pipe.lock().unwrap().capacity > 0);
                if reads {
                    self.transmit(index, &json!({"type": "ping"}));
                }
            }
            self.drain_pongs();
        }
    }

    fn drain_pongs(&mut self) {
        for client in &mut self.clients {
            if let Some((_, pipe)) = &client.connection {
                pipe.lock().unwrap().frames.retain(|frame| !frame.json.starts_with(b"{\"type\":\"pong\""));
            }
        }
        self.read_all();
    }

    /// The process ends without notice, and a new one takes its place.
    pub(crate) fn restart(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        let records = self.store.clone().load();
        let seed = self.random.next_u64();
        self.shard = shard(&self.key, &self.store, &self.log, self.now, seed, records);
        for client in &mut self.clients {
            client.connection = None;
        }
        for witness in 0..self.rooms {
            self.resume(witness, TransportKind::Duplex);
        }
    }

    /// Every client with a session returns; then all must agree on who is there.
    pub(crate) fn settle(&mut self) {
        for index in 0..self.clients.len() {
            self.set_capacity(index, 32);
            self.read(index);
            if self.is_in(index) && !self.is_connected(index) {
                self.resume(index, TransportKind::Duplex);
            }
        }
        // Clients that do not return are removed after the resume window.
        self.pass(Duration::from_secs(45));
        for index in 0..self.clients.len() {
            if self.is_in(index) && !self.is_connected(index) {
                self.resume(index, TransportKind::Duplex);
            }
        }
        self.read_all();
        for client in &self.clients {
            let Some(session) = &client.session else { continue };
            let others = self.clients.iter().filter(|other| other.room == client.room);
            let others: BTreeSet<_> = others
                .filter_map(|other| other.session.as_ref())
                .map(|other| other.peer.clone())
                .filter(|peer| *peer != session.peer)
                .collect();
            assert_eq!(client.others, others, "who {} sees in {}", client.name, client.room);
            assert_eq!(client.away, BTreeSet::new(), "all are back, says {} in {}", client.name, client.room);
            assert!(client.unanswered.is_empty(), "{} has no answer to {:?}", client.name, client.unanswered);
        }
    }

    /// Every client in a room has received all that the room's witness has since it joined, and every signal to it.
    pub(crate) fn nothing_is_missing(&self) {
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| client.session.is_some())
        {
            let witness = &self.clients[index % self.rooms];
            let start = client.start.max(witness.start);
            let since = |heard: &BTreeMap<u64, String>| {
                heard.range(start + 1..).map(|(id, said)| (*id, said.clone())).collect::<Vec<_>>()
            };
            assert_eq!(since(&client.heard), since(&witness.heard), "what {} heard", client.name);
            let got: BTreeSet<_> = client.signals.iter().cloned().collect();
            assert!(
                client.owed.is_subset(&got),
                "{} lacks signals: {:?}",
                client.name,
                client.owed.difference(&got)
            );
        }
    }
}

fn shard(
    key: &ServerKey,
    store: &Kept,
    log: &MemoryLog,
    now: Timestamp,
    seed: u64,
    records: Vec<RoomRecord>,
) -> Shard {
    // Small enough for the sequences to reach.
    let mut limits = Limits::default();
    (limits.log_bytes, limits.outbox_bytes, limits.lag_bytes) = (200_000, 150_000, 100_000);
    let environment = Environment {
        rules: Arc::new(Rules { limits, ..Rules::new(key.clone()) }),
        store: Arc::new(store.clone()),
        log: Arc::new(log.clone()),
        entropy: Box::new(SeededEntropy::new(seed)),
        ..Environment::new(key.clone())
    };
    Shard::new(environment, now, records)
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
        .to_owned()
}

fn away(list: &Value) -> BTreeSet<String> {
    let away = list.as_array().unwrap().iter().filter(|peer| peer["away"] == true);
    away.map(|peer| text(peer, "/id")).collect()
}

fn peers(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|peer| text(peer, "/id")).collect()
}
