//! Three nodes, their links, the log of one room and its clients, in virtual time.
//!
//! Nodes crash, stall, and are cut off from each other, from the log, or from both; the log is out of reach or loses all it
//! has. Then everything heals, and what clients were told and what the log has must agree.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod client;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use signaling_core::room::Fact;
use signaling_core::testing::SeededEntropy;
use signaling_core::{
    ClientMessage, CloseReason, Code, ConnectionId, Environment, Grant, JsonCodec, Limits, LogEvent,
    NewConnection, NodeId, OwnershipRule, PeerMessage, Peers, RequestId, RoomId, RoomSnapshot, Rules,
    ServerKey, SessionClaims, Shard, Timestamp,
};

use self::client::{Client, PipeEnd, Transport};
use self::log::{LogEnd, Question, TheLog};

const NODES: usize = 3;
const CLIENTS: usize = 5;
/// When faults begin and end, and when all must agree again, in milliseconds.
const FAULTS: u64 = 5_000;
const CALM: u64 = 90_000;
const END: u64 = 150_000;

type Posted = Arc<Mutex<Vec<(NodeId, PeerMessage)>>>;

struct PeersEnd(NodeId, Posted);

impl Peers for PeersEnd {
    fn node(&self) -> NodeId {
        self.0
    }
    fn send(&self, to: NodeId, _room: &RoomId, message: PeerMessage) {
        self.1.lock().unwrap().push((to, message));
    }
}

struct Node {
    shard: Option<Shard>,
    life: u64,
    stalled_until: u64,
    posted: Posted,
    questions: Arc<Mutex<Vec<Question>>>,
}

/// Two places with a connection between them; the last place is the log.
type Pair = (usize, usize);
const LOG: usize = NODES;

fn pair(one: usize, two: usize) -> Pair {
    (one.min(two), one.max(two))
}

enum Event {
    /// A message arrives, unless its link has broken since.
    Peer {
        from: usize,
        to: usize,
        link: u64,
        message: PeerMessage,
    },
    /// A node learns that its link to another one has broken.
    Lost {
        at: usize,
        of: usize,
    },
    Asked {
        life: u64,
        question: Question,
    },
    Answered {
        node: usize,
        life: u64,
        attempt: u64,
        answer: LogEvent,
    },
    Connect {
        client: usize,
    },
    OpenStream {
        client: usize,
        tries: u64,
    },
    Say {
        client: usize,
    },
    Ping {
        client: usize,
    },
    Move {
        client: usize,
    },
    Fault,
    Mend(Vec<Pair>),
    LogBack,
    Start {
        node: usize,
    },
    Calm,
}

pub(crate) struct Cluster {
    now: u64,
    random: SeededEntropy,
    key: ServerKey,
    room: RoomId,
    nodes: Vec<Node>,
    log: TheLog,
    is_log_up: bool,
    loses_log: bool,
    was_log_lost: bool,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    cut: Vec<Pair>,
    /// The number of the present link of two nodes.
    links: BTreeMap<Pair, u64>,
    /// Nodes that have not learnt yet that their link has broken.
    unaware: BTreeSet<(usize, usize)>,
    /// When the last message between two nodes arrives.
    arrivals: BTreeMap<(usize, usize), u64>,
    clients: Vec<Client>,
    connections: u64,
    is_calm: bool,
}

impl Cluster {
    pub(crate) fn new(seed: u64, broken: Option<OwnershipRule>) -> Self {
        let key = ServerKey::new([8; 32]);
        let random = SeededEntropy::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(7));
        let at_once = Arc::new(Mutex::new(Some(TheLog::new(broken != Some(OwnershipRule::Fence)))));
        let mut cluster = Self {
            now: 0,
            random,
            key,
            room: "room".parse().unwrap(),
            nodes: Vec::new(),
            log: TheLog::default(),
            is_log_up: true,
            loses_log: seed.is_multiple_of(4),
            was_log_lost: false,
            events: BTreeMap::new(),
            events_made: 0,
            cut: Vec::new(),
            links: BTreeMap::new(),
            unaware: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            clients: Vec::new(),
            connections: 0,
            is_calm: false,
        };
        for index in 0..NODES {
            let (posted, questions) = (Posted::default(), Arc::default());
            let node = Node { shard: None, life: 0, stalled_until: 0, posted, questions };
            cluster.nodes.push(node);
            cluster.start(index, &at_once);
        }
        (0..CLIENTS).for_each(|name| cluster.join(name));
        cluster.log = at_once.lock().unwrap().take().unwrap();
        for client in 0..CLIENTS {
            cluster.later(2_000, Event::Say { client });
            cluster.later(5_000, Event::Ping { client });
            let move_in = 1_000 + cluster.below(4_000);
            cluster.later(move_in, Event::Move { client });
        }
        cluster.later(FAULTS, Event::Fault);
        cluster.later(CALM, Event::Calm);
        cluster
    }

    fn below(&mut self, bound: usize) -> u64 {
        self.random.below(bound) as u64
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + self.now)
    }

    fn later(&mut self, wait: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((self.now + wait, self.events_made), event);
    }

    fn start(&mut self, index: usize, at_once: &Arc<Mutex<Option<TheLog>>>) {
        let (seed, now, id) = (self.random.next_u64(), self.time(), NodeId(index as u64));
        let node = &mut self.nodes[index];
        node.life += 1;
        node.posted.lock().unwrap().clear();
        node.questions.lock().unwrap().clear();
        let (questions, at_once) = (Arc::clone(&node.questions), Arc::clone(at_once));
        // Longer than all faults, so that nobody is thrown out with good reason.
        let mut limits = Limits::default();
        limits.resume_window = Duration::from_millis(CALM + 60_000);
        let environment = Environment {
            rules: Arc::new(Rules { limits, ..Rules::new(self.key.clone()) }),
            log: Arc::new(LogEnd { node: id, questions, at_once }),
            peers: Some(Arc::new(PeersEnd(id, Arc::clone(&node.posted)))),
            entropy: Box::new(SeededEntropy::new(seed)),
            ..Environment::new(self.key.clone())
        };
        node.shard = Some(Shard::new(environment, now, Vec::new()));
    }

    fn join(&mut self, name: usize) {
        let message = json!({"type": "join", "room": "room", "name": format!("c{name}"), "topology": "mesh"});
        let envelope = JsonCodec::default().decode(message.to_string().as_bytes()).unwrap();
        let ClientMessage::Join(join) = envelope.message else { unreachable!() };
        let grant = Grant { may_create: true, ..Grant::default() };
        let (now, connection, id, pipe) = self.connection();
        let shard = self.nodes[0].shard.as_mut().unwrap();
        let (seat, welcome) = shard.join(now, &join, &grant, Some((connection, None))).unwrap();
        let welcome: serde_json::Value = serde_json::from_slice(&welcome.json).unwrap();
        let last_id = welcome["lastId"].as_u64().unwrap();
        self.clients.push(Client {
            name,
            seat,
            secret: welcome["secret"].as_str().unwrap().to_owned(),
            connection: Some((0, id, pipe)),
            transport: Transport::WebSocket,
            tries: 0,
            last_id,
            next_seq: 0,
            unanswered: BTreeMap::new(),
            acknowledged: Vec::new(),
            told: Vec::new(),
            start: last_id,
            gaps: 0,
            wrong: Vec::new(),
            refused: Vec::new(),
            is_out: false,
        });
    }

    fn connection(&mut self) -> (Timestamp, NewConnection, ConnectionId, PipeEnd) {
        self.connections += 1;
        let (id, pipe) = (ConnectionId(self.connections), PipeEnd::default());
        (self.time(), NewConnection { id, outbound: Box::new(pipe.clone()) }, id, pipe)
    }

    /// Runs to the end. Returns what is wrong then.
    pub(crate) fn run(&mut self) -> Vec<String> {
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timer = (0..NODES).filter_map(|node| Some((self.timer(node)?, node))).min();
            let next = event.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at < END) else { break };
            self.now = next.max(self.now);
            if let Some((_, node)) = timer.filter(|(at, _)| event.is_none_or(|event| *at <= event)) {
                let now = self.time();
                self.nodes[node].shard.as_mut().unwrap().handle_timeout(now);
                self.collect(node);
            } else {
                let ((_, number), event) = self.events.pop_first().unwrap();
                self.handle(number, event);
            }
            self.read();
        }
        self.verdict()
    }

    fn timer(&self, node: usize) -> Option<u64> {
        let node = &self.nodes[node];
        let due = node.shard.as_ref()?.poll_timeout()?.as_millis();
        Some(due.saturating_sub(1_790_000_000_000).max(node.stalled_until).max(self.now))
    }

    /// Whether an event has to wait for a stalled node, and then is put off.
    fn stalls(&self, node: usize) -> Option<u64> {
        let until = self.nodes[node].stalled_until;
        (until > self.now && self.nodes[node].shard.is_some()).then(|| until - self.now)
    }

    fn handle(&mut self, number: u64, event: Event) {
        let node = match &event {
            Event::Peer { to: node, .. } | Event::Lost { at: node, .. } | Event::Answered { node, .. } => {
                Some(*node)
            }
            Event::Say { client } | Event::Ping { client } | Event::OpenStream { client, .. } => {
                self.clients[*client].connection.as_ref().map(|(node, ..)| *node)
            }
            _ => None,
        };
        if let Some(wait) = node.and_then(|node| self.stalls(node)) {
            // In its order.
            self.events.insert((self.now + wait, number), event);
            return;
        }
        let now = self.time();
        match event {
            Event::Peer { from, to, link, message } => {
                if self.links.get(&pair(from, to)).copied().unwrap_or(0) == link
                    && let Some(shard) = &mut self.nodes[to].shard
                {
                    shard.handle_peer(now, NodeId(from as u64), &self.room, message);
                    self.collect(to);
                }
            }
            Event::Lost { at, of } => {
                self.unaware.remove(&(at, of));
                if let Some(shard) = &mut self.nodes[at].shard {
                    shard.peer_lost(now, NodeId(of as u64));
                    self.collect(at);
                }
            }
            Event::Asked { life, question } => self.asked(life, question),
            Event::Answered { node, life, attempt, answer } => {
                if self.reaches_log(node)
                    && self.nodes[node].life == life
                    && let Some(shard) = &mut self.nodes[node].shard
                {
                    shard.handle_log(now, &self.room, attempt, answer);
                    self.collect(node);
                }
            }
            Event::Connect { client } => self.connect(client),
            Event::OpenStream { client, tries } => self.open_stream(client, tries),
            Event::Say { client } => self.say(client),
            Event::Ping { client } => {
                self.transmit(client, &json!({"type": "ping"}));
                self.later(5_000, Event::Ping { client });
            }
            Event::Move { client } => {
                if !self.is_calm {
                    if self.below(2) == 0 {
                        self.lose(client);
                    }
                    let wait = 1_000 + self.below(15_000);
                    self.later(wait, Event::Move { client });
                }
            }
            Event::Fault => self.fault(),
            Event::Mend(pairs) => {
                for mended in pairs {
                    if let Some(at) = self.cut.iter().position(|cut| *cut == mended) {
                        self.cut.swap_remove(at);
                    }
                }
            }
            Event::LogBack => self.is_log_up = true,
            Event::Start { node } => {
                if self.nodes[node].shard.is_none() {
                    self.start(node, &Arc::default());
                }
            }
            Event::Calm => self.calm_down(),
        }
    }

    /// Sends what a node has posted and asked.
    fn collect(&mut self, node: usize) {
        let posted = std::mem::take(&mut *self.nodes[node].posted.lock().unwrap());
        for (NodeId(to), mut message) in posted {
            if let PeerMessage::Followed { snapshot, .. } = &mut message {
                // As a link would carry it.
                **snapshot = RoomSnapshot::from_parts(&snapshot.to_parts().unwrap()).unwrap();
            }
            let to = usize::try_from(to).unwrap();
            let both = pair(node, to);
            let aware = !self.unaware.contains(&(node, to)) && !self.unaware.contains(&(to, node));
            if !aware || self.cut.contains(&both) || self.nodes[to].shard.is_none() || to == node {
                continue;
            }
            let link = *self.links.entry(both).or_default();
            let after = self.arrivals.get(&(node, to)).copied().unwrap_or(0);
            let at = (self.now + 1 + self.below(30)).max(after);
            self.arrivals.insert((node, to), at);
            self.later(at - self.now, Event::Peer { from: node, to, link, message });
        }
        let questions = std::mem::take(&mut *self.nodes[node].questions.lock().unwrap());
        let life = self.nodes[node].life;
        for question in questions {
            let wait = 1 + self.below(10);
            self.later(wait, Event::Asked { life, question });
        }
    }

    fn reaches_log(&self, node: usize) -> bool {
        self.is_log_up && !self.cut.contains(&pair(node, LOG))
    }

    fn asked(&mut self, life: u64, question: Question) {
        let Question { node: NodeId(node), attempt, asked } = question;
        let node = usize::try_from(node).unwrap();
        if self.reaches_log(node) {
            let answer = self.log.answer(asked);
            let wait = 1 + self.below(10);
            self.later(wait, Event::Answered { node, life, attempt, answer });
        }
    }

    fn break_link(&mut self, one: usize, two: usize) {
        *self.links.entry(pair(one, two)).or_default() += 1;
        for (at, of) in [(one, two), (two, one)] {
            if self.nodes[at].shard.is_some() && self.unaware.insert((at, of)) {
                let wait = [50, 3_000][self.random.below(2)];
                self.later(wait, Event::Lost { at, of });
            }
        }
    }

    fn cut_off(&mut self, pairs: Vec<Pair>, wait: u64) {
        for (one, two) in &pairs {
            self.cut.push((*one, *two));
            if *two != LOG {
                self.break_link(*one, *two);
            }
        }
        self.later(wait, Event::Mend(pairs));
    }

    fn fault(&mut self) {
        if self.is_calm {
            return;
        }
        let (kind, node) = (self.below(100), self.random.below(NODES));
        let wait = [50, 500, 3_000, 8_000, 20_000][self.random.below(5)];
        match kind {
            0..22 => self.crash(node, wait),
            22..42 => self.cut_off(vec![pair(node, (node + 1) % NODES)], wait),
            42..62 => self.cut_off(vec![pair(node, LOG)], wait),
            62..72 => {
                let others = (0..=NODES).filter(|other| *other != node);
                self.cut_off(others.map(|other| pair(node, other)).collect(), wait);
            }
            72..82 => {
                self.is_log_up = false;
                self.later(wait, Event::LogBack);
            }
            82..92 => {
                let node = &mut self.nodes[node];
                node.stalled_until = node.stalled_until.max(self.now + wait);
            }
            92..95 if self.loses_log => {
                self.log.lose();
                self.was_log_lost = true;
            }
            _ => {}
        }
        let wait = 500 + self.below(9_000);
        self.later(wait, Event::Fault);
    }

    fn crash(&mut self, node: usize, wait: u64) {
        if self.nodes[node].shard.take().is_none() {
            return;
        }
        self.nodes[node].stalled_until = 0;
        for other in (0..NODES).filter(|other| *other != node) {
            self.unaware.remove(&(node, other));
            self.break_link(node, other);
        }
        for client in 0..CLIENTS {
            if self.clients[client].connection.as_ref().is_some_and(|(at, ..)| *at == node) {
                self.clients[client].connection = None;
                self.reconnect(client);
            }
        }
        self.later(wait, Event::Start { node });
    }

    fn calm_down(&mut self) {
        self.is_calm = true;
        self.is_log_up = true;
        self.cut.clear();
        for node in 0..NODES {
            self.later(0, Event::Start { node });
        }
    }

    fn reconnect(&mut self, client: usize) {
        let wait = 50 + self.below(450);
        self.clients[client].tries += 1;
        self.later(wait, Event::Connect { client });
    }

    /// A client's connection breaks; its node may or may not notice.
    fn lose(&mut self, client: usize) {
        let noticed = self.below(2) == 0;
        let (now, it) = (self.time(), &mut self.clients[client]);
        if let Some((node, id, _)) = it.connection.take() {
            let seat = it.seat.clone();
            if noticed
                && self.stalls(node).is_none()
                && let Some(shard) = &mut self.nodes[node].shard
            {
                shard.detach(now, &seat, id);
                self.collect(node);
            }
            self.reconnect(client);
        }
    }

    fn connect(&mut self, client: usize) {
        let up: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].shard.is_some()).collect();
        if self.clients[client].connection.is_some() || self.clients[client].is_out {
            return;
        }
        if up.is_empty() {
            return self.reconnect(client);
        }
        let node = up[self.random.below(up.len())];
        if self.stalls(node).is_some() {
            // It waits for an answer, and tries another one.
            return self.later(4_000, Event::Connect { client });
        }
        let (now, connection, id, pipe) = self.connection();
        let kinds = [Transport::WebSocket, Transport::SocketIo, Transport::EventStream];
        let transport = kinds[self.random.below(kinds.len())];
        let it = &mut self.clients[client];
        it.transport = transport;
        let claims = SessionClaims::open(&self.key, &it.secret).unwrap();
        let shard = self.nodes[node].shard.as_mut().unwrap();
        let over = match transport {
            Transport::EventStream => None,
            Transport::WebSocket => Some((connection, None)),
            Transport::SocketIo => Some((connection, Some(RequestId(0)))),
        };
        let resumed = shard.resume(now, &claims, it.last_id, over);
        match resumed {
            Ok((_, welcome)) => {
                if transport == Transport::EventStream {
                    it.hear(&serde_json::from_slice(&welcome.json).unwrap());
                    it.connection = Some((node, id, pipe));
                    let tries = it.tries;
                    let wait = self.below(50);
                    self.later(wait, Event::OpenStream { client, tries });
                } else {
                    it.connection = Some((node, id, pipe));
                }
                self.resend(client);
            }
            Err(refusal) if refusal.code == Code::Overloaded => self.reconnect(client),
            Err(refusal) => {
                it.is_out = true;
                it.wrong.push(format!("thrown out: {refusal}"));
            }
        }
        self.collect(node);
    }

    /// The stream that follows a resume over HTTP.
    fn open_stream(&mut self, client: usize, tries: u64) {
        let it = &self.clients[client];
        let Some((node, id, pipe)) = it.connection.clone().filter(|_| it.tries == tries) else { return };
        let claims = SessionClaims::open(&self.key, &it.secret).unwrap();
        let last_id = (self.random.below(2) == 0).then_some(it.last_id);
        let now = self.time();
        let opened = self.nodes[node].shard.as_mut().map(|shard| {
            shard.attach(now, &claims, last_id, || NewConnection { id, outbound: Box::new(pipe) }).is_ok()
        });
        self.collect(node);
        if opened != Some(true) {
            self.clients[client].connection = None;
            self.reconnect(client);
        }
    }

    fn resend(&mut self, client: usize) {
        let again: Vec<_> = self.clients[client].unanswered.values().cloned().collect();
        for message in &again {
            self.transmit(client, message);
        }
    }

    fn say(&mut self, client: usize) {
        if !self.is_calm {
            let wait = 20 + self.below(780);
            self.later(wait, Event::Say { client });
        }
        let it = &mut self.clients[client];
        if self.is_calm || it.connection.is_none() || it.unanswered.len() >= 40 {
            return;
        }
        it.next_seq += 1;
        let (seq, text) = (it.next_seq, format!("{client}.{}", it.next_seq));
        let to = self.random.below(4 * CLIENTS);
        let message = match self.clients.get(to).filter(|to| to.name != client && !to.is_out) {
            Some(to) => {
                json!({"type": "signal", "to": to.seat.peer, "epoch": 1, "candidate": {"candidate": text}, "seq": seq})
            }
            None => json!({"type": "chat", "text": text, "seq": seq}),
        };
        self.clients[client].unanswered.insert(seq, message.clone());
        self.transmit(client, &message);
    }

    fn transmit(&mut self, client: usize, message: &serde_json::Value) {
        let (now, it) = (self.time(), &self.clients[client]);
        let Some((node, id, _)) = &it.connection else { return };
        let (connection, request) = match it.transport {
            Transport::WebSocket => (Some(*id), None),
            Transport::SocketIo => (Some(*id), message["seq"].as_u64().map(RequestId)),
            Transport::EventStream => (None, None),
        };
        let envelope = JsonCodec::default().decode(message.to_string().as_bytes());
        if let Some(shard) = &mut self.nodes[*node].shard {
            let node = *node;
            shard.receive(now, &it.seat.clone(), connection, envelope, request);
            self.collect(node);
        }
    }

    fn read(&mut self) {
        for client in 0..CLIENTS {
            let it = &mut self.clients[client];
            let Some(closed) = it.read() else { continue };
            it.connection = None;
            match closed {
                CloseReason::Ended => it.wrong.push("thrown out while connected".to_owned()),
                CloseReason::Replaced => it.wrong.push("replaced by nobody".to_owned()),
                _ => {}
            }
            self.reconnect(client);
        }
    }

    /// What is wrong at the end.
    fn verdict(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let owners = (0..NODES)
            .filter(|node| self.nodes[*node].shard.as_ref().is_some_and(|shard| shard.owns(&self.room)));
        if owners.count() != 1 {
            wrong.push("not one owner".to_owned());
        }
        let epochs = self.log.epochs();
        // The texts in the log by ids, and to which peer a signal is.
        let mut canon = BTreeMap::new();
        for line in self.log.chat.iter().filter(|line| epochs.has(line.id)) {
            canon.insert(line.id, (line.text.to_string(), None));
        }
        for entry in self.log.ever.iter().flat_map(|step| &step.entries) {
            let said = match &entry.fact {
                Fact::Chatted(line) => (line.text.to_string(), None),
                Fact::Signalled { to, body, .. } => {
                    let body = serde_json::to_value(body).unwrap();
                    (body["candidate"]["candidate"].as_str().unwrap().to_owned(), Some(*to))
                }
                _ => continue,
            };
            if epochs.has(entry.id)
                && canon.insert(entry.id, said.clone()).is_some_and(|former| former != said)
            {
                wrong.push(format!("two entries with the id {}", entry.id));
            }
        }
        if self.was_log_lost {
            // Of what was lost with it, clients know, and agree.
            for (id, said) in self.clients.iter().flat_map(|client| &client.told) {
                if epochs.has(*id) {
                    canon.entry(*id).or_insert_with(|| said.clone());
                }
            }
        }
        let mut texts = BTreeSet::new();
        let mut newest = [0; CLIENTS];
        for (text, _) in canon.values() {
            let (client, seq) = text.split_once('.').unwrap();
            let (client, seq): (usize, u64) = (client.parse().unwrap(), seq.parse().unwrap());
            if !texts.insert(text.clone()) {
                wrong.push(format!("{text} happened twice"));
            }
            if seq < std::mem::replace(&mut newest[client], seq) {
                wrong.push(format!("{text} came late"));
            }
        }
        for client in &self.clients {
            let name = client.name;
            wrong.extend(client.wrong.iter().map(|what| format!("{name}: {what}")));
            if client.is_out {
                continue;
            }
            if client.connection.is_none() {
                wrong.push(format!("{name} has not come back"));
            }
            if !client.unanswered.is_empty() {
                wrong.push(format!("{name} waits for an answer to {:?}", client.unanswered.keys()));
            }
            if !self.was_log_lost {
                let lost = client.acknowledged.iter().find(|seq| !texts.contains(&format!("{name}.{seq}")));
                wrong.extend(lost.map(|seq| format!("{name}.{seq} was acknowledged and is lost")));
                wrong.extend(client.refused.iter().map(|what| format!("{name}: {what}")));
            }
            // After a gap it is told the latest chat, and signals from then on.
            let counts = |to: &Option<_>| to.is_none_or(|to| to == client.seat.peer && client.gaps == 0);
            let meant =
                canon.range(client.start + 1..).filter(|(id, (_, to))| **id <= client.last_id && counts(to));
            let meant: Vec<_> = meant.map(|(id, said)| (*id, said.clone())).collect();
            let told: Vec<_> = client.told.iter().filter(|(_, (_, to))| counts(to)).cloned().collect();
            if meant != told {
                let missed = meant.iter().find(|it| !told.contains(it));
                let invented = told.iter().find(|it| !meant.contains(it));
                wrong.push(format!("{name} missed {missed:?} and was told {invented:?}"));
            }
        }
        wrong
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.clients.iter().map(|client| client.acknowledged.len()).sum()
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.clients.iter().map(|client| client.gaps).sum()
    }
}
