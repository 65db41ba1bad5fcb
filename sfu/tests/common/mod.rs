//! A server and its clients in shared virtual time.
#![allow(clippy::cast_possible_truncation, clippy::print_stdout, reason = "test code")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "one reading of the clock is the origin of the virtual time")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use sfu::demux::{Protocol, classify, is_for_relay};
use sfu::driver::{self, Worker};
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind, Link, Network, Playback};
use sfu::{Carrier, Config, Handle, NegotiationError, Path};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{
    HttpAnswer, HttpMedia as _, HttpOffer, HttpSession, MediaDemand, MediaEvent, MediaPlane as _, PeerId,
    PeerStatistics, RoomId,
};

/// Generating keys is slow, so clients share one certificate.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());

pub const PICTURE: Duration = Duration::from_micros(33_333);
pub const SOUND: Duration = Duration::from_millis(20);

pub struct World {
    pub epoch: Instant,
    pub now: Instant,
    pub handle: Handle,
    pub workers: Vec<Worker>,
    /// Whether all clients are behind a relay in the same process.
    pub relayed: bool,
    /// On a port that a relay shares: what came in for the relay, with its senders.
    pub for_relay: Option<Vec<(SocketAddr, Vec<u8>)>>,
    pub network: Network,
    pub server: SocketAddr,
    pub clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    entropy: SeededEntropy,
    seed: u64,
    /// The clients that send, with the number of packets per picture.
    pub sending: HashMap<usize, u16>,
    /// The subscribing client of each peer of a room, created at the server's first offer to it.
    pub subscribers: HashMap<(RoomId, PeerId), usize>,
    /// The WHIP and WHEP peers, which do not receive the server's offers.
    http_peers: HashSet<PeerId>,
    /// Whether the server's offers are answered.
    pub answers: bool,
    pub events: Vec<(RoomId, MediaEvent)>,
    /// The newest sequence number of each stream to each client.
    pub newest: HashMap<(SocketAddr, u32), u16>,
    /// The recently encrypted sequence numbers of each stream to each client.
    sealed: HashMap<(SocketAddr, u32), HashSet<u16>>,
    /// The packets that have left for clients, if they are recorded.
    pub departed: Option<Vec<Departed>>,
    next_picture: Instant,
    next_sound: Instant,
    next_report: Instant,
    /// The links of clients created from now on: up and down.
    pub access: (Link, Link),
    /// Whether those clients send transport-wide feedback.
    pub feedback: bool,
}

/// An RTP packet that has left the server.
#[derive(Clone, Copy, Debug)]
pub struct Departed {
    pub micros: u64,
    pub to: SocketAddr,
    pub ssrc: u32,
    pub number: u16,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with_config(seed, |_| {})
    }

    pub fn with_config(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        println!("seed {seed}");
        let epoch = Instant::now();
        let server: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let mut config = Config::new(vec![server], [seed as u8; 32]);
        change(&mut config);
        let (handle, workers) = driver::open(config, epoch).unwrap();
        Self {
            epoch,
            now: epoch,
            handle,
            workers,
            relayed: false,
            for_relay: None,
            network: Network::new(seed),
            server,
            clients: Vec::new(),
            by_address: HashMap::new(),
            entropy: SeededEntropy::new(seed),
            seed,
            sending: HashMap::new(),
            subscribers: HashMap::new(),
            http_peers: HashSet::new(),
            answers: true,
            events: Vec::new(),
            newest: HashMap::new(),
            sealed: HashMap::new(),
            departed: None,
            next_picture: epoch,
            next_sound: epoch,
            next_report: epoch,
            access: (Link::default(), Link::default()),
            feedback: true,
        }
    }

    /// Sets the links of all clients, up and down. Loss that begins when everybody is connected depends on the seed
    /// alone; handshakes have timers and sizes of their own in each run.
    pub fn set_links(&mut self, up: Link, down: Link) {
        for client in &self.clients {
            self.network.set_link(client.address, up, down);
        }
    }

    pub fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    pub fn demand(&mut self, room: &RoomId, demand: MediaDemand) {
        self.handle.demand(room, demand);
        self.settle();
    }

    pub fn join(&mut self, room: &RoomId, role: Role) -> PeerId {
        let peer = PeerId::random(&mut self.entropy);
        self.demand(room, MediaDemand::Join { peer, role });
        peer
    }

    pub fn client(&mut self, kind: ClientKind) -> usize {
        self.client_with(kind, IDENTITY.clone())
    }

    pub fn client_with(&mut self, kind: ClientKind, identity: Identity) -> usize {
        let index = self.clients.len();
        let address = SocketAddr::from(([10, 1, (index / 250) as u8, (index % 250) as u8 + 1], 5_000));
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(index as u64);
        self.network.set_link(address, self.access.0, self.access.1);
        self.by_address.insert(address, index);
        let mut client = Client::new(kind, address, identity, seed, self.epoch);
        client.gives_feedback = self.feedback;
        self.clients.push(client);
        index
    }

    pub fn negotiate(
        &mut self,
        room: &RoomId,
        peer: PeerId,
        session: HttpSession,
        sdp: String,
    ) -> Result<HttpAnswer, NegotiationError> {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let reply = Box::new(move |answer| *slot.lock().unwrap() = Some(answer));
        let offer = HttpOffer { room: room.clone(), peer, session, sdp, via: None };
        self.handle.offer(offer, reply).unwrap();
        self.settle();
        let answer = result.lock().unwrap().take();
        answer.expect("the worker replies at once")
    }

    /// What the server measures in a room.
    pub fn statistics(&mut self, room: &RoomId) -> Vec<PeerStatistics> {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        self.handle.statistics(room.clone(), Box::new(move |peers| *slot.lock().unwrap() = peers.ok()));
        self.settle();
        let peers = result.lock().unwrap().take();
        peers.expect("each worker has answered")
    }

    /// Adds a peer that uses WHIP or WHEP.
    pub fn join_http(&mut self, room: &RoomId, role: Role) -> PeerId {
        let peer = PeerId::random(&mut self.entropy);
        self.http_peers.insert(peer);
        self.demand(room, MediaDemand::Join { peer, role });
        peer
    }

    /// Adds a WHIP client that sends pictures of this many packets.
    pub fn publisher(&mut self, room: &RoomId, packets: u16) -> (PeerId, usize) {
        let peer = self.join_http(room, Role::Broadcaster);
        let client = self.client(ClientKind::Publisher);
        let offer = self.clients[client].offer();
        let answer = self.negotiate(room, peer, HttpSession::Publish, offer).unwrap();
        self.clients[client].accept_answer(self.now, &answer.sdp).unwrap();
        self.sending.insert(client, packets);
        (peer, client)
    }

    /// Adds a WHEP client.
    pub fn player(&mut self, room: &RoomId, publisher: Option<PeerId>) -> (PeerId, usize) {
        let peer = self.join_http(room, Role::Viewer);
        let client = self.client(ClientKind::Player);
        let offer = self.clients[client].offer();
        let answer = self.negotiate(room, peer, HttpSession::Play { publisher }, offer).unwrap();
        self.clients[client].accept_answer(self.now, &answer.sdp).unwrap();
        (peer, client)
    }

    /// Publishes from a peer of a room over signaling.
    pub fn publish(&mut self, room: &RoomId, peer: PeerId, packets: u16) -> usize {
        let client = self.client(ClientKind::Publisher);
        self.publish_from(room, peer, client, packets);
        client
    }

    /// Publishes from this client of a peer over signaling.
    pub fn publish_from(&mut self, room: &RoomId, peer: PeerId, client: usize, packets: u16) {
        let offer = self.clients[client].offer();
        let mark = self.events.len();
        self.demand(room, MediaDemand::Offer { peer, sdp: offer.into(), negotiation: None });
        let answer = self.events[mark..]
            .iter()
            .find_map(|(_, event)| match event {
                MediaEvent::Answer { peer: to, sdp, .. } if *to == peer => Some(sdp.clone()),
                _ => None,
            })
            .expect("an answer");
        self.clients[client].accept_answer(self.now, &answer).unwrap();
        self.sending.insert(client, packets);
    }

    /// Advances the time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(end);
        }
    }

    /// Runs until the condition holds, at most for this long, and returns whether it does.
    pub fn run_until(&mut self, time: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while !condition(self) {
            if self.now >= end {
                return false;
            }
            self.step(end);
        }
        true
    }

    fn step(&mut self, end: Instant) {
        let arrival = self.network.next_arrival().map(|at| self.epoch + Duration::from_micros(at));
        let timers = self.clients.iter().map(Client::poll_timeout).min();
        let workers = self.workers.iter().filter_map(|worker| worker.shard.poll_timeout()).min();
        let media = Some(self.next_picture.min(self.next_sound));
        let next = [arrival, timers, media, workers, Some(end)].into_iter().flatten().min();
        self.now = self.now.max(next.unwrap());
        let now = self.now;
        let micros = self.micros();
        while let Some((from, to, mut datagram)) = self.network.receive(micros) {
            if let Some(relay) =
                self.for_relay.as_mut().filter(|_| to == self.server && is_for_relay(&datagram))
            {
                relay.push((from, datagram));
            } else if to == self.server && self.relayed {
                self.handle.deliver(from, to, &datagram);
            } else if to == self.server {
                let entrance = self.entrance(from);
                self.workers[entrance].shard.handle_datagram(now, Path::to(from), &mut datagram);
            } else if let Some(client) = self.by_address.get(&to) {
                self.clients[*client].handle_datagram(now, &mut datagram);
            }
        }
        self.settle();
        for worker in &mut self.workers {
            worker.shard.handle_timeout(now);
        }
        for client in &mut self.clients {
            client.handle_timeout(now);
        }
        self.send_media();
        self.settle();
    }

    /// The index of the worker whose socket receives a client's datagrams: the kernel chooses it by address
    /// and knows nothing of rooms.
    pub fn entrance(&self, from: SocketAddr) -> usize {
        let SocketAddr::V4(address) = from else { panic!("clients have IPv4") };
        usize::from(address.ip().octets()[3]) % self.workers.len()
    }

    fn send_media(&mut self) {
        let now = self.now;
        if self.next_picture <= now {
            self.next_picture += PICTURE;
            for (client, packets) in &self.sending {
                if self.clients[*client].is_connected() {
                    self.clients[*client].send_picture(now, *packets);
                }
            }
        }
        if self.next_sound <= now {
            self.next_sound += SOUND;
            for client in self.sending.keys() {
                if self.clients[*client].is_connected() {
                    self.clients[*client].send_sound(20);
                }
            }
        }
        if self.next_report <= now {
            self.next_report += Duration::from_millis(500);
            for client in self.sending.keys() {
                self.clients[*client].send_reports(now);
            }
        }
    }

    /// Runs the workers until none has messages for another, and answers their offers. Then moves all outgoing
    /// datagrams into the network.
    pub fn settle(&mut self) {
        let micros = self.micros();
        let mut is_busy = true;
        while std::mem::take(&mut is_busy) {
            for at in 0..self.workers.len() {
                let worker = &mut self.workers[at];
                is_busy |= worker.take_inputs(self.now);
                worker.send_messages(self.now);
                while let Some(transmits) = worker.shard.poll_transmit(self.now) {
                    for (path, datagram) in transmits.iter() {
                        assert_eq!(path.carrier == Carrier::Relay, self.relayed, "back by the way it came");
                        if self.relayed {
                            assert_eq!(path.local, self.server.ip());
                        }
                        if let Some((ssrc, number)) = sealed_once(&mut self.sealed, path.remote, datagram) {
                            self.newest.insert((path.remote, ssrc), number);
                            if let Some(departed) = &mut self.departed {
                                departed.push(Departed { micros, to: path.remote, ssrc, number });
                            }
                        }
                        self.network.send(micros, self.server, path.remote, datagram.to_vec());
                    }
                }
                worker.send_messages(self.now);
                while let Some((room, event)) = self.workers[at].shard.poll_event() {
                    is_busy = true;
                    self.events.push((room.clone(), event.clone()));
                    if let MediaEvent::Offer { peer, sdp, negotiation, .. } = event
                        && self.answers
                        && !self.http_peers.contains(&peer)
                    {
                        self.answer(&room, peer, &sdp, negotiation);
                    }
                }
            }
        }
        for client in &mut self.clients {
            let from = client.address;
            while let Some((to, datagram)) = client.poll_transmit() {
                self.network.send(micros, from, to, datagram);
            }
        }
    }

    pub fn answer(&mut self, room: &RoomId, peer: PeerId, offer: &str, negotiation: u64) {
        let key = (room.clone(), peer);
        let client = if let Some(client) = self.subscribers.get(&key) {
            *client
        } else {
            let client = self.client(ClientKind::Player);
            self.subscribers.insert(key, client);
            client
        };
        let sdp = self.clients[client].answer(self.now, offer).unwrap().into();
        self.handle.demand(room, MediaDemand::Answer { peer, sdp, negotiation: Some(negotiation) });
    }

    /// The newest offer of the server to a peer.
    pub fn newest_offer(&self, peer: PeerId) -> &str {
        let mut events = self.events.iter().rev();
        let offer = events.find_map(|(_, event)| match event {
            MediaEvent::Offer { peer: to, sdp, .. } if *to == peer => Some(sdp),
            _ => None,
        });
        offer.expect("an offer")
    }

    /// Whether no rooms, connections or publications are left.
    pub fn is_empty(&self) -> bool {
        self.workers.iter().all(|worker| {
            let metrics = worker.shard.metrics();
            metrics.rooms + metrics.transports + metrics.publications == 0
        })
    }

    pub fn micros(&self) -> u64 {
        (self.now - self.epoch).as_micros() as u64
    }

    /// The only stream that a client plays.
    pub fn playback(&self, client: usize) -> &Playback {
        self.clients[client]
            .playback
            .values()
            .max_by_key(|playback| playback.played)
            .expect("something was received")
    }

    pub fn played(&self, client: usize) -> u32 {
        self.clients[client].playback.values().map(|playback| playback.played).sum()
    }

    /// The number of a client's streams in which something was played since this time in microseconds.
    pub fn playing(&self, client: usize, since: u64) -> usize {
        let playbacks = self.clients[client].playback.values();
        playbacks.filter(|playback| playback.last_played_micros.is_some_and(|at| at >= since)).count()
    }
}

/// Encrypting two packets with the same index reveals the keystream (RFC 3711 section 9.1).
fn sealed_once(
    sealed: &mut HashMap<(SocketAddr, u32), HashSet<u16>>,
    to: SocketAddr,
    datagram: &[u8],
) -> Option<(u32, u16)> {
    if classify(datagram) != Some(Protocol::Rtp) {
        return None;
    }
    let number = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    let ssrc = u32::from(number(8)) << 16 | u32::from(number(10));
    let numbers = sealed.entry((to, ssrc)).or_default();
    // Cleared before the numbers wrap around.
    if numbers.len() > 30_000 {
        numbers.clear();
    }
    assert!(numbers.insert(number(2)), "packet {} of stream {ssrc:08x} to {to} is sealed twice", number(2));
    Some((ssrc, number(2)))
}
