//! A sender of media with a controller, and its receiver, which reports arrivals.

use std::collections::VecDeque;

use super::{Body, Flow, Packet};
use crate::{Controller, Limits, Micros, Report};

/// The interval of reports.
const REPORT_MICROS: u64 = 50_000;
/// The size of a full packet, and the size that headers alone have.
const PACKET: u64 = 1_200;
const LEAST_PACKET: u64 = 120;
/// The interval at which a source that does not use full packets sends.
const PACKET_MICROS: u64 = 20_000;
/// The size of a packet of padding.
const PADDING: usize = 300;
/// The receiver's clock is ahead of the sender's by this.
const CLOCK_MICROS: i64 = 7_000_000;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Source {
    /// The time of the first packet.
    pub start: Micros,
    /// The time from which on, and until which, nothing is sent.
    pub pause: Option<(Micros, Micros)>,
    /// The bitrates that the source can have, in order. The highest that fits the target is sent, and at least the first.
    /// An empty list is an encoder that follows the target.
    pub layers: Vec<u64>,
    /// The greatest bitrate of a source without layers.
    pub most: u64,
    /// Whether the target is obeyed; otherwise the greatest bitrate is sent always.
    pub controlled: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self { start: Micros::default(), pause: None, layers: Vec::new(), most: u64::MAX, controlled: true }
    }
}

impl Source {
    fn rate(&self, now: Micros, target: u64) -> u64 {
        let is_within = |(from, until)| (from..until).contains(&now);
        if now < self.start || self.pause.is_some_and(is_within) {
            return 0;
        }
        if !self.controlled {
            return self.layers.last().copied().unwrap_or(self.most);
        }
        match self.layers.first() {
            None => target.min(self.most),
            Some(first) => self.layers.iter().rfind(|layer| **layer <= target).copied().unwrap_or(*first),
        }
    }

    /// The rate that would be useful.
    fn goal(&self, rate: u64) -> u64 {
        match self.layers.as_slice() {
            [] => self.most,
            layers => layers.iter().find(|layer| **layer > rate).map_or(rate, |next| next * 115 / 100),
        }
    }
}

/// A sender of media and its receiver.
pub struct MediaFlow {
    source: Source,
    controller: Controller,
    next_packet: Micros,
    next_number: u64,
    /// What was sent and not reported yet, from the number `reported` on.
    history: VecDeque<(Micros, u16)>,
    reported: u64,
    /// The arrivals since the last report, from the number `expected` on.
    arrivals: VecDeque<Option<i64>>,
    expected: u64,
    next_report: Micros,
}

impl MediaFlow {
    /// Creates a sender with a controller of its own.
    pub fn new(source: Source, limits: Limits) -> Self {
        Self {
            next_packet: source.start,
            source,
            controller: Controller::new(limits),
            next_number: 0,
            history: VecDeque::new(),
            reported: 0,
            arrivals: VecDeque::new(),
            expected: 0,
            next_report: Micros::NEVER,
        }
    }

    fn send(&mut self, now: Micros, bytes: u64, out: &mut Vec<Packet>) {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        self.controller.on_sent(usize::from(bytes));
        self.history.push_back((now, bytes));
        out.push(Packet { forward: true, bytes: bytes.into(), body: Body::Media(self.next_number) });
        self.next_number += 1;
    }

    fn send_media(&mut self, now: Micros, out: &mut Vec<Packet>) {
        let rate = self.source.rate(now, self.controller.target());
        self.controller.set_goal(self.source.goal(rate));
        if rate == 0 {
            // Looks again soon.
            self.next_packet = now + PACKET_MICROS;
            return;
        }
        let bytes = (rate * PACKET_MICROS / 8_000_000).clamp(LEAST_PACKET, PACKET);
        self.send(now, bytes, out);
        self.next_packet = now + bytes * 8_000_000 / rate;
    }

    fn report(&mut self, out: &mut Vec<Packet>) {
        let first = self.expected;
        let arrivals: Vec<_> = self.arrivals.drain(..).collect();
        self.expected += arrivals.len() as u64;
        self.next_report = Micros::NEVER;
        let bytes = 60 + 2 * u32::try_from(arrivals.len()).unwrap_or(0);
        out.push(Packet { forward: false, bytes, body: Body::Feedback(first, arrivals) });
    }

    fn on_media(&mut self, now: Micros, number: u64) {
        let Some(at) = number.checked_sub(self.expected).and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        if self.arrivals.len() <= at {
            self.arrivals.resize(at + 1, None);
        }
        self.arrivals[at] = Some(i64::try_from(now.0).unwrap_or(0) + CLOCK_MICROS);
        self.next_report = self.next_report.min(now + REPORT_MICROS);
    }

    fn on_feedback(&mut self, now: Micros, first: u64, arrivals: Vec<Option<i64>>) {
        // A lost report leaves a gap.
        while self.reported < first && self.history.pop_front().is_some() {
            self.reported += 1;
        }
        let mut reports = Vec::with_capacity(arrivals.len());
        for arrived_micros in arrivals {
            let Some((sent_at, bytes)) = self.history.pop_front() else { break };
            self.reported += 1;
            reports.push(Report { sent_at, arrived_micros, bytes });
        }
        self.controller.on_feedback(now, reports.into_iter());
    }
}

impl Flow for MediaFlow {
    fn poll_timeout(&self) -> Micros {
        let probe = match self.controller.poll_timeout(self.next_packet) {
            Some(at) if self.source.controlled && self.next_number > 0 => at,
            _ => Micros::NEVER,
        };
        self.next_packet.min(self.next_report).min(probe)
    }

    fn handle_timeout(&mut self, now: Micros, out: &mut Vec<Packet>) {
        if self.next_packet <= now {
            self.send_media(now, out);
        }
        if self.source.controlled {
            let mut missing = self.controller.probe(now);
            while missing >= PADDING {
                self.send(now, PADDING as u64, out);
                missing -= PADDING;
            }
        }
        if self.next_report <= now {
            self.report(out);
        }
    }

    fn handle_packet(&mut self, now: Micros, packet: Packet, _: &mut Vec<Packet>) {
        match packet.body {
            Body::Media(number) => self.on_media(now, number),
            Body::Feedback(first, arrivals) => self.on_feedback(now, first, arrivals),
            _ => {}
        }
    }

    fn target(&self) -> u64 {
        self.controller.target()
    }
}
