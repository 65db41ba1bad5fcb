//! Probes: for a moment, more is sent than the target allows, and the delay shows whether the path carries it.
//!
//! A probe proves a rate only if its last packets wait no longer than those before it. The rate at which a probe arrives
//! says less: on a shared path, it contains what the probe takes from others.

use crate::Report;
use crate::time::Micros;

/// The length of a probe. Shorter ones drown in the jitter of radio links.
const LENGTH_MICROS: u64 = 100_000;
/// A slow probe lasts for this many bytes.
const LEAST_BYTES: u64 = 5_000;
/// The longest time until a probe is reported.
const REPORT_MICROS: u64 = 1_000_000;
/// The delay by which the last packets of a probe may be later than the path's base.
const SLACK_MICROS: i64 = 15_000;
/// The share of loss, beyond what the path always loses, that makes a probe fail, of a thousand packets.
const LOSS_PER_MILLE: u32 = 120;

/// The outcome of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The path carries this rate, in bits per second.
    Proved(u64),
    /// The path is full; the probe arrived with this rate.
    Full(u64),
    /// Too little was sent or reported.
    Unknown,
}

/// A probe until it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) rate: u64,
    began: Micros,
    ends: Micros,
    /// All bytes that had been sent when it began.
    sent_before: u64,
    /// The queue when it began.
    queued: i64,
    arrivals: Option<(i64, i64)>,
    bytes: u64,
    /// The least delay of the second half.
    late: Option<i64>,
    packets: u32,
    lost: u32,
    is_passed: bool,
}

impl Probe {
    pub(crate) fn new(now: Micros, rate: u64, sent_before: u64, queued: i64) -> Self {
        let length = LENGTH_MICROS.max(LEAST_BYTES * 8_000_000 / rate.max(1));
        Self {
            rate,
            began: now,
            ends: now + length,
            sent_before,
            queued,
            arrivals: None,
            bytes: 0,
            late: None,
            packets: 0,
            lost: 0,
            is_passed: false,
        }
    }

    /// Whether more has to be sent.
    pub(crate) fn is_running(&self, now: Micros) -> bool {
        now < self.ends
    }

    /// The bytes that are missing for the rate, if `sent` bytes have been sent in total.
    pub(crate) fn missing(&self, now: Micros, sent: u64) -> u64 {
        let due = self.rate.saturating_mul(now.min(self.ends) - self.began) / 8_000_000;
        due.saturating_sub(sent.saturating_sub(self.sent_before))
    }

    /// Ends the probe early.
    pub(crate) fn abort(&mut self, now: Micros) {
        self.ends = self.ends.min(now);
    }

    /// Whether a packet that left at this time has met the queue that the probe made.
    pub(crate) fn affects(&self, sent_at: Micros) -> bool {
        sent_at >= self.began
    }

    pub(crate) fn on_report(&mut self, report: &Report) {
        if report.sent_at < self.began {
            return;
        }
        if report.sent_at > self.ends {
            self.is_passed = true;
            return;
        }
        self.packets += 1;
        let Some(arrived) = report.arrived_micros else {
            self.lost += 1;
            return;
        };
        match &mut self.arrivals {
            None => self.arrivals = Some((arrived, arrived)),
            Some((_, last)) => {
                *last = (*last).max(arrived);
                self.bytes += u64::from(report.bytes);
            }
        }
        if report.sent_at - self.began > (self.ends - self.began) * 6 / 10 {
            let delay = report.delay(arrived);
            self.late = Some(self.late.map_or(delay, |late| late.min(delay)));
        }
    }

    /// Judges the probe once packets sent after it have been reported; `base` is the path's own delay, and `floor` its
    /// usual loss.
    pub(crate) fn verdict(&self, now: Micros, base: i64, floor: u32) -> Option<Verdict> {
        if !self.is_passed {
            return (now > self.ends + REPORT_MICROS).then_some(Verdict::Unknown);
        }
        let (Some((first, last)), Some(late)) = (self.arrivals, self.late) else {
            return Some(Verdict::Unknown);
        };
        let spread = u64::try_from(last - first).unwrap_or(0).max(1_000);
        let delivered = self.bytes * 8_000_000 / spread;
        if self.packets < 5 {
            return Some(Verdict::Unknown);
        }
        let is_lossy = self.lost * 1_000 > self.packets * (floor + LOSS_PER_MILLE) && self.lost > 1;
        let is_late = late - base - self.queued.min(SLACK_MICROS) > SLACK_MICROS;
        // Arrivals that a radio link compressed would show more than was sent.
        if is_late || is_lossy {
            return Some(Verdict::Full(delivered.min(self.rate)));
        }
        // What the path loses anyway was sent, too.
        let sent = delivered * u64::from(self.packets) / u64::from(self.packets - self.lost).max(1);
        Some(Verdict::Proved(sent.min(self.rate)))
    }
}
