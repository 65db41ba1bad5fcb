//! One direction of a link: a bottleneck with a drop-tail queue, and a way with delay, jitter and loss.

use std::collections::VecDeque;

use super::{Packet, Random};
use crate::Micros;

/// The direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The first link of a simulation.
    There = 0,
    /// The second one.
    Back = 1,
}

impl Direction {
    pub(super) fn reverse(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }
}

/// The properties of one direction.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The bitrate from each of these seconds on; the first is 0.
    pub rates: Vec<(u64, u64)>,
    /// The time that a packet waits in a full queue, in microseconds.
    pub queue_micros: u64,
    /// The delay of the way, in microseconds.
    pub delay_micros: u64,
    /// The greatest random addition to the delay, in microseconds. Packets stay in order.
    pub jitter_micros: u64,
    /// The packets lost on the way, of a thousand.
    pub loss_per_mille: u32,
}

impl LinkSettings {
    /// A link of this bitrate with a delay of 50 ms and a queue of 300 ms.
    pub fn new(rate: u64) -> Self {
        Self {
            rates: vec![(0, rate)],
            queue_micros: 300_000,
            delay_micros: 50_000,
            jitter_micros: 0,
            loss_per_mille: 0,
        }
    }
}

/// One direction with the packets in its queue.
pub struct Link {
    settings: LinkSettings,
    queue: VecDeque<Queued>,
    queued_bytes: u64,
    /// The time at which the first packet of the queue has been sent.
    head_done: Option<Micros>,
    last_arrival: Micros,
}

struct Queued {
    since: Micros,
    flow: usize,
    packet: Packet,
}

/// A packet that has left the bottleneck.
pub(super) struct Departed {
    pub(super) flow: usize,
    pub(super) packet: Packet,
    pub(super) waited: u64,
    pub(super) arrives_at: Micros,
}

impl Link {
    pub(super) fn new(settings: LinkSettings) -> Self {
        Self {
            settings,
            queue: VecDeque::new(),
            queued_bytes: 0,
            head_done: None,
            last_arrival: Micros::default(),
        }
    }

    fn rate(&self, now: Micros) -> u64 {
        let steps = self.settings.rates.iter().rev();
        let rate = steps.map(|(from, rate)| (from * 1_000_000, *rate)).find(|(from, _)| *from <= now.0);
        rate.map_or(1, |(_, rate)| rate.max(1))
    }

    /// Queues a packet; `false` if it is lost.
    pub(super) fn push(&mut self, now: Micros, flow: usize, packet: Packet, random: &mut Random) -> bool {
        let bytes = u64::from(packet.bytes);
        let limit = self.rate(now).saturating_mul(self.settings.queue_micros) / 8_000_000;
        let is_full = !self.queue.is_empty() && self.queued_bytes + bytes > limit;
        if random.happens(self.settings.loss_per_mille) || is_full {
            return false;
        }
        self.queued_bytes += bytes;
        self.queue.push_back(Queued { since: now, flow, packet });
        if self.head_done.is_none() {
            self.serve(now);
        }
        true
    }

    fn serve(&mut self, now: Micros) {
        let bits = self.queue.front().map(|head| u64::from(head.packet.bytes) * 8);
        self.head_done = bits.map(|bits| now + bits * 1_000_000 / self.rate(now));
    }

    /// The time at which the next packet leaves the bottleneck.
    pub(super) fn poll_timeout(&self) -> Option<Micros> {
        self.head_done
    }

    /// Takes a packet that has left the bottleneck.
    pub(super) fn pop(&mut self, now: Micros, random: &mut Random) -> Option<Departed> {
        let done = self.head_done.filter(|done| *done <= now)?;
        let Queued { since, flow, packet } = self.queue.pop_front()?;
        let bytes = u64::from(packet.bytes);
        self.queued_bytes -= bytes;
        let served = bytes * 8_000_000 / self.rate(done);
        self.serve(done);
        let jitter = random.below(self.settings.jitter_micros);
        self.last_arrival = self.last_arrival.max(done + self.settings.delay_micros + jitter);
        let waited = (done - since).saturating_sub(served);
        Some(Departed { flow, packet, waited, arrives_at: self.last_arrival })
    }
}
