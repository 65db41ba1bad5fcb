//! The short wait of a busy loop.

use std::time::{Duration, Instant};

use super::clock;

/// From this rate on, in packets a second, waiting for company pays.
const BUSY_RATE: f64 = 4_000.0;
/// As many packets in one turn of the loop are company enough. A wave that one wait has gathered is over then, and a second wait would
/// only cost a timer.
const FULL_TURN: u64 = 32;

/// Decides whether to wait a little before the next turn, so that one wake-up serves many packets.
pub struct Pace {
    last: Instant,
    /// Packets a second, smoothed.
    rate: f64,
    max_wait: Duration,
}

impl Pace {
    /// A pace for a loop that begins at `now` and waits at most `max_wait`.
    pub fn new(now: Instant, max_wait: Duration) -> Self {
        Self { last: now, rate: 0.0, max_wait }
    }

    /// Called at the end of a turn that began at `now` and moved `packets`; sleeps if that pays. `has_more`: there is work left that will not
    /// wake the loop.
    pub fn wait_for_company(&mut self, now: Instant, packets: u64, has_more: bool) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        // Old turns fade with a time constant of 10 ms: a server that falls silent answers the next packet at once.
        let weight = 1.0 - (-elapsed / 0.01).exp();
        let packets_f64 = f64::from(u32::try_from(packets).unwrap_or(u32::MAX));
        let current = if elapsed > 0.0 { packets_f64 / elapsed } else { self.rate };
        self.rate += weight * (current - self.rate);
        let is_busy = self.rate > BUSY_RATE && packets < FULL_TURN && packets > 0;
        if is_busy && !has_more && !self.max_wait.is_zero() {
            clock::sleep(self.max_wait);
        }
    }
}
