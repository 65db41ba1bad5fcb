//! How fast packets may leave, so that a key frame does not fill the queue of a narrow path.

use crate::time::Micros;

/// The pace as a multiple of the target, in percent: a picture may leave faster than the stream flows.
const PACE_PERCENT: u64 = 250;
/// The burst that leaves at once: this much time at the pace, in which an ordinary picture fits, and never less than some
/// packets.
const BURST_MICROS: u64 = 20_000;
const BURST_BYTES: u64 = 4 * 1_200;
/// The interval at which a closed bucket is looked at again.
const STEP_MICROS: u64 = 5_000;

/// A bucket of bytes that fills at a multiple of the target. It may be overdrawn by what is sent regardless.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    bytes_per_second: u64,
    burst: i64,
    tokens: i64,
    filled_at: Micros,
}

impl Pacer {
    /// Creates a full bucket for this target in bits per second.
    pub fn new(target: u64) -> Self {
        let mut pacer = Self { bytes_per_second: 0, burst: 0, tokens: 0, filled_at: Micros::default() };
        pacer.set_target(target);
        pacer.tokens = pacer.burst;
        pacer
    }

    /// Sets the target in bits per second.
    pub fn set_target(&mut self, target: u64) {
        self.bytes_per_second = target.saturating_mul(PACE_PERCENT) / 800;
        let burst = (self.bytes_per_second.saturating_mul(BURST_MICROS) / 1_000_000).max(BURST_BYTES);
        self.burst = i64::try_from(burst).unwrap_or(i64::MAX / 2);
        self.tokens = self.tokens.min(self.burst);
    }

    /// Whether a packet may leave now.
    #[inline]
    pub fn is_open(&mut self, now: Micros) -> bool {
        if now > self.filled_at {
            let earned =
                (now - self.filled_at).min(1_000_000).saturating_mul(self.bytes_per_second) / 1_000_000;
            // Time that has not earned a byte yet is kept.
            if earned > 0 {
                self.filled_at = now;
                self.tokens = (self.tokens + i64::try_from(earned).unwrap_or(0)).min(self.burst);
            }
        }
        self.tokens > 0
    }

    /// The time at which a packet may leave next, if nothing else leaves before.
    pub fn opens_at(&self, now: Micros) -> Micros {
        let missing = u64::try_from(1 - self.tokens).unwrap_or(0);
        let earned_in = missing.saturating_mul(1_000_000).div_ceil(self.bytes_per_second.max(1));
        (self.filled_at + earned_in).max(now + STEP_MICROS)
    }

    /// Takes the bytes of a packet that has left, whether or not the bucket allowed it.
    #[inline]
    pub fn take(&mut self, bytes: usize) {
        // A debt of one burst at most, so that repairs and probes do not stop the media for long.
        self.tokens = (self.tokens - i64::try_from(bytes).unwrap_or(0)).max(-self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_pace() {
        let mut pacer = Pacer::new(1_000_000);
        let mut left = Vec::new();
        for at in 0..200 {
            let now = Micros(1_000_000 + at * 5_000);
            while pacer.is_open(now) {
                pacer.take(1_200);
                left.push(at);
            }
        }
        let at_once = left.iter().filter(|at| **at == 0).count();
        assert_eq!(at_once, 6, "20 ms at 2.5 Mbit/s");
        // 2.5 Mbit/s for a second.
        let bytes = (left.len() - at_once) * 1_200;
        assert!((300_000..320_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn debts_are_bounded() {
        let mut pacer = Pacer::new(100_000);
        (0..1_000).for_each(|_| pacer.take(1_200));
        assert!(!pacer.is_open(Micros(100_000)));
        let opens_at = pacer.opens_at(Micros(100_000));
        assert!((Micros(150_000)..Micros(260_000)).contains(&opens_at), "4,800 bytes at 250 kbit/s");
        let is_open_at = |at| {
            let mut pacer = pacer;
            pacer.is_open(at)
        };
        assert!(!is_open_at(Micros(opens_at.0 - 1)));
        assert!(is_open_at(opens_at));
    }
}
