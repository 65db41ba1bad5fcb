//! The congestion control of one path: reports in, a target rate and probes out.

use crate::Report;
use crate::delivery::Delivery;
use crate::loss::Loss;
use crate::probe::{Probe, Verdict};
use crate::queue::Queue;
use crate::rate::{Limits, Rate};
use crate::time::Micros;

/// The interval at which a running probe sends.
const PROBE_STEP_MICROS: u64 = 5_000;
/// The wait between probes of a sender that does not use its target: the first, and the longest.
const FIRST_WAIT_MICROS: u64 = 3_000_000;
const LAST_WAIT_MICROS: u64 = 10_000_000;
/// The wait before a rate that was lost a moment ago is tried again.
const RECOVER_MICROS: u64 = 1_500_000;
/// The queue at which a probe is aborted.
const ABORT_MICROS: i64 = 50_000;
/// A sender that sends less than this share of its target, in percent, is not limited by it.
const USED_PERCENT: u64 = 75;

/// The congestion control of a sender.
#[derive(Clone, Debug)]
pub struct Controller {
    limits: Limits,
    rate: Rate,
    queue: Queue,
    loss: Loss,
    arrived: Delivery,
    left: Delivery,
    /// The bytes sent in total.
    sent: u64,
    goal: u64,
    probe: Option<Probe>,
    probe_at: Micros,
    wait: u64,
    /// A rate that the path carried until a moment ago.
    recover: Option<u64>,
    /// Whether a probe has ever found the path full.
    has_met_limit: bool,
    /// The loss of the last two windows of packets, of a thousand.
    lost: (u32, u32),
}

impl Controller {
    /// Creates the control of a path of which nothing is known.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            rate: Rate::new(limits),
            queue: Queue::default(),
            loss: Loss::default(),
            arrived: Delivery::default(),
            left: Delivery::default(),
            sent: 0,
            goal: limits.most,
            probe: None,
            probe_at: Micros::default(),
            wait: FIRST_WAIT_MICROS,
            recover: None,
            has_met_limit: false,
            lost: (0, 0),
        }
    }

    /// The rate to send at, in bits per second.
    pub fn target(&self) -> u64 {
        self.rate.target()
    }

    /// The rate for a sender that can only choose among a few bitrates: unlike the target, it does not fall for a moment to
    /// drain a short queue.
    pub fn budget(&self) -> u64 {
        self.rate.settled()
    }

    /// Whether the path has ever been found full.
    pub fn has_met_limit(&self) -> bool {
        self.has_met_limit
    }

    /// The standing queue on the path, in microseconds.
    pub fn queued_micros(&self) -> u64 {
        u64::try_from(self.rate.queued()).unwrap_or(0)
    }

    /// The loss that each of the last two windows of packets has exceeded, of a thousand packets: one alone may be chance.
    pub fn lost_per_mille(&self) -> u32 {
        self.lost.0.min(self.lost.1)
    }

    /// What the path loses without a queue, of a thousand packets.
    pub fn usual_loss_per_mille(&self) -> u32 {
        self.loss.floor()
    }

    /// Whether somebody else's queue stands on the path, beside which a share is held by loss.
    pub fn has_rival(&self) -> bool {
        self.rate.has_rival()
    }

    /// Sets the rate that would be useful, in bits per second: probes go no further.
    pub fn set_goal(&mut self, goal: u64) {
        self.goal = goal.min(self.limits.most);
    }

    /// Records that bytes were sent, media, repairs and padding alike.
    pub fn on_sent(&mut self, bytes: usize) {
        self.sent = self.sent.wrapping_add(bytes as u64);
    }

    /// Handles the reports of one feedback packet, in the order of sending. Returns whether the target was reduced because
    /// the path is full.
    pub fn on_feedback(&mut self, now: Micros, reports: impl Iterator<Item = Report>) -> bool {
        let mut newest = None;
        for report in reports {
            newest = Some(report.sent_at);
            self.left.add(i64::try_from(report.sent_at.0).unwrap_or(i64::MAX), report.bytes);
            self.loss.on_report(report.sent_at, report.arrived_micros.is_none());
            if let Some(probe) = &mut self.probe {
                probe.on_report(&report);
            }
            if let Some(arrived) = report.arrived_micros {
                self.arrived.add(arrived, report.bytes);
                self.queue.on_arrival(report.sent_at, report.delay(arrived));
            }
        }
        let Some(newest) = newest else { return false };
        let target = self.rate.target();
        self.judge(now, newest);
        if let Some(sample) = self.queue.sample() {
            let before = self.rate.target();
            let (was_climbing, had_rival) = (self.rate.is_climbing(), self.rate.has_rival());
            let is_probed = self.probe.is_some_and(|probe| probe.affects(sample.sent_at));
            self.rate.on_sample(now, sample, &self.arrived, self.is_limited(), is_probed);
            if sample.queued > ABORT_MICROS
                && let Some(probe) = &mut self.probe
            {
                probe.abort(now);
            }
            if was_climbing && self.rate.target() < before * 2 / 3 {
                self.recover = Some(before * 85 / 100);
            }
            if !was_climbing && self.rate.is_climbing() {
                self.probe_at = now + RECOVER_MICROS;
            }
            if self.rate.has_rival() && !had_rival {
                self.queue.hold_base(newest);
            }
        }
        if let Some(lost) = self.loss.window(newest, self.rate.is_queued()) {
            self.lost = (self.lost.1, lost.per_mille);
            self.rate.on_loss(newest, lost, &self.arrived);
        }
        let is_reduced = self.rate.target() < target;
        self.has_met_limit |= is_reduced;
        is_reduced
    }

    /// The bytes of padding or repair to send now, beside the media, to find out what the path carries.
    pub fn probe(&mut self, now: Micros) -> usize {
        if self.probe.is_none()
            && now >= self.probe_at
            && let Some(rate) = self.next_probe()
        {
            self.probe = Some(Probe::new(now, rate, self.sent, self.rate.queued()));
        }
        let missing = self.probe.map_or(0, |probe| probe.missing(now, self.sent));
        usize::try_from(missing).unwrap_or(0)
    }

    /// The time of the next call of [`Controller::probe`]; `None` if nothing is to be found out before the next report.
    pub fn poll_timeout(&self, now: Micros) -> Option<Micros> {
        match self.probe {
            Some(probe) => probe.is_running(now).then_some(now + PROBE_STEP_MICROS),
            None => self.next_probe().map(|_| self.probe_at),
        }
    }

    /// The rate to try next.
    fn next_probe(&self) -> Option<u64> {
        let target = self.rate.target();
        if !self.rate.is_climbing() || self.rate.is_queued() || self.goal <= target {
            return None;
        }
        let rate = match self.recover {
            Some(rate) if rate > target => rate,
            // The lost rate flows again without a probe: climbing is enough.
            Some(_) if !self.is_limited() => return None,
            _ if self.rate.is_open() && !self.has_met_limit => target * 2,
            // A sender that uses its target climbs by itself up to the rate at which the path was full.
            _ if self.rate.is_open() || self.is_limited() => target * 3 / 2,
            _ => return None,
        };
        Some(rate.min(self.goal))
    }

    fn judge(&mut self, now: Micros, newest: Micros) {
        let (Some(probe), Some(base)) = (self.probe, self.queue.base()) else { return };
        let Some(verdict) = probe.verdict(now, base, self.loss.floor()) else { return };
        self.probe = None;
        self.recover = None;
        match verdict {
            Verdict::Proved(rate) => {
                self.rate.on_proved(newest, rate);
                self.wait = FIRST_WAIT_MICROS;
                self.probe_at = now;
            }
            Verdict::Full(rate) => {
                self.has_met_limit = true;
                self.rate.on_full(now, rate);
                self.wait_longer(now);
            }
            Verdict::Unknown => self.wait_longer(now),
        }
    }

    fn wait_longer(&mut self, now: Micros) {
        self.probe_at = now + self.wait;
        self.wait = (self.wait * 3 / 2).min(LAST_WAIT_MICROS);
    }

    fn is_limited(&self) -> bool {
        self.left.bits_per_second(500_000) * 100 < self.rate.target() * USED_PERCENT
    }
}
