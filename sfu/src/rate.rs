//! Measures a bitrate over about one second.

use crate::time::Micros;

const BUCKET_MICROS: u64 = 250_000;
const BUCKETS: usize = 4;

/// Counts bytes in four buckets of a quarter of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateMeter {
    buckets: [u64; BUCKETS],
    /// The number of the newest bucket, counted from the epoch.
    newest: u64,
    first: Option<Micros>,
}

impl RateMeter {
    pub(crate) fn add(&mut self, now: Micros, bytes: u64) {
        self.advance(now);
        self.first.get_or_insert(now);
        if let Some(bucket) = self.buckets.get_mut(slot(self.newest)) {
            *bucket += bytes;
        }
    }

    /// The bits per second over the last second, or over the time since the first byte.
    pub(crate) fn bits_per_second(&mut self, now: Micros) -> u64 {
        self.advance(now);
        let Some(first) = self.first else { return 0 };
        let begun = (self.newest * BUCKET_MICROS).saturating_sub((BUCKETS as u64 - 1) * BUCKET_MICROS);
        let elapsed = (now.0 - begun.max(first.0).min(now.0)).max(BUCKET_MICROS);
        self.buckets.iter().sum::<u64>() * 8_000_000 / elapsed
    }

    fn advance(&mut self, now: Micros) {
        let number = now.0 / BUCKET_MICROS;
        let passed = number.saturating_sub(self.newest).min(BUCKETS as u64);
        for back in 0..passed {
            if let Some(bucket) = self.buckets.get_mut(slot(number - back)) {
                *bucket = 0;
            }
        }
        self.newest = self.newest.max(number);
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_flows() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.bits_per_second(Micros(5)), 0);
        for at in 0..300 {
            meter.add(Micros(1_000_000 + at * 10_000), 1_250);
        }
        let rate = meter.bits_per_second(Micros(4_000_000));
        assert!((900_000..=1_100_000).contains(&rate), "{rate}");
        assert_eq!(meter.bits_per_second(Micros(6_000_000)), 0);
    }
}
