//! A flow that fills the queue and halves its window on loss, as TCP does (RFC 5681 and RFC 6675 in outline).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Body, Flow, Packet, Random};
use crate::Micros;

const SEGMENT_BYTES: u32 = 1_500;
const ACK_BYTES: u32 = 60;
const INITIAL_WINDOW: u64 = 10;
/// The time without progress after which everything is sent again.
const TIMEOUT_MICROS: u64 = 1_000_000;
/// Missing segments named in one acknowledgement.
const MAX_MISSING: usize = 32;

/// What a flow transfers.
#[derive(Clone, Debug)]
pub enum Transfers {
    /// One transfer without end.
    Long,
    /// Files of a size in this range, in bytes, with pauses of this mean between them.
    Short(std::ops::Range<u64>, Duration),
}

/// A sender that behaves as TCP does, and its receiver.
pub struct TcpFlow {
    transfers: Transfers,
    random: Random,
    /// The time of the next transfer, while there is none.
    next_transfer: Option<Micros>,
    /// The segment after the last one of the transfer.
    end: u64,
    next: u64,
    acknowledged: u64,
    /// The window in thousandths of a segment.
    window: u64,
    threshold: u64,
    /// Segments up to here belong to the loss that is being repaired.
    recovery: Option<u64>,
    repaired: BTreeSet<u64>,
    progress_at: Micros,
    /// The receiver: the next expected segment and those beyond it.
    expected: u64,
    beyond: BTreeSet<u64>,
}

impl TcpFlow {
    /// Creates a flow that starts at this second.
    pub fn new(start: u64, transfers: Transfers, seed: u64) -> Self {
        Self {
            transfers,
            random: Random::new(seed),
            next_transfer: Some(Micros(start * 1_000_000)),
            end: 0,
            next: 0,
            acknowledged: 0,
            window: INITIAL_WINDOW * 1_000,
            threshold: u64::MAX,
            recovery: None,
            repaired: BTreeSet::new(),
            progress_at: Micros::NEVER,
            expected: 0,
            beyond: BTreeSet::new(),
        }
    }

    fn begin(&mut self, now: Micros) {
        let segments = match &self.transfers {
            Transfers::Long => u64::MAX / 2,
            Transfers::Short(sizes, _) => self.random.within(sizes.clone()).div_ceil(SEGMENT_BYTES.into()),
        };
        self.end = self.acknowledged + segments;
        self.next_transfer = None;
        self.window = INITIAL_WINDOW * 1_000;
        self.threshold = u64::MAX;
        self.progress_at = now;
    }

    /// Sends what the window allows.
    fn fill(&mut self, missing: usize, out: &mut Vec<Packet>) {
        let lost = missing.saturating_sub(self.repaired.len()) as u64;
        while self.next < self.end
            && (self.next - self.acknowledged).saturating_sub(lost) < self.window / 1_000
        {
            send(self.next, out);
            self.next += 1;
        }
    }

    fn on_ack(&mut self, now: Micros, expected: u64, missing: &[u64], out: &mut Vec<Packet>) {
        if expected > self.acknowledged {
            let newly = expected - self.acknowledged;
            self.acknowledged = expected;
            self.progress_at = now;
            self.repaired = self.repaired.split_off(&expected);
            self.next = self.next.max(expected);
            if self.recovery.is_some_and(|recovery| expected >= recovery) {
                self.recovery = None;
            }
            if self.recovery.is_none() {
                self.window = if self.window < self.threshold {
                    self.window + newly * 1_000
                } else {
                    self.window + newly * 1_000_000 / self.window.max(1)
                };
            }
        }
        if !missing.is_empty() && self.recovery.is_none() {
            self.threshold = (self.window / 2).max(2_000);
            self.window = self.threshold;
            self.recovery = Some(self.next);
            self.repaired.clear();
        }
        // One repair for each acknowledgement, as the window allows.
        if let Some(number) = missing.iter().find(|number| !self.repaired.contains(number)) {
            self.repaired.insert(*number);
            send(*number, out);
        }
        self.fill(missing.len(), out);
        self.finish(now);
    }

    fn finish(&mut self, now: Micros) {
        if self.acknowledged < self.end || self.next_transfer.is_some() {
            return;
        }
        if let Transfers::Short(_, pause) = self.transfers {
            let pause = u64::try_from(self.random.exponential(pause).as_micros()).unwrap_or(0);
            self.next_transfer = Some(now + pause);
            self.progress_at = Micros::NEVER;
        }
    }

    fn on_segment(&mut self, number: u64, out: &mut Vec<Packet>) {
        if number >= self.expected {
            self.beyond.insert(number);
        }
        while self.beyond.remove(&self.expected) {
            self.expected += 1;
        }
        let highest = self.beyond.last().copied().unwrap_or(self.expected);
        // A segment counts as missing once three behind it have arrived.
        let end = highest.saturating_sub(2);
        let missing = (self.expected..end).filter(|number| !self.beyond.contains(number));
        let missing = missing.take(MAX_MISSING).collect();
        out.push(Packet { forward: false, bytes: ACK_BYTES, body: Body::Ack(self.expected, missing) });
    }
}

impl Flow for TcpFlow {
    fn poll_timeout(&self) -> Micros {
        self.next_transfer.unwrap_or(Micros::NEVER).min(self.progress_at + TIMEOUT_MICROS)
    }

    fn handle_timeout(&mut self, now: Micros, out: &mut Vec<Packet>) {
        if self.next_transfer.is_some_and(|at| at <= now) {
            self.begin(now);
        } else if self.progress_at + TIMEOUT_MICROS <= now {
            self.threshold = (self.window / 2).max(2_000);
            self.window = 1_000;
            self.next = self.acknowledged;
            self.recovery = None;
            self.repaired.clear();
            self.progress_at = now;
        }
        self.fill(0, out);
    }

    fn handle_packet(&mut self, now: Micros, packet: Packet, out: &mut Vec<Packet>) {
        match packet.body {
            Body::Segment(number) => self.on_segment(number, out),
            Body::Ack(expected, missing) => self.on_ack(now, expected, &missing, out),
            _ => {}
        }
    }
}

fn send(number: u64, out: &mut Vec<Packet>) {
    out.push(Packet { forward: true, bytes: SEGMENT_BYTES, body: Body::Segment(number) });
}
