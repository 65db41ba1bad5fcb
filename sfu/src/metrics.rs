//! What has happened, in numbers. None is kept by client or room, so they don't grow with them.

use std::sync::{Arc, Mutex, PoisonError};

/// Counts of one shard or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Rooms with media now.
    pub rooms: u64,
    /// Peers in them.
    pub peers: u64,
    /// Peer connections; a peer has one to publish and one to subscribe.
    pub transports: u64,
    /// Tracks that are published.
    pub publications: u64,
    /// Tracks that are handed on, each counted for each who receives it.
    pub subscriptions: u64,
    /// Datagrams received since the start.
    pub datagrams_received: u64,
    /// Bytes of them.
    pub bytes_received: u64,
    /// Datagrams sent since the start.
    pub datagrams_sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
}

impl Metrics {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        let Self {
            rooms,
            peers,
            transports,
            publications,
            subscriptions,
            datagrams_received,
            bytes_received,
            datagrams_sent,
            bytes_sent,
        } = other;
        self.rooms += rooms;
        self.peers += peers;
        self.transports += transports;
        self.publications += publications;
        self.subscriptions += subscriptions;
        self.datagrams_received += datagrams_received;
        self.bytes_received += bytes_received;
        self.datagrams_sent += datagrams_sent;
        self.bytes_sent += bytes_sent;
    }
}

/// The numbers of one shard as of its last turn, for others to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published(Arc<Mutex<Metrics>>);

impl Published {
    pub(crate) fn set(&self, metrics: Metrics) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = metrics;
    }

    pub(crate) fn read(&self) -> Metrics {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
