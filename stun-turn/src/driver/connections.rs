//! How many connections there are, over all shards.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rate_limit::network;

use crate::limits::Limits;

/// Counts of TCP and TLS connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Connections {
    /// Takes a place for a connection of `address`; `false` when there is none.
    pub(super) fn take(&self, limits: &Limits, address: IpAddr) -> bool {
        let mut counts = self.lock();
        let address = network(address);
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.total >= limits.connections || of_address >= limits.connections_per_address {
            return false;
        }
        counts.total += 1;
        counts.by_address.insert(address, of_address + 1);
        true
    }

    /// Gives it back.
    pub(super) fn release(&self, address: IpAddr) {
        let mut counts = self.lock();
        counts.total = counts.total.saturating_sub(1);
        let address = network(address);
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_in_total() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let connections = Connections::default();
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let b: IpAddr = "192.0.2.2".parse().unwrap();
        assert!(connections.take(&limits, a));
        assert!(connections.take(&limits, a));
        assert!(!connections.take(&limits, a));
        assert!(connections.take(&limits, b));
        assert!(!connections.take(&limits, b));
        connections.release(a);
        assert!(connections.take(&limits, b));
        for address in [a, b, b] {
            connections.release(address);
        }
        assert!(connections.lock().by_address.is_empty());
    }
}
