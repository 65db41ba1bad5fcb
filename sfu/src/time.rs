//! The time of a shard as microseconds since its epoch, which fit into one register.

use std::time::{Duration, Instant};

pub(crate) use congestion::Micros;

/// Converts between the caller's clock and microseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    /// Converts a time, rounded down.
    pub(crate) fn micros(self, at: Instant) -> Micros {
        Micros(micros(at.saturating_duration_since(self.epoch)))
    }

    pub(crate) fn instant(self, at: Micros) -> Instant {
        self.epoch + Duration::from_micros(at.0)
    }
}

/// The duration in microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
