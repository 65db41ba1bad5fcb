//! Rate limits of requests by sender.

use std::net::IpAddr;
use std::time::Duration;

use rate_limit::{Buckets, Rate, network};
use signaling_core::{Refusal, Timestamp};

/// Maximum number of senders tracked, for each kind.
const REMEMBERED: usize = 10_000;

/// Counts requests by sender, with IPv6 addresses grouped by /64.
#[derive(Debug)]
pub(crate) struct RateLimits {
    readers: Buckets<IpAddr, Timestamp>,
    makers: Buckets<IpAddr, Timestamp>,
    keys: Buckets<String, Timestamp>,
}

impl RateLimits {
    pub(crate) fn new() -> Self {
        Self {
            readers: Buckets::new(Rate::every(Duration::from_millis(50), 300), REMEMBERED),
            makers: Buckets::new(Rate::every(Duration::from_secs(2), 200), REMEMBERED),
            keys: Buckets::new(Rate::every(Duration::from_millis(10), 1_000), REMEMBERED),
        }
    }

    /// Counts a request without a key.
    pub(crate) fn take_reader(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        ip.map_or(Ok(()), |ip| self.readers.take(now, network(ip))).map_err(too_many)
    }

    /// Counts a meeting created without a key.
    pub(crate) fn take_maker(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        ip.map_or(Ok(()), |ip| self.makers.take(now, network(ip))).map_err(too_many)
    }

    /// Counts a request with the key of this id.
    pub(crate) fn take_key(&self, now: Timestamp, key: &str) -> Result<(), Refusal> {
        self.keys.take(now, key.to_owned()).map_err(too_many)
    }
}

fn too_many(wait: Duration) -> Refusal {
    Refusal::rate_limited(wait, "too many requests; wait a little")
}
