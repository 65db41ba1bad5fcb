//! A network between addresses, in virtual time and repeatable from its seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What happens to datagrams in one direction of a client's access.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Time under way, in microseconds.
    pub delay_micros: u64,
    /// Up to so much longer, at random, without reordering.
    pub jitter_micros: u64,
    /// Datagrams lost, in thousandths.
    pub loss_per_mille: u32,
    /// Bits per second of the bottleneck; `None` for one without.
    pub rate: Option<u64>,
    /// How long a datagram waits at the bottleneck before it is dropped, in microseconds.
    pub queue_micros: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay_micros: 1_000, jitter_micros: 0, loss_per_mille: 0, rate: None, queue_micros: 300_000 }
    }
}

/// Datagrams under way.
pub struct Network {
    rng: StdRng,
    /// By the client's address: towards the server, towards the client.
    links: HashMap<SocketAddr, (Link, Link)>,
    busy_until: HashMap<(SocketAddr, SocketAddr), (u64, u64)>,
    under_way: BTreeMap<u64, (SocketAddr, SocketAddr, Vec<u8>)>,
    arrivals: BinaryHeap<Reverse<(u64, u64)>>,
    count: u64,
    waits: HashMap<(SocketAddr, SocketAddr), u64>,
    /// Datagrams lost so far.
    pub lost: u64,
}

impl Network {
    /// A network whose losses depend on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            links: HashMap::new(),
            busy_until: HashMap::new(),
            under_way: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            count: 0,
            waits: HashMap::new(),
            lost: 0,
        }
    }

    /// Sets a client's access: towards the server and towards the client.
    pub fn set_link(&mut self, client: SocketAddr, up: Link, down: Link) {
        self.links.insert(client, (up, down));
    }

    /// Sends a datagram. One of the two addresses is a client's.
    pub fn send(&mut self, now_micros: u64, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let link = match (self.links.get(&from), self.links.get(&to)) {
            (Some((up, _)), _) => *up,
            (None, Some((_, down))) => *down,
            (None, None) => Link::default(),
        };
        if self.rng.next_u32() % 1_000 < link.loss_per_mille {
            self.lost += 1;
            return;
        }
        let (free_at, last_arrival) = self.busy_until.entry((from, to)).or_default();
        let start = now_micros.max(*free_at);
        if start - now_micros > link.queue_micros {
            self.lost += 1;
            return;
        }
        self.waits.insert((from, to), start - now_micros);
        let serialised = link.rate.map_or(0, |rate| datagram.len() as u64 * 8_000_000 / rate);
        *free_at = start + serialised;
        let jitter = match link.jitter_micros {
            0 => 0,
            jitter => u64::from(self.rng.next_u32()) % jitter,
        };
        let arrival = (*free_at + link.delay_micros + jitter).max(*last_arrival);
        *last_arrival = arrival;
        self.count += 1;
        self.arrivals.push(Reverse((arrival, self.count)));
        self.under_way.insert(self.count, (from, to, datagram));
    }

    /// How long the newest datagram of a direction waits at its bottleneck, in microseconds.
    pub fn newest_wait(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        self.waits.get(&(from, to)).copied().unwrap_or(0)
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<u64> {
        self.arrivals.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a datagram that has arrived: from, to, bytes.
    pub fn receive(&mut self, now_micros: u64) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        if self.next_arrival()? > now_micros {
            return None;
        }
        let Reverse((_, number)) = self.arrivals.pop()?;
        self.under_way.remove(&number)
    }
}
