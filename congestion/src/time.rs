//! Points in time as microseconds, which fit into one register.

use std::ops::{Add, Sub};

/// A point in time, in microseconds since an epoch that the caller chooses. Durations are plain numbers of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

impl Micros {
    /// Later than any event.
    pub const NEVER: Self = Self(u64::MAX);
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
