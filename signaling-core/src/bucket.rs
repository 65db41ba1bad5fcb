//! Token buckets: so many at once, so many in the long run.

use std::time::Duration;

use crate::Timestamp;

/// Allows a burst, and refills at a steady rate.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Thousandths of tokens.
    millitokens: u64,
    filled_at: Timestamp,
}

impl TokenBucket {
    /// A full bucket for a burst of `burst`.
    pub fn full(now: Timestamp, burst: u32) -> Self {
        Self { millitokens: u64::from(burst) * 1000, filled_at: now }
    }

    /// Takes one token, or says how many milliseconds to wait for it. Refills `per_second` tokens each second up to
    /// `burst`.
    pub fn take(&mut self, now: Timestamp, burst: u32, per_second: u32) -> Result<(), u64> {
        let per_second = u64::from(per_second.max(1));
        let passed = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(burst) * 1000;
        self.millitokens = self.millitokens.saturating_add(passed.saturating_mul(per_second)).min(most);
        self.filled_at = self.filled_at.max(now);
        match self.millitokens.checked_sub(1000) {
            Some(left) => {
                self.millitokens = left;
                Ok(())
            }
            None => Err((1000 - self.millitokens).div_ceil(per_second)),
        }
    }

    /// Whether nothing of a burst is missing, so that the bucket need not be remembered.
    pub fn is_full(&self, now: Timestamp, burst: u32, per_second: u32) -> bool {
        let mut looked_at = *self;
        let _ = looked_at.take(now, burst, per_second);
        looked_at.millitokens + 1000 >= u64::from(burst) * 1000
    }

    /// As [`Self::is_full`], for rates below one in a second.
    pub fn is_full_slow(&self, now: Timestamp, burst: u32, every: Duration) -> bool {
        let mut looked_at = *self;
        let _ = looked_at.take_slow(now, burst, every);
        looked_at.millitokens + 1000 >= u64::from(burst) * 1000
    }

    /// Puts a token back that was taken for nothing.
    pub fn give_back(&mut self, burst: u32) {
        self.millitokens = (self.millitokens + 1000).min(u64::from(burst) * 1000);
    }

    /// As [`Self::take`], for rates below one in a second: a token every `every`.
    pub fn take_slow(&mut self, now: Timestamp, burst: u32, every: Duration) -> Result<(), u64> {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
        let passed = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(1000) / every_ms;
        if gained > 0 {
            self.millitokens = self.millitokens.saturating_add(gained).min(u64::from(burst) * 1000);
            self.filled_at = self.filled_at.max(now);
        }
        match self.millitokens.checked_sub(1000) {
            Some(left) => {
                self.millitokens = left;
                Ok(())
            }
            None => Err((1000 - self.millitokens).saturating_mul(every_ms).div_ceil(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Timestamp::from_millis(1_000);
        let mut bucket = TokenBucket::full(start, 3);
        for _ in 0..3 {
            assert_eq!(bucket.take(start, 3, 2), Ok(()));
        }
        assert_eq!(bucket.take(start, 3, 2), Err(500));
        assert_eq!(bucket.take(Timestamp::from_millis(1_500), 3, 2), Ok(()));
        assert_eq!(bucket.take(Timestamp::from_millis(1_600), 3, 2), Err(400));
    }

    #[test]
    fn the_waiting_time_that_is_named_suffices() {
        let start = Timestamp::from_millis(0);
        let mut bucket = TokenBucket::full(start, 1);
        let every = Duration::from_secs(6);
        assert_eq!(bucket.take_slow(start, 1, every), Ok(()));
        let wait = bucket.take_slow(start, 1, every).unwrap_err();
        assert_eq!(wait, 6_000);
        assert_eq!(bucket.take_slow(start + Duration::from_millis(wait), 1, every), Ok(()));
    }
}
