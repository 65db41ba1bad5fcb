//! How fast one address may open sessions.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use signaling_core::{Refusal, Timestamp, TokenBucket};

/// Sessions by address. A school behind one address is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// At once.
    pub burst: u32,
    /// Each second, over longer times.
    pub per_second: u32,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { burst: 500, per_second: 50 }
    }
}

/// Counts joins and resumes by address, IPv6 by /64.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: GateLimits,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_prefix: HashMap<IpAddr, TokenBucket>,
    swept_at: Timestamp,
}

/// A bucket that was not used for so long is full again.
const SWEEP_MS: u64 = 60_000;

impl Gate {
    pub(crate) fn new(limits: GateLimits) -> Self {
        Self { limits, buckets: Mutex::default() }
    }

    /// Counts one attempt, or refuses it.
    pub(crate) fn pass(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(ip) = ip else { return Ok(()) };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_millis() - buckets.swept_at.as_millis().min(now.as_millis()) > SWEEP_MS {
            let GateLimits { burst, per_second } = self.limits;
            buckets.by_prefix.retain(|_, bucket| !bucket.is_full(now, burst, per_second));
            buckets.swept_at = now;
        }
        let GateLimits { burst, per_second } = self.limits;
        let bucket = buckets.by_prefix.entry(prefix(ip)).or_insert_with(|| TokenBucket::full(now, burst));
        bucket.take(now, burst, per_second).map_err(|wait_ms| {
            let mut refusal = Refusal::rate_limited(wait_ms);
            "too many sessions from your address; wait a little".clone_into(&mut refusal.message);
            refusal
        })
    }
}

/// What counts as one address.
pub(crate) fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_shares_its_allowance_and_others_do_not_suffer() {
        let gate = Gate::new(GateLimits { burst: 2, per_second: 1 });
        let now = Timestamp::from_millis(1_000_000);
        let ip = |text: &str| Some(text.parse().unwrap());
        assert!(gate.pass(now, ip("2001:db8::1")).is_ok());
        assert!(gate.pass(now, ip("2001:db8::ffff:1")).is_ok());
        let refusal = gate.pass(now, ip("2001:db8::2")).unwrap_err();
        assert_eq!(refusal.retry_after_ms, Some(1_000));
        assert!(gate.pass(now, ip("2001:db8:0:1::1")).is_ok());
        assert!(gate.pass(Timestamp::from_millis(1_001_000), ip("2001:db8::2")).is_ok());
    }

    #[test]
    fn what_is_full_again_is_forgotten() {
        let gate = Gate::new(GateLimits { burst: 2, per_second: 1 });
        let ip = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
        gate.pass(Timestamp::from_millis(100_000), ip(1)).unwrap();
        gate.pass(Timestamp::from_millis(200_000), ip(2)).unwrap();
        assert_eq!(gate.buckets.lock().unwrap().by_prefix.len(), 1);
    }
}
