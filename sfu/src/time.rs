//! The time of a shard as microseconds since its epoch, which fit into one register.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// A point in time, in microseconds since the epoch. Durations are plain numbers of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) u64);

impl Micros {
    /// Later than any event.
    pub(crate) const NEVER: Self = Self(u64::MAX);
}

impl Add<u64> for Micros {
    type Output = Self;

    fn add(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl Sub for Micros {
    type Output = u64;

    /// The microseconds since `earlier`; 0 if that is later.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

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
