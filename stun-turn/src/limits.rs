//! Quotas and rates, by client and in total.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rate_limit::{Bucket, Rate, network};

/// The limits of a server. Quotas hold over all of its shards.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Allocations in total.
    pub allocations: usize,
    /// Allocations of one user (the part of the name after the expiry).
    pub allocations_per_user: usize,
    /// Allocations of one address; IPv6 by its /64.
    pub allocations_per_address: usize,
    /// Permissions of one allocation.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// Bytes of payload a second that one allocation relays in both directions together. The server drops packets above it.
    pub bytes_per_second: Option<u64>,
    /// Answers a second that one address (IPv6 by its /64) gets before it has authenticated, with ten times as many at once.
    pub unauthenticated_per_second: Option<u32>,
    /// Connections over TCP and TLS in total, and DTLS associations.
    pub connections: usize,
    /// The same from one address.
    pub connections_per_address: usize,
    /// The longest lifetime that is granted.
    pub max_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 16_000,
            allocations_per_user: 100,
            allocations_per_address: 2_000,
            permissions: 64,
            channels: 64,
            bytes_per_second: None,
            unauthenticated_per_second: Some(100),
            connections: 10_000,
            connections_per_address: 1_000,
            max_lifetime: Duration::from_hours(1),
        }
    }
}

/// Counts of allocations, shared by the shards of a server.
#[derive(Debug, Default)]
pub struct Quotas {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    users: HashMap<Box<str>, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl Counts {
    fn count(&mut self, user: &str, address: IpAddr) {
        self.total += 1;
        if let Some(count) = self.users.get_mut(user) {
            *count += 1;
        } else {
            self.users.insert(user.into(), 1);
        }
        *self.addresses.entry(address).or_default() += 1;
    }
}

impl Quotas {
    /// Takes one allocation for `user` at `address`; `false` when a limit is reached.
    pub fn take(&self, limits: &Limits, user: &str, address: IpAddr) -> bool {
        let mut counts = self.lock();
        let address = network(address);
        let of_user = counts.users.get(user).copied().unwrap_or(0);
        let of_address = counts.addresses.get(&address).copied().unwrap_or(0);
        if counts.total >= limits.allocations
            || of_user >= limits.allocations_per_user
            || of_address >= limits.allocations_per_address
        {
            return false;
        }
        counts.count(user, address);
        true
    }

    /// Takes back an allocation that was just released, without checking limits.
    pub(crate) fn put_back(&self, user: &str, address: IpAddr) {
        self.lock().count(user, network(address));
    }

    /// Releases an allocation of `user` at `address`.
    pub fn release(&self, user: &str, address: IpAddr) {
        let mut counts = self.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                counts.users.remove(user);
            }
        }
        let address = network(address);
        if let Some(count) = counts.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.addresses.remove(&address);
            }
        }
    }

    /// Allocations in total.
    pub fn total(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts are whole between statements that can panic, so a poisoned lock says nothing about them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rates by address in a table of fixed size, so that made-up sources cost no memory. Addresses that fall
/// into one slot share its rate.
#[derive(Debug)]
pub struct RateTable {
    rate: Rate,
    slots: Vec<Bucket<Instant>>,
    hasher: FixedState,
}

impl RateTable {
    const SLOTS: usize = 4096;

    /// A table with `per_second` for each slot and ten seconds' worth at once.
    pub fn new(now: Instant, per_second: u32, seed: u64) -> Self {
        let per_second = u64::from(per_second);
        let rate = Rate::per_second(per_second, per_second * 10);
        Self { rate, slots: vec![Bucket::full(now); Self::SLOTS], hasher: FixedState::with_seed(seed) }
    }

    /// Takes one for `address`.
    pub fn take(&mut self, now: Instant, address: IpAddr) -> bool {
        let hash = self.hasher.hash_one(Hashed(network(address)));
        let slot = usize::try_from(hash % Self::SLOTS as u64).unwrap_or(0);
        self.slots.get_mut(slot).is_some_and(|bucket| bucket.take(now, self.rate, 1).is_ok())
    }
}

#[derive(Hash)]
struct Hashed(IpAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_count_by_user_address_and_total() {
        let limits = Limits {
            allocations: 4,
            allocations_per_user: 2,
            allocations_per_address: 3,
            ..Limits::default()
        };
        let quotas = Quotas::default();
        let home: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let same_net: IpAddr = "2001:db8:0:1:ffff::2".parse().unwrap();
        let away: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(quotas.take(&limits, "a", home));
        assert!(quotas.take(&limits, "a", same_net));
        assert!(!quotas.take(&limits, "a", away), "user");
        assert!(quotas.take(&limits, "b", home));
        assert!(!quotas.take(&limits, "c", same_net), "address");
        assert!(quotas.take(&limits, "c", away));
        assert!(!quotas.take(&limits, "d", away), "total");
        quotas.release("c", away);
        assert!(quotas.take(&limits, "d", away));
        for (user, address) in [("a", home), ("a", home), ("b", home), ("d", away)] {
            quotas.release(user, address);
        }
        let counts = quotas.lock();
        assert_eq!((counts.total, counts.users.len(), counts.addresses.len()), (0, 0, 0));
    }

    #[test]
    fn the_table_limits_each_address() {
        let start = crate::testing::start();
        let mut table = RateTable::new(start, 1, 7);
        let a = "192.0.2.1".parse().unwrap();
        let b = "192.0.2.2".parse().unwrap();
        assert_eq!((0..100).filter(|_| table.take(start, a)).count(), 10);
        assert!(table.take(start, b));
    }
}
