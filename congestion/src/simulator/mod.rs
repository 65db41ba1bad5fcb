//! A bottleneck link with flows on it, in virtual time and reproducible from a seed.
//!
//! A [`Simulation`] has a link in each direction and any number of flows, each with both of its ends: [`MediaFlow`] is
//! a sender with a [`Controller`](crate::Controller) and a receiver that reports, [`TcpFlow`] behaves as TCP does. A
//! [`Flow`] of another kind can be added. [`cases`] are the test cases of RFC 8867.
#![allow(clippy::indexing_slicing, reason = "a test bench, which nothing from a network reaches")]

pub mod cases;
mod link;
mod media;
mod random;
mod tcp;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::Micros;
pub use link::{Direction, Link, LinkSettings};
pub use media::{MediaFlow, Source};
pub use random::Random;
pub use tcp::{TcpFlow, Transfers};

/// The content of a packet, which only its flow understands.
#[derive(Clone, Debug)]
pub enum Body {
    /// A numbered packet of media.
    Media(u64),
    /// The arrival times of consecutive packets of media, from this number on.
    Feedback(u64, Vec<Option<i64>>),
    /// A numbered segment.
    Segment(u64),
    /// The next segment that is expected, and segments missing below the highest that has arrived.
    Ack(u64, Vec<u64>),
    /// A datagram of a protocol of its own.
    Datagram(Vec<u8>),
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Whether it goes from the flow's sender to its receiver, or back.
    pub forward: bool,
    /// Its size on the link.
    pub bytes: u32,
    /// Its content.
    pub body: Body,
}

/// Both ends of a connection.
pub trait Flow {
    /// The time of the next call of [`Flow::handle_timeout`].
    fn poll_timeout(&self) -> Micros;
    /// Does what is due, and adds the packets to send.
    fn handle_timeout(&mut self, now: Micros, out: &mut Vec<Packet>);
    /// Handles a packet that has arrived at the end it was sent to, and adds the packets to send.
    fn handle_packet(&mut self, now: Micros, packet: Packet, out: &mut Vec<Packet>);
    /// The rate at which it wants to send, in bits per second, for what is shown.
    fn target(&self) -> u64 {
        0
    }
}

/// What a flow got.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Bytes that reached the receiver, for each tenth of a second.
    pub delivered: Vec<u64>,
    /// The waits at the bottleneck: the time of departure and the wait, in microseconds.
    pub waits: Vec<(u64, u64)>,
    /// Packets that were sent to the receiver, and lost.
    pub packets: (u64, u64),
}

impl Figures {
    /// The bits per second that reached the receiver between these seconds.
    pub fn rate(&self, from: u64, until: u64) -> u64 {
        let tenths =
            |second: u64| usize::try_from(second * 10).unwrap_or(usize::MAX).min(self.delivered.len());
        let bytes: u64 = self.delivered.get(tenths(from)..tenths(until)).unwrap_or_default().iter().sum();
        bytes * 8 / until.saturating_sub(from).max(1)
    }

    /// The wait at the bottleneck, in microseconds, that this share of the packets (in percent) did not exceed.
    pub fn wait(&self, from: u64, until: u64, percent: usize) -> u64 {
        let window = from * 1_000_000..until * 1_000_000;
        let within = self.waits.iter().filter(|(at, _)| window.contains(at));
        let mut waits: Vec<_> = within.map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        let at = (waits.len() * percent / 100).min(waits.len().saturating_sub(1));
        waits.get(at).copied().unwrap_or(0)
    }

    /// The loss in thousandths.
    pub fn loss_per_mille(&self) -> u64 {
        self.packets.1 * 1_000 / self.packets.0.max(1)
    }
}

struct Member {
    flow: Box<dyn Flow>,
    /// The link on which the flow's packets go to its receiver.
    direction: Direction,
    /// The way of each packet beside that of the link.
    delay_micros: u64,
    figures: Figures,
}

/// A packet that arrives, ordered by time and then by number.
struct Arrival {
    at: Micros,
    number: u64,
    flow: usize,
    packet: Packet,
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Arrival {}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Flows that share a link.
pub struct Simulation {
    now: Micros,
    random: Random,
    links: [Link; 2],
    members: Vec<Member>,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    count: u64,
}

impl Simulation {
    /// Creates a link; `there` and `back` are its two directions.
    pub fn new(seed: u64, there: LinkSettings, back: LinkSettings) -> Self {
        Self {
            now: Micros::default(),
            random: Random::new(seed),
            links: [Link::new(there), Link::new(back)],
            members: Vec::new(),
            arrivals: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Adds a flow whose packets to the receiver go in this direction, and have another `delay_micros` to go beside the
    /// link's. Returns its number.
    pub fn add(&mut self, flow: impl Flow + 'static, direction: Direction, delay_micros: u64) -> usize {
        let figures = Figures::default();
        self.members.push(Member { flow: Box::new(flow), direction, delay_micros, figures });
        self.members.len() - 1
    }

    /// The number of flows.
    pub fn flows(&self) -> usize {
        self.members.len()
    }

    /// What a flow got so far.
    pub fn figures(&self, flow: usize) -> &Figures {
        &self.members[flow].figures
    }

    /// The rate at which a flow wants to send, in bits per second.
    pub fn target(&self, flow: usize) -> u64 {
        self.members[flow].flow.target()
    }

    /// The time since the start.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Runs until this time after the start.
    pub fn run(&mut self, until: Duration) {
        let until = Micros(u64::try_from(until.as_micros()).unwrap_or(u64::MAX));
        let mut out = Vec::new();
        loop {
            let timer = self.members.iter().map(|member| member.flow.poll_timeout()).min();
            let arrival = self.arrivals.peek().map(|Reverse(arrival)| arrival.at);
            let departure = self.links.iter().filter_map(Link::poll_timeout).min();
            let next = [timer, arrival, departure].into_iter().flatten().min().unwrap_or(until);
            if next >= until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            for direction in [Direction::There, Direction::Back] {
                self.depart(direction);
            }
            while self.arrivals.peek().is_some_and(|Reverse(arrival)| arrival.at <= self.now) {
                let Some(Reverse(Arrival { flow, packet, .. })) = self.arrivals.pop() else { break };
                self.members[flow].flow.handle_packet(self.now, packet, &mut out);
                self.send(flow, &mut out);
            }
            for flow in 0..self.members.len() {
                let member = &mut self.members[flow];
                if member.flow.poll_timeout() <= self.now {
                    member.flow.handle_timeout(self.now, &mut out);
                    self.send(flow, &mut out);
                }
            }
        }
    }

    fn send(&mut self, flow: usize, out: &mut Vec<Packet>) {
        for packet in out.drain(..) {
            let member = &mut self.members[flow];
            let direction = if packet.forward { member.direction } else { member.direction.reverse() };
            let forward = packet.forward;
            let is_queued = self.links[direction as usize].push(self.now, flow, packet, &mut self.random);
            if forward {
                member.figures.packets.0 += 1;
                member.figures.packets.1 += u64::from(!is_queued);
            }
        }
    }

    /// Takes the packets that leave the bottleneck of a link.
    fn depart(&mut self, direction: Direction) {
        let link = &mut self.links[direction as usize];
        while let Some(departed) = link.pop(self.now, &mut self.random) {
            let member = &mut self.members[departed.flow];
            if departed.packet.forward {
                let tenth = usize::try_from(self.now.0 / 100_000).unwrap_or(0);
                let figures = &mut member.figures;
                if figures.delivered.len() <= tenth {
                    figures.delivered.resize(tenth + 1, 0);
                }
                figures.delivered[tenth] += u64::from(departed.packet.bytes);
                figures.waits.push((self.now.0, departed.waited));
            }
            self.count += 1;
            self.arrivals.push(Reverse(Arrival {
                at: departed.arrives_at + member.delay_micros,
                number: self.count,
                flow: departed.flow,
                packet: departed.packet,
            }));
        }
    }
}

impl Flow for Box<dyn Flow> {
    fn poll_timeout(&self) -> Micros {
        (**self).poll_timeout()
    }

    fn handle_timeout(&mut self, now: Micros, out: &mut Vec<Packet>) {
        (**self).handle_timeout(now, out);
    }

    fn handle_packet(&mut self, now: Micros, packet: Packet, out: &mut Vec<Packet>) {
        (**self).handle_packet(now, packet, out);
    }

    fn target(&self) -> u64 {
        (**self).target()
    }
}
