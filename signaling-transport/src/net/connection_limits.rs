//! Limits on the connections of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rate_limit::{Bucket, Rate, network};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Limits on the connections of one address; an IPv6 address stands for its /64. 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections open at once.
    pub at_once: u32,
    /// New connections per second, over longer times.
    pub per_second: u32,
    /// New connections in a burst, before `per_second` applies; meaningless without it.
    pub burst: u32,
}

impl Default for AddressLimits {
    /// Sized for a school behind one address: 1,000 connections at once and 50 new ones per second, with room for a
    /// class that opens the page together (a browser makes some six connections for it).
    fn default() -> Self {
        Self { at_once: 1_000, per_second: 50, burst: 250 }
    }
}

/// The limit for which a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverLimit {
    /// The address has as many connections as it may.
    TooManyAtOnce,
    /// The address opens connections too fast.
    TooFast,
}

/// Counts connections by address. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct ConnectionCounts {
    table: Arc<Mutex<Table>>,
}

impl ConnectionCounts {
    pub(super) fn new(limits: AddressLimits) -> Self {
        Self { table: Arc::new(Mutex::new(Table { limits, entries: HashMap::new(), sweep_at: SWEEP_FLOOR })) }
    }

    /// Admits or refuses a connection. Dropping the permit frees its place.
    pub(super) fn admit(&self, now: Instant, ip: IpAddr) -> Result<Permit, OverLimit> {
        let key = network(ip);
        self.lock().admit(now, key)?;
        Ok(Permit { counted: Some((self.clone(), key)) })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections of an address.
#[derive(Debug)]
pub(super) struct Permit {
    /// The address, unless no limit applies.
    counted: Option<(ConnectionCounts, IpAddr)>,
}

impl Permit {
    /// A permit to which no limit applies.
    pub(super) fn exempt() -> Self {
        Self { counted: None }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((counts, key)) = &self.counted {
            counts.lock().release(*key);
        }
    }
}

/// A connection's place in the counts. It is freed when the last byte stream of the connection is gone, also after an
/// upgrade.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) _permit: Permit,
    pub(super) _tracked: TaskTrackerToken,
}

/// Fewer entries than this are never swept.
const SWEEP_FLOOR: usize = 1_024;

#[derive(Debug)]
struct Table {
    limits: AddressLimits,
    entries: HashMap<IpAddr, Entry>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry {
    open: u32,
    bucket: Bucket<Instant>,
}

impl Table {
    fn admit(&mut self, now: Instant, key: IpAddr) -> Result<(), OverLimit> {
        let AddressLimits { at_once, per_second, burst } = self.limits;
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, entry| entry.open > 0 || !entry.bucket.is_full(now));
            self.sweep_at = (self.entries.len() * 2).max(SWEEP_FLOOR);
        }
        let entry = self.entries.entry(key).or_insert(Entry { open: 0, bucket: Bucket::full(now) });
        if at_once > 0 && entry.open >= at_once {
            return Err(OverLimit::TooManyAtOnce);
        }
        if per_second > 0 {
            let rate = Rate::per_second(per_second.into(), burst.into());
            entry.bucket.take(now, rate, 1).map_err(|_| OverLimit::TooFast)?;
        }
        entry.open += 1;
        Ok(())
    }

    fn release(&mut self, key: IpAddr) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.open = entry.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "where the time begins does not matter")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limited(at_once: u32, per_second: u32, burst: u32) -> (ConnectionCounts, Instant) {
        (ConnectionCounts::new(AddressLimits { at_once, per_second, burst }), Instant::now())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_dropped_permit_frees_its_place() {
        let (counts, now) = limited(2, 100, 100);
        let first = counts.admit(now, ip("192.0.2.1")).unwrap();
        let _second = counts.admit(now, ip("192.0.2.1")).unwrap();
        assert_eq!(counts.admit(now, ip("192.0.2.1")).unwrap_err(), OverLimit::TooManyAtOnce);
        drop(first);
        counts.admit(now, ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn zero_is_no_limit() {
        let (counts, now) = limited(0, 0, 0);
        let held: Vec<_> = (0..5_000).map(|_| counts.admit(now, ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(counts.lock().entries.len(), 1);
        drop(held);
        let (counts, now) = limited(1, 0, 0);
        let _held = counts.admit(now, ip("192.0.2.1")).unwrap();
        assert_eq!(counts.admit(now, ip("192.0.2.1")).unwrap_err(), OverLimit::TooManyAtOnce);
    }

    #[test]
    fn the_burst_refills_at_the_lasting_rate() {
        let (counts, now) = limited(1_000, 2, 3);
        for _ in 0..3 {
            drop(counts.admit(now, ip("192.0.2.1")).unwrap());
        }
        assert_eq!(counts.admit(now, ip("192.0.2.1")).unwrap_err(), OverLimit::TooFast);
        drop(counts.admit(now + Duration::from_millis(500), ip("192.0.2.1")).unwrap());
        assert_eq!(
            counts.admit(now + Duration::from_millis(500), ip("192.0.2.1")).unwrap_err(),
            OverLimit::TooFast
        );
    }

    #[test]
    fn addresses_that_went_away_are_forgotten() {
        let (counts, now) = limited(1, 10, 1);
        for n in 0..10_000_u32 {
            let later = now + Duration::from_millis(u64::from(n) * 10);
            drop(counts.admit(later, IpAddr::V4(n.into())).unwrap());
        }
        assert!(counts.lock().entries.len() <= 2 * SWEEP_FLOOR);
    }
}
