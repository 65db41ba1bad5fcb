//! Rooms together with the media server: the media and the messages that the participants of a broadcast receive.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sfu::testing::ClientKind;
use signaling_core::room::MediaTerms;
use signaling_core::testing::{RecordedMedia, SeededEntropy};
use signaling_core::{
    ClientMessage, CloseReason, ConnectionId, Environment, Frame, Grant, HttpSession, JsonCodec, MediaEvent,
    MediaJoin, NewConnection, Offer, Outbound, RequestId, RoomId, Rules, Seat, ServerKey, Shard, Timestamp,
};

/// The messages sent to one connection.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<Value>>>);

impl Outbound for Screen {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        self.0.lock().unwrap().push(serde_json::from_slice(&frame.json).unwrap());
        Offer::Taken
    }
    fn close(&mut self, _reason: CloseReason) {}
}

/// A participant in the room, over signaling or (without a screen) over HTTP.
struct Person {
    seat: Seat,
    connection: ConnectionId,
    screen: Option<Screen>,
    /// The peer connections for publishing and for subscribing.
    publish: Option<usize>,
    subscribe: Option<usize>,
    /// The live broadcasters, according to the messages received.
    live: BTreeSet<String>,
    gone: bool,
}

/// A room, its media server, and its participants.
struct Theatre {
    world: World,
    shard: Shard,
    demands: RecordedMedia,
    reported: usize,
    people: Vec<Person>,
    connections: u64,
    next_ping: Instant,
}

fn room() -> RoomId {
    World::room("theatre")
}

impl Theatre {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.answers = false;
        let demands = RecordedMedia::default();
        let environment = Environment {
            rules: Arc::new(Rules { sfu: true, ..Rules::new(ServerKey::new([4; 32])) }),
            media: Arc::new(demands.clone()),
            entropy: Box::new(SeededEntropy::new(seed)),
            ..Environment::new(ServerKey::new([4; 32]))
        };
        let shard = Shard::new(environment, Timestamp::from_millis(START), Vec::new());
        let next_ping = world.now + 10 * SECOND;
        Self { world, shard, demands, reported: 0, people: Vec::new(), connections: 0, next_ping }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START) + (self.world.now - self.world.epoch)
    }

    fn decode(message: &Value) -> ClientMessage {
        JsonCodec::default().decode(message.to_string().as_bytes()).unwrap().message
    }

    /// Adds a participant over signaling.
    fn join(&mut self, name: &str, role: &str) -> usize {
        let message = json!({"type": "join", "room": "theatre", "name": name, "role": role, "clientId": format!("of {name}")});
        let ClientMessage::Join(join) = Self::decode(&message) else { unreachable!() };
        let grant = Grant { may_create: true, ..Grant::default() };
        self.connections += 1;
        let (connection, screen) = (ConnectionId(self.connections), Screen::default());
        let outbound = Box::new(screen.clone());
        let new = NewConnection { id: connection, outbound };
        let now = self.now();
        let (seat, _) = self.shard.join(now, &join, &grant, Some((new, None))).unwrap();
        self.add(seat, connection, Some(screen))
    }

    /// Adds a participant over WHIP or WHEP.
    fn join_http(&mut self, session: HttpSession) -> usize {
        let role = if session == HttpSession::Publish { "broadcaster" } else { "viewer" };
        let message = json!({"type": "join", "room": "theatre", "name": "HTTP", "role": role});
        let ClientMessage::Join(join) = Self::decode(&message) else { unreachable!() };
        let grant = Grant { may_create: true, ..Grant::default() };
        let asked = MediaJoin { join: *join, grant, terms: MediaTerms::default() };
        let now = self.now();
        let seat = self.shard.join_media(now, &asked).unwrap();
        let person = self.add(seat, ConnectionId(0), None);
        let kind = if session == HttpSession::Publish { ClientKind::Publisher } else { ClientKind::Player };
        let client = self.world.client(kind);
        let offer = self.world.clients[client].offer();
        let peer = self.people[person].seat.peer;
        let answer = self.world.negotiate(&room(), peer, session, offer).unwrap();
        self.world.clients[client].accept_answer(self.world.now, &answer.sdp).unwrap();
        if session == HttpSession::Publish {
            self.world.sending.insert(client, 2);
            self.people[person].publish = Some(client);
        } else {
            self.people[person].subscribe = Some(client);
        }
        self.pump();
        person
    }

    fn add(&mut self, seat: Seat, connection: ConnectionId, screen: Option<Screen>) -> usize {
        let person = Person {
            seat,
            connection,
            screen,
            publish: None,
            subscribe: None,
            live: BTreeSet::new(),
            gone: false,
        };
        self.people.push(person);
        self.pump();
        self.people.len() - 1
    }

    fn say(&mut self, person: usize, message: &Value) {
        let envelope = JsonCodec::default().decode(message.to_string().as_bytes());
        let Person { seat, connection, screen, .. } = &self.people[person];
        let (seat, connection) = (seat.clone(), screen.is_some().then_some(*connection));
        self.shard.receive(self.now(), &seat, connection, envelope, None);
    }

    fn publish(&mut self, person: usize) {
        let client = self.world.client(ClientKind::Publisher);
        let offer = self.world.clients[client].offer();
        self.people[person].publish = Some(client);
        let description = json!({"type": "offer", "sdp": offer});
        self.say(
            person,
            &json!({"type": "signal", "to": "sfu", "pc": "publish", "description": description}),
        );
        self.pump();
        self.world.sending.insert(client, 2);
    }

    fn leave(&mut self, person: usize) {
        self.stop_sending(person);
        self.say(person, &json!({"type": "leave"}));
        self.people[person].gone = true;
        self.pump();
    }

    /// Ends the peer connections of a participant without notice.
    fn stop_sending(&mut self, person: usize) {
        if let Some(client) = self.people[person].publish {
            self.world.sending.remove(&client);
        }
    }

    /// Delivers messages between the room, the media server and the participants until there are none.
    fn pump(&mut self) {
        loop {
            let demands = self.demands.take();
            let mut quiet = demands.is_empty();
            for (room, demand) in demands {
                self.world.demand(&room, demand);
            }
            let reports = self.world.events.split_off(self.reported);
            quiet &= reports.is_empty();
            self.world.events.extend(reports.iter().cloned());
            self.reported = self.world.events.len();
            for (room, event) in reports {
                self.shard.media(self.now(), &room, event);
            }
            for person in 0..self.people.len() {
                let screen = self.people[person].screen.clone();
                let heard = screen.map(|screen| std::mem::take(&mut *screen.0.lock().unwrap()));
                for event in heard.unwrap_or_default() {
                    quiet = false;
                    self.hear(person, &event);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn hear(&mut self, at: usize, event: &Value) {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        let person = &mut self.people[at];
        match event["type"].as_str().unwrap() {
            "welcome" => {
                let live = event["peers"].as_array().unwrap().iter().filter(|peer| peer["live"] == true);
                person.live = live.map(|peer| peer["id"].as_str().unwrap().to_owned()).collect();
            }
            "broadcaster-connected" => assert!(person.live.insert(text("peer")), "told twice"),
            "broadcaster-disconnected" => assert!(person.live.remove(&text("peer")), "not told before"),
            "peer-left" => assert!(!person.live.contains(&text("peer")), "left on air"),
            "signal" if !person.gone => self.hear_signal(at, event),
            _ => {}
        }
    }

    fn hear_signal(&mut self, at: usize, event: &Value) {
        let sdp = event["description"]["sdp"].as_str().unwrap();
        let now = self.world.now;
        if event["pc"] == "publish" {
            let client = self.people[at].publish.unwrap();
            self.world.clients[client].accept_answer(now, sdp).unwrap();
            return;
        }
        let client = self.people[at].subscribe.unwrap_or_else(|| self.world.client(ClientKind::Player));
        self.people[at].subscribe = Some(client);
        let answer = self.world.clients[client].answer(now, sdp).unwrap();
        let description = json!({"type": "answer", "sdp": answer});
        let negotiation = &event["negotiation"];
        self.say(
            at,
            &json!({"type": "signal", "to": "sfu", "pc": "subscribe", "description": description, "negotiation": negotiation}),
        );
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            let step = TICK.min(end - self.world.now);
            self.world.run(step);
            self.shard.handle_timeout(self.now());
            if self.world.now >= self.next_ping {
                self.next_ping += 10 * SECOND;
                for person in
                    (0..self.people.len()).filter(|at| self.people[*at].screen.is_some()).collect::<Vec<_>>()
                {
                    self.say(person, &json!({"type": "ping"}));
                }
            }
            self.pump();
        }
    }

    /// The number of streams that a participant's player shows at the end.
    fn playing(&self, person: usize) -> usize {
        let since = self.world.micros() - 300_000;
        self.people[person].subscribe.map_or(0, |client| self.world.playing(client, since))
    }
}

const START: u64 = 1_790_000_000_000;
const TICK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// The state of a participant that joins and leaves repeatedly.
#[derive(Clone, Copy)]
struct Visit {
    broadcasts: bool,
    /// Whether the participant uses HTTP instead of signaling.
    http: bool,
    left: u32,
    person: Option<usize>,
}

/// Two broadcasters and three viewers, one of each over HTTP in every other run, join, leave and rejoin in any order,
/// also by taking over their own place. Those that stay decode all broadcasters and were told of all of them.
#[test]
fn every_viewer_decodes_every_broadcaster_whatever_the_order() {
    for seed in 0..100 {
        let mut theatre = Theatre::new(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut visits: Vec<_> = (0..5)
            .map(|at| Visit {
                broadcasts: at < 2,
                http: seed % 2 == 0 && (at == 1 || at == 4),
                left: 1 + rng.next_u32() % 2,
                person: None,
            })
            .collect();
        while visits.iter().any(|visit| visit.left > 0) {
            let at = rng.next_u32() as usize % visits.len();
            let visit = visits[at];
            let anew = rng.next_u32().is_multiple_of(3);
            if visit.left == 0 {
                continue;
            }
            let name = format!("number {at}");
            if let Some(person) = visit.person.filter(|_| !anew || visit.http) {
                theatre.leave(person);
                visits[at] = Visit { left: visit.left - 1, person: None, ..visit };
            } else {
                if let Some(former) = visit.person {
                    // The page was reloaded: the same client joins again without having left.
                    theatre.stop_sending(former);
                    theatre.people[former].gone = true;
                }
                let person = match (visit.http, visit.broadcasts) {
                    (true, true) => theatre.join_http(HttpSession::Publish),
                    (true, false) => theatre.join_http(HttpSession::Play { publisher: None }),
                    (false, true) => theatre.join(&name, "broadcaster"),
                    (false, false) => theatre.join(&name, "viewer"),
                };
                if visit.broadcasts && !visit.http {
                    theatre.publish(person);
                }
                let stays = visit.left == 1;
                visits[at] = Visit { left: visit.left - u32::from(stays), person: Some(person), ..visit };
            }
            theatre.run(Duration::from_millis(u64::from(rng.next_u32() % 400)));
        }
        theatre.run(2 * SECOND);
        let person = |at: usize| visits[at].person.unwrap();
        let on_air: BTreeSet<_> = (0..2).map(|at| theatre.people[person(at)].seat.peer.to_string()).collect();
        for (at, visit) in visits.iter().enumerate().skip(2) {
            let viewer = visit.person.unwrap();
            // A WHEP player watches one broadcaster.
            let expected = if visit.http { 1 } else { 2 };
            assert_eq!(theatre.playing(viewer), expected, "seed {seed}, viewer {at}");
            if !visit.http {
                assert_eq!(theatre.people[viewer].live, on_air, "seed {seed}, viewer {at}");
            }
        }
    }
}

#[test]
fn live_means_that_packets_come() {
    let mut theatre = Theatre::new(200);
    let viewer = theatre.join("Bob", "viewer");
    let broadcaster = theatre.join("Ada", "broadcaster");
    theatre.run(SECOND);
    assert!(theatre.people[viewer].live.is_empty(), "in the room, and nothing to see");
    theatre.publish(broadcaster);
    let client = theatre.people[broadcaster].publish.unwrap();
    theatre.world.sending.remove(&client);
    theatre.run(SECOND);
    assert!(theatre.world.clients[client].is_connected());
    assert!(theatre.people[viewer].live.is_empty(), "connected, and nothing to see");
    for _ in 0..2 {
        theatre.world.sending.insert(client, 2);
        theatre.run(SECOND);
        assert_eq!(theatre.people[viewer].live.len(), 1);
        assert_eq!(theatre.playing(viewer), 1);
        theatre.world.sending.remove(&client);
        theatre.run(4 * SECOND);
        assert_eq!(theatre.people[viewer].live.len(), 1, "a pause");
        theatre.run(3 * SECOND);
        assert!(theatre.people[viewer].live.is_empty(), "it has stopped");
    }
}

#[test]
fn a_camera_over_http_loses_its_path_and_comes_back_or_is_gone() {
    let mut theatre = Theatre::new(201);
    let viewer = theatre.join("Bob", "viewer");
    let camera = theatre.join_http(HttpSession::Publish);
    let client = theatre.people[camera].publish.unwrap();
    let (address, seat) = (theatre.world.clients[client].address, theatre.people[camera].seat.clone());
    let (works, broken) =
        (theatre.world.access, sfu::testing::Link { loss_per_mille: 1_000, ..sfu::testing::Link::default() });
    theatre.run(2 * SECOND);
    assert_eq!(theatre.playing(viewer), 1);
    theatre.world.network.set_link(address, broken, broken);
    theatre.run(45 * SECOND);
    assert!(theatre.people[viewer].live.is_empty());
    assert!(theatre.shard.knows(&seat), "20 s until the consent is gone, and 30 s more");
    theatre.world.network.set_link(address, works.0, works.1);
    theatre.run(3 * SECOND);
    assert_eq!((theatre.people[viewer].live.len(), theatre.playing(viewer)), (1, 1), "it came back");
    theatre.run(60 * SECOND);
    assert!(theatre.shard.knows(&seat));
    theatre.world.network.set_link(address, broken, broken);
    theatre.run(52 * SECOND);
    assert!(!theatre.shard.knows(&seat));
    let failed = (room(), MediaEvent::Failed { peer: seat.peer });
    assert_eq!(
        theatre.world.events.iter().filter(|event| **event == failed).count(),
        2,
        "told once each time"
    );
}
