//! The short wait of a busy loop.

use std::time::{Duration, Instant};

/// From this rate on, in turns of the loop a second, waiting for company pays. A wake-up costs as much as several packets.
const BUSY_RATE: f64 = 400.0;
/// How long a busy loop waits. It is what media is delayed by at most.
const WAIT: Duration = Duration::from_micros(500);
/// Time constant of the smoothing: a loop that falls silent serves the next datagram at once.
const FADE_SECONDS: f64 = 0.02;

/// Decides whether to wait a little before the next look at the socket, so that one wake-up serves many datagrams.
pub(super) struct Pace {
    last: Instant,
    /// Turns a second, smoothed.
    rate: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, rate: 0.0 }
    }

    /// How long to wait after a turn that began at `now` and found datagrams.
    pub(super) fn after_turn(&mut self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64().max(1e-6);
        self.last = now;
        let weight = 1.0 - (-elapsed / FADE_SECONDS).exp();
        self.rate += weight * (elapsed.recip() - self.rate);
        if self.rate > BUSY_RATE { WAIT } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

    use super::*;

    /// The waits of turns whose work comes so often.
    fn waits(interval: Duration, turns: u32) -> Vec<Duration> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let turn = |_| {
            now += interval;
            let wait = pace.after_turn(now);
            now += wait;
            wait
        };
        (0..turns).map(turn).collect()
    }

    #[test]
    fn one_camera_is_never_waited_for() {
        assert!(waits(Duration::from_millis(12), 200).iter().all(Duration::is_zero));
    }

    #[test]
    fn a_busy_loop_waits_and_goes_on_waiting() {
        let waits = waits(Duration::from_micros(300), 400);
        assert!(waits.iter().skip(100).all(|wait| *wait == WAIT));
    }

    #[test]
    fn after_silence_the_first_is_served_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..500 {
            now += Duration::from_micros(200);
            pace.after_turn(now);
        }
        now += Duration::from_millis(200);
        assert_eq!(pace.after_turn(now), Duration::ZERO);
    }
}
