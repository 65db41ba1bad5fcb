//! The time of a shard: microseconds since its epoch, which fit one register and a table.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// A point in time, in microseconds since the epoch. Spans are plain numbers of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) u64);

impl Micros {
    /// Later than everything that happens.
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

    /// Microseconds since `earlier`, 0 when that is later.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Translates between the caller's clock and ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    /// Rounded down.
    pub(crate) fn micros(self, at: Instant) -> Micros {
        Micros(micros(at.saturating_duration_since(self.epoch)))
    }

    pub(crate) fn instant(self, at: Micros) -> Instant {
        self.epoch + Duration::from_micros(at.0)
    }
}

/// A span in microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
