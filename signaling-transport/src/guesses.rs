//! How often one address may guess at codes and passwords.
//!
//! An address uses up its own guesses and nobody else's. What a room allows to all addresses together is much wider.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signaling_core::{Refusal, Timestamp, TokenBucket};

use crate::gate::prefix;

/// Addresses that are remembered before those are forgotten that have not guessed of late.
const REMEMBERED: usize = 10_000;

/// Counts wrong guesses by address, IPv6 by /64.
#[derive(Debug)]
pub(crate) struct Guesses {
    /// At once.
    burst: u32,
    /// One more is allowed every so often.
    every: Duration,
    refusal: &'static str,
    buckets: Mutex<HashMap<IpAddr, TokenBucket>>,
}

impl Guesses {
    /// A class that types a code from the board goes wrong a few times.
    pub(crate) fn at_codes() -> Self {
        let refusal = "too many wrong codes from your address; wait a little";
        Self { burst: 20, every: Duration::from_secs(3), refusal, buckets: Mutex::default() }
    }

    pub(crate) fn at_passwords() -> Self {
        let refusal = "too many wrong passwords from your address; wait a little";
        Self { burst: 10, every: Duration::from_secs(6), refusal, buckets: Mutex::default() }
    }

    /// Counts a try, or refuses it. It counts before its outcome is known, so that many at once gain nothing.
    pub(crate) fn begin(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(ip) = ip.map(prefix) else { return Ok(()) };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&ip) {
            buckets.retain(|_, bucket| !bucket.is_full_slow(now, self.burst, self.every));
            // Whoever has so many addresses gains nothing by the one that is forgotten.
            if buckets.len() >= REMEMBERED
                && let Some(any) = buckets.keys().next().copied()
            {
                buckets.remove(&any);
            }
        }
        let bucket = buckets.entry(ip).or_insert_with(|| TokenBucket::full(now, self.burst));
        bucket.take_slow(now, self.burst, self.every).map_err(|wait_ms| {
            let mut refusal = Refusal::rate_limited(wait_ms);
            self.refusal.clone_into(&mut refusal.message);
            refusal
        })
    }

    /// The guess was right: the try does not count.
    pub(crate) fn forgive(&self, ip: Option<IpAddr>) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = ip.map(prefix).and_then(|ip| buckets.get_mut(&ip)) {
            bucket.give_back(self.burst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_codes_run_out_and_right_ones_do_not() {
        let guesses = Guesses::at_codes();
        let now = Timestamp::from_millis(1_000_000);
        let ip = Some("192.0.2.7".parse().unwrap());
        for _ in 0..guesses.burst * 3 {
            guesses.begin(now, ip).unwrap();
            guesses.forgive(ip);
        }
        for _ in 0..guesses.burst {
            guesses.begin(now, ip).unwrap();
        }
        assert_eq!(guesses.begin(now, ip).unwrap_err().retry_after_ms, Some(3_000));
        assert!(guesses.begin(now, Some("192.0.2.8".parse().unwrap())).is_ok(), "others do not suffer");
        assert!(guesses.begin(now + guesses.every, ip).is_ok());
    }

    #[test]
    fn addresses_beyond_those_remembered_take_another_ones_place() {
        let guesses = Guesses::at_passwords();
        let now = Timestamp::from_millis(1_000_000);
        for n in 0..u32::try_from(REMEMBERED).unwrap() + 100 {
            guesses.begin(now, Some(std::net::Ipv4Addr::from_bits(n).into())).unwrap();
        }
        assert_eq!(guesses.buckets.lock().unwrap().len(), REMEMBERED);
    }
}
