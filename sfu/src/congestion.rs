//! Estimates the capacity of a subscriber's path. A standing queue is detected by the delay that it adds, and spare
//! capacity by the spread of a burst.
//!
//! Loss counts only if it is heavy: a radio link loses packets without being full, and lost packets are retransmitted.

use std::collections::VecDeque;

use crate::rate::RateMeter;
use crate::time::Micros;

/// The delay above the path's base delay that indicates a queue.
const QUEUE_MICROS: i64 = 60_000;
/// A queue that stands for this long must be drained; shorter ones are caused by key frames.
const STANDING_MICROS: u64 = 400_000;
/// The base delay is the least delay of the last 10 to 20 s.
const BASE_WINDOW_MICROS: u64 = 10_000_000;
/// A delay that grows by this much between two reports is caused not by a queue but by a clock that stood still, as the
/// server's does while the process is suspended.
const CLOCK_STEP_MICROS: i64 = 1_900_000;
/// The loss, in percent, from which the path counts as full whatever the delay is.
pub(crate) const HEAVY_LOSS_PERCENT: u64 = 25;
/// The least number of packets on which a verdict on loss is based.
const LOSS_SAMPLE: u64 = 200;
/// The time after a verdict in which no further verdict is made, so that the first one can take effect.
const SETTLE_MICROS: u64 = 1_000_000;

/// The feedback on one packet that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// The time of sending, on the server's clock.
    pub(crate) sent_at: Micros,
    /// The time of arrival, on the receiver's clock; `None` if the packet has not arrived.
    pub(crate) arrived_micros: Option<i64>,
    pub(crate) bytes: u16,
}

/// Monitors one path.
#[derive(Debug, Default)]
pub(crate) struct Congestion {
    base: BaseDelay,
    queue_since: Option<Micros>,
    settled_at: Micros,
    delivered: RateMeter,
    /// The packets sent and lost since the last verdict on loss.
    sample: (u64, u64),
}

impl Congestion {
    /// Handles one feedback packet. If the path is full, returns the bitrate below which to send from now on.
    pub(crate) fn on_feedback(&mut self, now: Micros, reports: impl Iterator<Item = Report>) -> Option<u64> {
        let mut least: Option<i64> = None;
        for report in reports {
            self.sample.0 += 1;
            let Some(arrived) = report.arrived_micros else {
                self.sample.1 += 1;
                continue;
            };
            self.delivered.add(now, u64::from(report.bytes));
            let delay = arrived - i64::try_from(report.sent_at.0).unwrap_or(i64::MAX);
            least = Some(least.map_or(delay, |least| least.min(delay)));
        }
        let least = least?;
        let queued = least - self.base.update(now, least);
        if queued < QUEUE_MICROS {
            self.queue_since = None;
        } else {
            self.queue_since.get_or_insert(now);
        }
        let stands = self.queue_since.is_some_and(|since| now >= since + STANDING_MICROS);
        let (sent, lost) = self.sample;
        let mut is_lossy = false;
        if sent >= LOSS_SAMPLE {
            is_lossy = lost * 100 >= sent * HEAVY_LOSS_PERCENT;
            self.sample = (0, 0);
        }
        if !(stands || is_lossy) || now < self.settled_at {
            return None;
        }
        self.settled_at = now + SETTLE_MICROS;
        self.queue_since = None;
        // Somewhat below the bitrate delivered, so that the queue drains.
        Some(self.delivered.bits_per_second(now) * 85 / 100)
    }
}

/// The least delay of a sliding window, which is kept in two halves.
#[derive(Debug, Default)]
struct BaseDelay {
    halves: VecDeque<(Micros, i64)>,
    last: Option<i64>,
}

impl BaseDelay {
    fn update(&mut self, now: Micros, delay: i64) -> i64 {
        // After an outage of the path, the delay grows as suddenly but falls again, and the base falls with it.
        if self.last.replace(delay).is_some_and(|last| delay - last >= CLOCK_STEP_MICROS) {
            self.halves.clear();
        }
        match self.halves.back_mut() {
            Some((begun, least)) if now < *begun + BASE_WINDOW_MICROS => *least = (*least).min(delay),
            _ => {
                if self.halves.len() >= 2 {
                    self.halves.pop_front();
                }
                self.halves.push_back((now, delay));
            }
        }
        self.halves.iter().map(|(_, least)| *least).min().unwrap_or(delay)
    }
}

/// A burst of packets sent at once: the spread of their arrivals measures the capacity of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Train {
    /// Transport-wide sequence numbers; both ends are included.
    first: u16,
    last: u16,
    began: Micros,
    arrivals: Option<(i64, i64)>,
    bytes: u64,
}

/// A train that has not been reported for this long counts as lost.
const TRAIN_TIMEOUT_MICROS: u64 = 2_000_000;

impl Train {
    pub(crate) fn new(first: u16, last: u16, now: Micros) -> Self {
        Self { first, last, began: now, arrivals: None, bytes: 0 }
    }

    /// Adds the report on a packet. Once the end of the train has been reported, returns the capacity of
    /// the path in bits per second.
    pub(crate) fn on_report(&mut self, sequence: u16, report: &Report) -> Option<u64> {
        let length = self.last.wrapping_sub(self.first);
        let at = sequence.wrapping_sub(self.first);
        if let (true, Some(arrived)) = (at <= length, report.arrived_micros) {
            match &mut self.arrivals {
                None => self.arrivals = Some((arrived, arrived)),
                Some((_, last)) => {
                    *last = (*last).max(arrived);
                    self.bytes += u64::from(report.bytes);
                }
            }
        }
        if at < length || at > 0x8000 {
            return None;
        }
        let (first, last) = self.arrivals?;
        let spread = u64::try_from(last - first).unwrap_or(0).max(500);
        Some(self.bytes * 8_000_000 / spread)
    }

    pub(crate) fn is_lost(&self, now: Micros) -> bool {
        now > self.began + TRAIN_TIMEOUT_MICROS
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "test code"
    )]

    use super::*;

    /// Sends packets of 1,000 bytes through a bottleneck with feedback every 50 ms; returns the
    /// first verdict and its time.
    fn run(rate: u64, bottleneck: u64, loss_every: u64, seconds: u64) -> Option<(u64, u64)> {
        let mut congestion = Congestion::default();
        let (mut free_at, mut count) = (0_u64, 0_u64);
        let gap = 8_000_000_000 / rate;
        let mut next = 0;
        let mut under_way = VecDeque::new();
        for now in (50_000..seconds * 1_000_000).step_by(50_000) {
            while next < now {
                count += 1;
                free_at = free_at.max(next) + 8_000_000_000 / bottleneck;
                let is_lost = loss_every > 0 && count % loss_every == 0;
                // The receiver's clock is 7 s ahead.
                let arrived_micros = (!is_lost).then_some(free_at as i64 + 7_000_000);
                under_way
                    .push_back((free_at, Report { sent_at: Micros(next), arrived_micros, bytes: 1_000 }));
                next += gap;
            }
            let mut reports = Vec::new();
            while under_way.front().is_some_and(|(at, _)| *at <= now) {
                reports.extend(under_way.pop_front().map(|(_, report)| report));
            }
            if let Some(rate) = congestion.on_feedback(Micros(now), reports.into_iter()) {
                return Some((rate, now));
            }
        }
        None
    }

    #[test]
    fn a_path_with_room_is_left_alone() {
        assert_eq!(run(1_000_000, 5_000_000, 0, 60), None);
        assert_eq!(run(1_000_000, 5_000_000, 10, 60), None, "one packet of ten is lost on the way");
    }

    #[test]
    fn a_standing_queue_is_found_in_a_second() {
        let (rate, at) = run(2_000_000, 1_000_000, 0, 60).unwrap();
        assert!((600_000..=1_000_000).contains(&rate), "{rate}");
        assert!(at < 1_200_000, "{at}");
        let (_, at) = run(1_000_000, 900_000, 0, 60).unwrap();
        assert!(at < 2_000_000, "{at}");
    }

    #[test]
    fn heavy_loss_is_a_full_path() {
        assert!(run(1_000_000, 5_000_000, 3, 60).is_some());
    }

    #[test]
    fn a_clock_that_stood_still_is_no_queue() {
        let mut congestion = Congestion::default();
        for step in 0..400_u64 {
            let now = step * 50_000;
            // The server's clock stood still for 2.2 s; the receiver's did not.
            let ahead = if step < 200 { 7_000_000 } else { 9_200_000 };
            let report =
                Report { sent_at: Micros(now), arrived_micros: Some(now as i64 + ahead), bytes: 1_000 };
            assert_eq!(congestion.on_feedback(Micros(now), std::iter::once(report)), None, "{step}");
        }
    }

    #[test]
    fn a_train_measures_the_bottleneck() {
        let mut train = Train::new(65_530, 3, Micros(0));
        let mut measured = None;
        for at in 0..10_u16 {
            let arrived_micros = Some(i64::from(at) * 2_000);
            let report = Report { sent_at: Micros(0), arrived_micros, bytes: 250 };
            assert_eq!(measured, None);
            measured = train.on_report(65_530_u16.wrapping_add(at), &report);
        }
        assert_eq!(measured, Some(1_000_000));
    }
}
