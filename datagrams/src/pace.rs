//! The short wait of a busy loop.

use std::time::{Duration, Instant};

/// When a loop waits, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// From this rate on, in units of work a second, waiting pays. A wake-up costs as much as several datagrams.
    pub busy_rate: f64,
    /// Time constant of the smoothing: a loop that falls silent serves the next datagram at once.
    pub fade: Duration,
    /// So much work in one turn is enough: the burst is over, and a second wait would only cost a timer.
    pub full_turn: u64,
    /// How long a busy loop waits, which is what a datagram is delayed by at most. Zero: not at all.
    pub wait: Duration,
}

/// Decides whether a loop waits a little before its next turn, so that one wake-up serves many datagrams.
#[derive(Clone, Debug)]
pub struct Pace {
    pacing: Pacing,
    last: Instant,
    /// Units of work a second, smoothed.
    rate: f64,
}

impl Pace {
    /// The pace of a loop that begins at `now`.
    pub fn new(pacing: Pacing, now: Instant) -> Self {
        Self { pacing, last: now, rate: 0.0 }
    }

    /// Counts a turn that began at `now` and did so much work; returns how long to wait before the next one.
    pub fn after_turn(&mut self, now: Instant, work: u64) -> Duration {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64().max(1e-6);
        self.last = now;
        let weight = 1.0 - (-elapsed / self.pacing.fade.as_secs_f64()).exp();
        let current = f64::from(u32::try_from(work).unwrap_or(u32::MAX)) / elapsed;
        self.rate += weight * (current - self.rate);
        let is_busy = self.rate > self.pacing.busy_rate && (1..self.pacing.full_turn).contains(&work);
        if is_busy { self.pacing.wait } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

    use super::*;

    const PACING: Pacing = Pacing {
        busy_rate: 400.0,
        fade: Duration::from_millis(20),
        full_turn: 32,
        wait: Duration::from_micros(500),
    };

    /// The waits of turns whose work comes so often.
    fn waits(interval: Duration, turns: u32) -> Vec<Duration> {
        let mut now = Instant::now();
        let mut pace = Pace::new(PACING, now);
        let turn = |_| {
            now += interval;
            let wait = pace.after_turn(now, 1);
            now += wait;
            wait
        };
        (0..turns).map(turn).collect()
    }

    #[test]
    fn little_work_is_never_waited_for() {
        assert!(waits(Duration::from_millis(12), 200).iter().all(Duration::is_zero));
    }

    #[test]
    fn a_busy_loop_waits_and_goes_on_waiting() {
        let waits = waits(Duration::from_micros(300), 400);
        assert!(waits.iter().skip(100).all(|wait| *wait == PACING.wait));
    }

    #[test]
    fn after_silence_the_first_is_served_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::new(PACING, now);
        for _ in 0..500 {
            now += Duration::from_micros(200);
            pace.after_turn(now, 1);
        }
        now += Duration::from_millis(200);
        assert_eq!(pace.after_turn(now, 1), Duration::ZERO);
    }

    #[test]
    fn neither_a_full_turn_nor_an_empty_one_is_followed_by_a_wait() {
        let mut now = Instant::now();
        let mut pace = Pace::new(PACING, now);
        let mut turn = |work| {
            now += Duration::from_millis(1);
            pace.after_turn(now, work)
        };
        for _ in 0..50 {
            turn(10);
        }
        assert_eq!(
            [turn(31), turn(32), turn(0), turn(1)].map(|wait| !wait.is_zero()),
            [true, false, false, true]
        );
    }
}
