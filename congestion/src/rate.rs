//! The target rate: it climbs while no queue stands, and falls below what arrives when one does.
//!
//! ```text
//!               a queue stands             it is gone
//!   Climbing ───────────────────► Draining ──────────► Climbing
//!                                    │ three reductions do not lower it
//!                                    ▼
//!                                  Rival ── it is gone, or is to be tried again ──► Climbing
//! ```
//!
//! The queue of a rival that fills every queue, as a TCP flow does, is not ours to drain: the target then follows loss,
//! as the rival's does.

use crate::delivery::Delivery;
use crate::loss::Lost;
use crate::queue::Sample;
use crate::time::Micros;

/// A queue shorter than this is left alone; to it comes the time of one packet at the target rate.
const QUEUE_MICROS: i64 = 25_000;
/// The bits of a full packet, and the longest time that one counts for.
const PACKET_BITS: u64 = 12_000;
const PACKET_MICROS: i64 = 25_000;
/// A queue stands when every packet sent for so long met it, ...
const STANDING_MICROS: u64 = 150_000;
/// ... or when it is longer by this.
const LONG_MICROS: i64 = 70_000;
/// The time after a reduction at which its effect shows in the delay of packets sent since.
const EFFECT_MICROS: u64 = 250_000;
/// Reductions without effect that prove a rival.
const FUTILE: u8 = 3;
/// A queue that is there for this share of the time, of a thousand, is a rival's, too: reductions seem to have an effect
/// when the rival's own losses coincide with them.
const BUSY_PER_MILLE: u64 = 600;
const BUSY_MICROS: u64 = 4_000_000;
/// The share of a full path's rate that is used once its queue is gone, in percent.
const BACK_PERCENT: u64 = 86;
/// The queue that lowers the rate by one more percent while it is drained.
const DRAIN_MICROS: i64 = 5_000;
/// A queue that every sender has to drain at once.
const DRAIN_AT_ONCE_MICROS: i64 = 200_000;
const LEAST_DRAIN_PERCENT: u64 = 40;
/// Climbing begins with this slope, and accelerates by this, in bits per second. Neither depends on the rate, so that
/// flows which share a path approach each other.
const SLOPE: u64 = 60_000;
const ACCELERATION: u64 = 25_000;
/// The share of what arrives, in percent, that counts as carried for good.
const FLOWS_PERCENT: u64 = 85;
/// The most that a second of climbing adds, in percent of the target.
const MOST_SLOPE_PERCENT: u64 = 40;
/// The loss beyond the usual one, of a thousand packets, that means a full path: alone, and with a rival's queue.
const HEAVY_LOSS: u32 = 150;
/// Windows with heavy loss in a row: one alone may be chance.
const HEAVY_WINDOWS: u8 = 2;
const RIVAL_LOSS: u32 = 15;
const RIVAL_BACK_PERCENT: u64 = 75;
/// The time with a rival after which it is tried whether it is still there.
const RIVAL_MICROS: u64 = 20_000_000;
/// A rival is gone when there was no queue for so long: loss, too, lets its queue vanish for a moment.
const RIVAL_GONE_MICROS: u64 = 1_000_000;
/// The share of the target before the reductions that is held beside a rival, in percent.
const RIVAL_HOLD_PERCENT: u64 = 90;
/// The slope beside a rival, in bits per second and in percent of the target.
const RIVAL_SLOPE: u64 = 60_000;
const RIVAL_SLOPE_PERCENT: u64 = 5;
/// The least time between two reductions for loss.
const LOSS_PAUSE_MICROS: u64 = 400_000;

/// The bounds of the target, in bits per second.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The target of a path of which nothing is known.
    pub initial: u64,
    /// The least target.
    pub least: u64,
    /// The greatest target.
    pub most: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { initial: 300_000, least: 30_000, most: 50_000_000 }
    }
}

/// What the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Climbing {
        since: Micros,
    },
    Draining {
        reduced_at: Micros,
        /// The longest queue since the last reduction: it grows until the reduction takes effect.
        queued: i64,
        /// The target once the queue is gone.
        back_to: u64,
        /// The target before the first reduction.
        before: u64,
        /// Whether a reduction of this phase had no effect.
        is_futile: bool,
    },
    Rival {
        until: Micros,
        /// The last reduction for loss.
        lost_at: Micros,
        /// The packets sent since then have met no queue.
        idle_since: Option<Micros>,
    },
}

/// The target rate of one path.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    target: u64,
    limits: Limits,
    phase: Phase,
    /// The rate at which the path was last full; `None` if more than that has flowed since.
    ceiling: Option<u64>,
    /// Reductions without effect since one that had an effect.
    futile: u8,
    /// The target before the first reduction since one that had an effect.
    before: u64,
    /// The share of the time in which there was a queue, of a thousand, with a memory of [`BUSY_MICROS`].
    busy: u64,
    /// The greatest target of the time before, which fades.
    peak: u64,
    /// The last windows in a row with heavy loss.
    heavy: u8,
    over_since: Option<Micros>,
    /// The last sample without a queue.
    calm: Option<Sample>,
    last_sample: Option<Sample>,
    settled_at: Micros,
}

impl Rate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            target: limits.initial,
            limits,
            phase: Phase::Climbing { since: Micros::default() },
            ceiling: None,
            futile: 0,
            before: limits.initial,
            busy: 0,
            peak: limits.initial,
            heavy: 0,
            over_since: None,
            calm: None,
            last_sample: None,
            settled_at: Micros::default(),
        }
    }

    pub(crate) fn target(&self) -> u64 {
        self.target
    }

    /// The target that counts for a sender which can only choose among a few bitrates: while a short queue is drained, it is
    /// the one that follows.
    pub(crate) fn settled(&self) -> u64 {
        match self.phase {
            Phase::Draining { back_to, .. } if self.queued() < DRAIN_AT_ONCE_MICROS => {
                self.target.max(back_to)
            }
            _ => self.target,
        }
    }

    /// The standing queue in microseconds.
    pub(crate) fn queued(&self) -> i64 {
        self.last_sample.map_or(0, |sample| sample.queued)
    }

    /// Whether the queue of somebody else stands on the path.
    pub(crate) fn has_rival(&self) -> bool {
        matches!(self.phase, Phase::Rival { .. })
    }

    pub(crate) fn is_climbing(&self) -> bool {
        matches!(self.phase, Phase::Climbing { .. })
    }

    /// Whether nothing is known about the rate at which the path is full.
    pub(crate) fn is_open(&self) -> bool {
        self.ceiling.is_none()
    }

    /// Whether a queue stands.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued() > self.threshold()
    }

    fn threshold(&self) -> i64 {
        let packet = PACKET_BITS * 1_000_000 / self.target.max(1);
        QUEUE_MICROS + i64::try_from(packet).unwrap_or(PACKET_MICROS).min(PACKET_MICROS)
    }

    fn set_target(&mut self, target: u64) {
        self.target = target.clamp(self.limits.least, self.limits.most);
    }

    /// Handles a sample of the queue. `is_limited` tells that less is sent than the target allows, and `is_probed` that
    /// a probe may have made the queue.
    pub(crate) fn on_sample(
        &mut self,
        now: Micros,
        sample: Sample,
        delivery: &Delivery,
        is_limited: bool,
        is_probed: bool,
    ) {
        let elapsed = self.last_sample.map_or(0, |last| sample.sent_at - last.sent_at).min(200_000);
        self.last_sample = Some(sample);
        let threshold = self.threshold();
        let is_over = sample.queued > threshold;
        self.busy -= self.busy * elapsed / BUSY_MICROS;
        self.busy += u64::from(is_over) * 1_000 * elapsed / BUSY_MICROS;
        self.peak = self.target.max(self.peak - self.peak * elapsed / BUSY_MICROS / 4);
        if !is_over {
            self.over_since = None;
            self.calm = Some(sample);
        }
        if self.busy > BUSY_PER_MILLE && !self.has_rival() {
            self.meet_rival(sample.sent_at, self.peak);
        }
        match self.phase {
            Phase::Climbing { .. } if is_over => {
                // Whoever meets the queue begins to climb anew, so that flows climb alike whichever reduces first.
                self.phase = Phase::Climbing { since: sample.sent_at };
                if is_probed && sample.queued <= threshold + LONG_MICROS {
                    return;
                }
                let stood = sample.sent_at - *self.over_since.get_or_insert(sample.sent_at);
                if stood >= STANDING_MICROS || sample.queued > threshold + LONG_MICROS {
                    let before = if self.futile == 0 { self.target } else { self.before.max(self.target) };
                    self.before = before;
                    self.reduce(now, sample, delivery, is_limited, before, false);
                }
            }
            Phase::Climbing { since } => {
                // What flows without a queue is proved, whether or not the target allowed it.
                let flows = delivery.bits_per_second(500_000) * FLOWS_PERCENT / 100;
                if flows > self.target {
                    self.on_proved(sample.sent_at, flows);
                } else if !is_limited {
                    self.climb(sample.sent_at - since, elapsed);
                }
            }
            Phase::Draining { reduced_at, queued, back_to, before, is_futile } => {
                if sample.queued <= threshold / 2 {
                    if !is_futile {
                        self.futile = 0;
                    }
                    self.set_target(self.target.max(back_to));
                    self.phase = Phase::Climbing { since: sample.sent_at };
                } else if sample.sent_at < reduced_at + EFFECT_MICROS {
                    let queued = queued.max(sample.queued);
                    self.phase = Phase::Draining { reduced_at, queued, back_to, before, is_futile };
                    let is_long = sample.queued > threshold + LONG_MICROS;
                    if is_long && self.target > delivery.bits_per_second(0) {
                        self.reduce(now, sample, delivery, is_limited, before, is_futile);
                    }
                } else {
                    if sample.queued * 100 <= queued * 85 {
                        // As long as the queue stands, what arrives is what the path carries.
                        let arrives = delivery.bits_per_second(0) * BACK_PERCENT / 100;
                        let back_to = back_to.min(arrives.max(self.target));
                        self.phase = Phase::Draining {
                            reduced_at: sample.sent_at,
                            queued: sample.queued,
                            back_to,
                            before,
                            is_futile,
                        };
                        return;
                    }
                    self.futile += 1;
                    if self.futile >= FUTILE {
                        self.meet_rival(sample.sent_at, before);
                    } else {
                        self.reduce(now, sample, delivery, is_limited, before, true);
                    }
                }
            }
            Phase::Rival { until, lost_at, idle_since } => {
                let is_idle = sample.queued <= QUEUE_MICROS;
                let idle_since = is_idle.then(|| idle_since.unwrap_or(sample.sent_at));
                let is_gone = idle_since.is_some_and(|since| sample.sent_at >= since + RIVAL_GONE_MICROS);
                if is_gone || sample.sent_at >= until {
                    self.phase = Phase::Climbing { since: sample.sent_at };
                } else {
                    self.phase = Phase::Rival { until, lost_at, idle_since };
                    if !is_limited {
                        let slope = RIVAL_SLOPE + self.target * RIVAL_SLOPE_PERCENT / 100;
                        self.set_target(self.target + slope * elapsed / 1_000_000);
                    }
                }
            }
        }
    }

    /// Handles the loss of a window of packets.
    pub(crate) fn on_loss(&mut self, now: Micros, lost: Lost, delivery: &Delivery) {
        let beyond = lost.per_mille.saturating_sub(lost.floor);
        self.heavy = if beyond >= HEAVY_LOSS { self.heavy.saturating_add(1) } else { 0 };
        match self.phase {
            Phase::Rival { until, lost_at, idle_since }
                if beyond >= RIVAL_LOSS && now >= lost_at + LOSS_PAUSE_MICROS =>
            {
                self.set_target(self.target * RIVAL_BACK_PERCENT / 100);
                self.phase = Phase::Rival { until, lost_at: now, idle_since };
            }
            Phase::Climbing { .. } if self.heavy >= HEAVY_WINDOWS && now >= self.settled_at => {
                let capacity = delivery.bits_per_second(500_000).min(self.target);
                self.ceiling = Some(capacity);
                self.set_target(capacity * 95 / 100);
                self.settled_at = now + LOSS_PAUSE_MICROS * 2;
                self.phase = Phase::Climbing { since: now };
            }
            _ => {}
        }
    }

    /// The path carries `rate`.
    pub(crate) fn on_proved(&mut self, now: Micros, rate: u64) {
        if rate > self.target {
            self.set_target(rate);
            if self.ceiling.is_some_and(|ceiling| rate > ceiling * 11 / 10) {
                self.ceiling = None;
            }
        }
        if let Phase::Climbing { since } = &mut self.phase {
            *since = now;
        }
    }

    /// A probe filled the path, and arrived with `rate`.
    pub(crate) fn on_full(&mut self, now: Micros, rate: u64) {
        let back_to = if self.is_open() { self.target.max(rate * BACK_PERCENT / 100) } else { self.target };
        if self.is_open() {
            self.ceiling = Some(rate);
        }
        // What the probe has put into the queue is drained again.
        let before = self.target;
        self.set_target(back_to * 7 / 10);
        let queued = self.queued();
        self.phase = Phase::Draining { reduced_at: now, queued, back_to, before, is_futile: false };
        self.over_since = None;
    }

    fn climb(&mut self, climbed_micros: u64, elapsed: u64) {
        let mut slope = SLOPE + ACCELERATION * climbed_micros / 1_000_000;
        if self.is_open() {
            slope += self.target * 8 / 100;
        }
        let slope = slope.min(self.target * MOST_SLOPE_PERCENT / 100);
        self.set_target(self.target + slope * elapsed / 1_000_000);
        if self.ceiling.is_some_and(|ceiling| self.target > ceiling * 11 / 10) {
            self.ceiling = None;
        }
    }

    fn meet_rival(&mut self, now: Micros, before: u64) {
        (self.futile, self.busy) = (0, 0);
        self.set_target(self.target.max(before * RIVAL_HOLD_PERCENT / 100));
        self.phase = Phase::Rival { until: now + RIVAL_MICROS, lost_at: now, idle_since: None };
    }

    fn reduce(
        &mut self,
        now: Micros,
        sample: Sample,
        delivery: &Delivery,
        is_limited: bool,
        before: u64,
        is_futile: bool,
    ) {
        let calm = self.calm.unwrap_or(sample);
        let stood = sample.sent_at - calm.sent_at;
        let grown = u64::try_from(sample.queued - calm.queued).unwrap_or(0);
        // While the queue grows, packets arrive over a longer time than they were sent in.
        let arrives = delivery.bits_per_second(i64::try_from(stood + grown).unwrap_or(i64::MAX));
        let capacity = if is_limited || !self.is_climbing() {
            arrives.min(self.target)
        } else {
            // The same factor for all flows on the path, whereas what arrives was sent by a target of some time ago,
            // which punishes those that have climbed since.
            let fits = self.target * stood.max(1) / (stood + grown).max(1);
            fits.min(arrives * 5 / 4)
        };
        self.ceiling = Some(capacity);
        let drain = u64::try_from(sample.queued / DRAIN_MICROS).unwrap_or(0);
        let percent = 90_u64.saturating_sub(drain).max(LEAST_DRAIN_PERCENT);
        self.set_target((capacity * percent / 100).min(self.target));
        self.phase = Phase::Draining {
            reduced_at: now,
            queued: sample.queued,
            back_to: capacity * BACK_PERCENT / 100,
            before,
            is_futile,
        };
    }
}
