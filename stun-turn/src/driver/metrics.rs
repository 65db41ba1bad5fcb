//! Metrics of a server.

use std::sync::{Mutex, PoisonError};

use crate::shard::Counters;

/// Metrics of all shards together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Counters of the state machines.
    pub counters: Counters,
    /// Datagrams that the kernel did not take, or for which a client's stream or another shard's queue had no room.
    pub datagrams_dropped: u64,
    /// Connections over TCP and TLS, and DTLS associations.
    pub connections: u64,
}

/// Numbers of one shard, as of its last turn.
#[derive(Default)]
pub(super) struct ShardMetrics(Mutex<Metrics>);

impl Metrics {
    pub(super) fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.datagrams_dropped += other.datagrams_dropped;
        self.connections += other.connections;
    }
}

impl ShardMetrics {
    pub(super) fn read(&self) -> Metrics {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, counters: &Counters, datagrams_dropped: u64, connections: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Metrics { counters: *counters, datagrams_dropped, connections };
    }
}
