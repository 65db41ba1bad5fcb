//! Token buckets: a burst at once, and a steady rate over longer times.

use std::time::{Duration, Instant};

/// A point in time of some clock.
pub trait Moment: Copy {
    /// Time passed since `earlier`, zero if that lies in the future.
    fn since(self, earlier: Self) -> Duration;
}

impl Moment for Instant {
    fn since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// The permitted rate: a burst at once, and then tokens at a steady rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u64,
    /// The nanoseconds in which that many tokens are restored.
    period: u64,
    /// The nanoseconds in which a whole burst is restored.
    burst: u64,
}

impl Rate {
    /// `tokens` per second, at least one, and `burst` at once.
    pub const fn per_second(tokens: u64, burst: u64) -> Self {
        let tokens = if tokens == 0 { 1 } else { tokens };
        Self { tokens, period: NANOS, burst: time_of(burst, tokens, NANOS) }
    }

    /// A token every `period`, and `burst` at once.
    pub fn every(period: Duration, burst: u64) -> Self {
        let period = nanos(period).max(1);
        Self { tokens: 1, period, burst: time_of(burst, 1, period) }
    }

    const fn time_of(self, tokens: u64) -> u64 {
        time_of(tokens, self.tokens, self.period)
    }
}

const NANOS: u64 = 1_000_000_000;

/// The nanoseconds in which `tokens` are restored at a rate of `rate` per `period`.
#[allow(clippy::cast_possible_truncation, reason = "it is compared with the largest that fits")]
const fn time_of(tokens: u64, rate: u64, period: u64) -> u64 {
    if let Some(product) = tokens.checked_mul(period) {
        return product / rate;
    }
    let time = tokens as u128 * period as u128 / rate as u128;
    if time > u64::MAX as u128 { u64::MAX } else { time as u64 }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One sender's use of a [`Rate`]: the time in which its missing tokens are restored.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<T> {
    missing: u64,
    at: T,
}

impl<T: Moment> Bucket<T> {
    /// A bucket with no missing tokens.
    pub const fn full(now: T) -> Self {
        Self { missing: 0, at: now }
    }

    /// Takes `tokens`, or takes nothing and returns how long to wait for them.
    pub fn take(&mut self, now: T, rate: Rate, tokens: u64) -> Result<(), Duration> {
        let missing = self.refill(now).saturating_add(rate.time_of(tokens));
        let wait = missing.saturating_sub(rate.burst);
        if wait > 0 {
            return Err(Duration::from_nanos(wait));
        }
        self.missing = missing;
        Ok(())
    }

    /// As [`Self::take`], without taking anything.
    pub fn check(mut self, now: T, rate: Rate, tokens: u64) -> Result<(), Duration> {
        self.take(now, rate, tokens)
    }

    /// Puts tokens back that need not have been taken.
    pub const fn give_back(&mut self, rate: Rate, tokens: u64) {
        self.missing = self.missing.saturating_sub(rate.time_of(tokens));
    }

    /// Whether no tokens are missing, so that the bucket need not be remembered.
    pub fn is_full(mut self, now: T) -> bool {
        self.refill(now) == 0
    }

    fn refill(&mut self, now: T) -> u64 {
        let passed = nanos(now.since(self.at));
        if passed > 0 {
            self.missing = self.missing.saturating_sub(passed);
            self.at = now;
        }
        self.missing
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "where the time begins does not matter")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_then_the_rate() {
        let (start, rate) = (Instant::now(), Rate::per_second(2, 3));
        let mut bucket = Bucket::full(start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start, rate, 1), Ok(()));
        }
        assert_eq!(bucket.take(start, rate, 1), Err(SECOND / 2));
        assert_eq!(bucket.take(start + SECOND / 2, rate, 1), Ok(()));
        assert_eq!(bucket.take(start + Duration::from_millis(600), rate, 1), Err(Duration::from_millis(400)));
        let much_later = start + 3_600 * SECOND;
        assert_eq!((0..30).filter(|_| bucket.take(much_later, rate, 1).is_ok()).count(), 3);
    }

    #[test]
    fn the_waiting_time_that_is_named_suffices() {
        let (start, rate) = (Instant::now(), Rate::every(6 * SECOND, 1));
        let mut bucket = Bucket::full(start);
        assert_eq!(bucket.take(start, rate, 1), Ok(()));
        let wait = bucket.take(start, rate, 1).unwrap_err();
        assert_eq!(wait, 6 * SECOND);
        assert_eq!(bucket.take(start + wait, rate, 1), Ok(()));
    }

    #[test]
    fn slow_trickles_fill_a_bucket_too() {
        let (start, rate) = (Instant::now(), Rate::per_second(10, 1));
        let mut bucket = Bucket::full(start);
        assert!(bucket.take(start, rate, 1).is_ok());
        let later = |n| start + Duration::from_millis(n);
        assert_eq!((1..=1_000).filter(|n| bucket.take(later(*n), rate, 1).is_ok()).count(), 10);
    }

    #[test]
    fn what_is_given_back_and_what_is_only_looked_at_is_not_missing() {
        let (start, rate) = (Instant::now(), Rate::per_second(1, 2));
        let mut bucket = Bucket::full(start);
        assert!(bucket.check(start, rate, 2).is_ok() && bucket.is_full(start));
        bucket.take(start, rate, 2).unwrap();
        assert!(!bucket.is_full(start) && bucket.check(start, rate, 1).is_err());
        bucket.give_back(rate, 1);
        assert!(bucket.take(start, rate, 1).is_ok());
        assert!(bucket.is_full(start + 2 * SECOND));
    }

    #[test]
    fn many_bytes_a_second_are_counted_to_the_byte() {
        let (start, rate) = (Instant::now(), Rate::per_second(100_000_000_000, 100_000_000_000));
        let mut bucket = Bucket::full(start);
        assert!(bucket.take(start, rate, 100_000_000_000).is_ok());
        assert!(bucket.take(start, rate, 1_000).is_err());
        assert!(bucket.take(start + Duration::from_nanos(10), rate, 1_000).is_ok());
    }
}
