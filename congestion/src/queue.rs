//! The queue at the bottleneck, seen as delay above the least delay of the path.
//!
//! Packets leave in bursts, and a path adds jitter, so single delays say little. The least delay of all packets sent
//! within [`SAMPLE_MICROS`] is close to what a packet waits at least: the standing queue.

use std::collections::VecDeque;

use crate::time::Micros;

/// The least span of departures that a sample covers.
const SAMPLE_MICROS: u64 = 40_000;
/// The least delay of the last 10 to 20 s is the path's own.
const BASE_WINDOW_MICROS: u64 = 10_000_000;
/// A delay that grows by this much between two samples is caused not by a queue but by a clock that stood still, as the
/// server's does while the process is suspended.
const CLOCK_STEP_MICROS: i64 = 1_900_000;

/// The standing queue during a short span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The departure of the span's last packet.
    pub(crate) sent_at: Micros,
    /// The microseconds that every packet of the span waited at least.
    pub(crate) queued: i64,
}

/// Forms samples from the delays of packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    base: BaseDelay,
    span: Option<Span>,
}

/// The packets since the last sample.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Micros,
    last: Micros,
    least: i64,
}

impl Queue {
    /// Adds a packet; `delay` contains the unknown difference of the two clocks.
    pub(crate) fn on_arrival(&mut self, sent_at: Micros, delay: i64) {
        let span = self.span.get_or_insert(Span { first: sent_at, last: sent_at, least: delay });
        span.last = span.last.max(sent_at);
        span.least = span.least.min(delay);
    }

    /// Ends the span if it is long enough.
    pub(crate) fn sample(&mut self) -> Option<Sample> {
        let span = self.span.take_if(|span| span.last - span.first >= SAMPLE_MICROS)?;
        let base = self.base.update(span.last, span.least);
        Some(Sample { sent_at: span.last, queued: span.least - base })
    }

    /// The path's own delay, by the two clocks.
    pub(crate) fn base(&self) -> Option<i64> {
        self.base.least()
    }

    /// Keeps the base for another window, because somebody else's queue hides the path's own delay.
    pub(crate) fn hold_base(&mut self, now: Micros) {
        self.base.renew(now);
    }
}

/// The least delay of a sliding window, which is kept in two halves.
#[derive(Clone, Debug, Default)]
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
        self.least().unwrap_or(delay)
    }

    fn least(&self) -> Option<i64> {
        self.halves.iter().map(|(_, least)| *least).min()
    }

    fn renew(&mut self, now: Micros) {
        if let Some(least) = self.least() {
            self.halves.clear();
            self.halves.push_back((now, least));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_least_delay_above_the_base() {
        let mut queue = Queue::default();
        let mut samples = Vec::new();
        for at in 0..30_u64 {
            // Every fourth packet leaves an idle path; from 200 ms on, all of them wait for 20 ms.
            let queued = if at < 20 { i64::from(at % 4 != 0) * 9_000 } else { 20_000 };
            queue.on_arrival(Micros(at * 10_000), 7_000_000 + queued);
            samples.extend(queue.sample());
        }
        let queued: Vec<_> = samples.iter().map(|sample| sample.queued).collect();
        assert_eq!(queued, [0, 0, 0, 0, 20_000, 20_000]);
    }

    #[test]
    fn the_base_follows_the_path_and_is_held_on_demand() {
        let mut base = BaseDelay::default();
        base.update(Micros(0), 10);
        assert_eq!(base.update(Micros(9_000_000), 50), 10);
        base.update(Micros(11_000_000), 50);
        assert_eq!(base.update(Micros(22_000_000), 50), 50, "the path has changed");
        base.update(Micros(23_000_000), 40);
        base.renew(Micros(24_000_000));
        assert_eq!(base.update(Micros(35_000_000), 90), 40);
    }

    #[test]
    fn a_clock_that_stood_still_is_no_queue() {
        let mut base = BaseDelay::default();
        base.update(Micros(0), 7_000_000);
        assert_eq!(base.update(Micros(50_000), 9_200_000), 9_200_000);
    }
}
