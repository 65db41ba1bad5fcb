//! What a sender may ask for in a while.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use signaling_core::{Refusal, TokenBucket};

use crate::service::Meetings;

/// Whom a request is counted against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// Somebody without a key: an address, IPv6 by its /64.
    Address(IpAddr),
    /// The same, where it makes meetings.
    Maker(IpAddr),
    /// A key, by its id.
    Key(String),
}

impl Meetings {
    /// Counts a request: `burst` at once, then one `every` so often.
    pub(crate) fn count(&self, payer: Payer, burst: u32, every: Duration) -> Result<(), Refusal> {
        /// Payers that are remembered before those are forgotten who have paid back.
        const REMEMBERED: usize = 10_000;
        let now = self.ticks();
        let payer = match payer {
            Payer::Address(ip) => Payer::Address(prefix(ip)),
            Payer::Maker(ip) => Payer::Maker(prefix(ip)),
            key @ Payer::Key(_) => key,
        };
        let mut buckets = self.inner.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&payer) {
            buckets.retain(|_, bucket| !bucket.is_full_slow(now, burst, every));
            // Who asks from so many addresses gains nothing by a few requests more.
            if buckets.len() >= REMEMBERED {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(payer).or_insert_with(|| TokenBucket::full(now, burst));
        bucket.take_slow(now, burst, every).map_err(|wait_ms| {
            let mut refusal = Refusal::rate_limited(wait_ms);
            "too many requests; wait a little".clone_into(&mut refusal.message);
            refusal
        })
    }
}

fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
