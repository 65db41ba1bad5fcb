//! A network between addresses, in virtual time and reproducible from its seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The properties of one direction of a client's access.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The delay, in microseconds.
    pub delay_micros: u64,
    /// The maximum random addition to the delay, in microseconds, without reordering.
    pub jitter_micros: u64,
    /// The share of lost datagrams, in thousandths.
    pub loss_per_mille: u32,
    /// The bitrate of the bottleneck in bits per second; `None` for no bottleneck.
    pub rate: Option<u64>,
    /// The wait at the bottleneck, in microseconds, from which datagrams are dropped.
    pub queue_micros: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay_micros: 1_000, jitter_micros: 0, loss_per_mille: 0, rate: None, queue_micros: 300_000 }
    }
}

/// A network with the datagrams in transit.
pub struct Network {
    rng: StdRng,
    /// The links by the client's address: towards the server and towards the client.
    links: HashMap<SocketAddr, (Link, Link)>,
    busy_until: HashMap<(SocketAddr, SocketAddr), (u64, u64)>,
    under_way: BTreeMap<u64, (SocketAddr, SocketAddr, Vec<u8>)>,
    arrivals: BinaryHeap<Reverse<(u64, u64)>>,
    count: u64,
    waits: HashMap<(SocketAddr, SocketAddr), u64>,
    /// The number of datagrams lost so far.
    pub lost: u64,
}

impl Network {
    /// Creates a network whose losses depend on the seed alone.
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

    /// Sets the links of a client: towards the server and towards the client.
    pub fn set_link(&mut self, client: SocketAddr, up: Link, down: Link) {
        self.links.insert(client, (up, down));
    }

    /// Sends a datagram. One of the two addresses must be a client's.
    pub fn send(&mut self, now_micros: u64, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let link = match (self.links.get(&from), self.links.get(&to)) {
            (Some((up, _)), _) => *up,
            (None, Some((_, down))) => *down,
            (None, None) => Link::default(),
        };
        // Nothing is drawn for a link without loss: what passes it does not influence the losses of others.
        if link.loss_per_mille > 0 && self.rng.next_u32() % 1_000 < link.loss_per_mille {
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

    /// The wait of the newest datagram of a direction at its bottleneck, in microseconds.
    pub fn newest_wait(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        self.waits.get(&(from, to)).copied().unwrap_or(0)
    }

    /// The arrival time of the next datagram.
    pub fn next_arrival(&self) -> Option<u64> {
        self.arrivals.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes a datagram that has arrived: source, destination and bytes.
    pub fn receive(&mut self, now_micros: u64) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        if self.next_arrival()? > now_micros {
            return None;
        }
        let Reverse((_, number)) = self.arrivals.pop()?;
        self.under_way.remove(&number)
    }
}
