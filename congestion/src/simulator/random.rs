//! Randomness from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A generator of random values.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// Creates a generator whose values depend on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// A number in this range, which is not empty.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// Whether something happens that happens this many times of a thousand.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// A duration from the exponential distribution with this mean.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let share = (f64::from(self.0.next_u32()) + 1.0) / (f64::from(u32::MAX) + 1.0);
        mean.mul_f64(-share.ln())
    }
}
