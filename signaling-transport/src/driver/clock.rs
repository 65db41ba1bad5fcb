//! The system's clock and randomness.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use signaling_core::{Entropy, Timestamp, WallClock};

/// The system's wall clock as it stood at the start, carried on by the monotonic one, so that it never goes back.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started_at: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// A clock that agrees with the system's now.
    #[allow(clippy::disallowed_methods, reason = "this is the driver's reading of the clock")]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { started_at: Timestamp::from_millis(millis), started: Instant::now() }
    }

    /// The instant of the runtime's timers that corresponds to a time.
    pub(crate) fn deadline(&self, at: Timestamp) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started + at.since(self.started_at))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(
        clippy::expect_used,
        reason = "without randomness no id and no secret may be made: ending is safer"
    )]
    fn fill(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system has random numbers");
    }
}
