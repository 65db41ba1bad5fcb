//! How often one address may guess at codes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signaling_core::{Refusal, Timestamp, TokenBucket};

use crate::gate::prefix;

/// Wrong codes at once: a class that types one from the board goes wrong a few times.
const BURST: u32 = 20;
/// One more is allowed every so often.
const EVERY: Duration = Duration::from_secs(3);
/// Addresses that are remembered before those are forgotten that have not guessed of late.
const REMEMBERED: usize = 10_000;

/// Counts wrong codes by address, IPv6 by /64.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<IpAddr, TokenBucket>>);

impl Guesses {
    /// Counts a try, or refuses it. It counts before its outcome is known, so that many at once gain nothing.
    pub(crate) fn begin(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(ip) = ip.map(prefix) else { return Ok(()) };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&ip) {
            buckets.retain(|_, bucket| !bucket.is_full_slow(now, BURST, EVERY));
        }
        let bucket = buckets.entry(ip).or_insert_with(|| TokenBucket::full(now, BURST));
        bucket.take_slow(now, BURST, EVERY).map_err(|wait_ms| {
            let mut refusal = Refusal::rate_limited(wait_ms);
            "too many wrong codes from your address; wait a little".clone_into(&mut refusal.message);
            refusal
        })
    }

    /// The code was right: the try does not count.
    pub(crate) fn forgive(&self, ip: Option<IpAddr>) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = ip.map(prefix).and_then(|ip| buckets.get_mut(&ip)) {
            bucket.give_back(BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_codes_run_out_and_right_ones_do_not() {
        let guesses = Guesses::default();
        let now = Timestamp::from_millis(1_000_000);
        let ip = Some("192.0.2.7".parse().unwrap());
        for _ in 0..BURST * 3 {
            guesses.begin(now, ip).unwrap();
            guesses.forgive(ip);
        }
        for _ in 0..BURST {
            guesses.begin(now, ip).unwrap();
        }
        assert_eq!(guesses.begin(now, ip).unwrap_err().retry_after_ms, Some(3_000));
        assert!(guesses.begin(now, Some("192.0.2.8".parse().unwrap())).is_ok(), "others do not suffer");
        assert!(guesses.begin(now + EVERY, ip).is_ok());
    }
}
