//! The metrics of the media server. None is kept per client or room, so their number is constant.

use std::sync::{Arc, Mutex, PoisonError};

/// The metrics of one shard, or of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The current number of rooms with media.
    pub rooms: u64,
    /// The current number of peers in them.
    pub peers: u64,
    /// The current number of peer connections; a peer has at most one to publish and one to subscribe.
    pub transports: u64,
    /// The current number of published tracks.
    pub publications: u64,
    /// The current number of subscriptions: each track counts once per subscriber.
    pub subscriptions: u64,
    /// The current number of clients' TCP connections that carry media.
    pub streams: u64,
    /// The datagrams received since the start.
    pub datagrams_received: u64,
    /// The bytes received since the start.
    pub bytes_received: u64,
    /// The datagrams sent since the start.
    pub datagrams_sent: u64,
    /// The bytes sent since the start.
    pub bytes_sent: u64,
    /// The datagrams for slow TCP connections that became too old to send, since the start.
    pub datagrams_expired: u64,
}

impl Metrics {
    /// Adds the metrics of another shard.
    pub fn add(&mut self, other: &Self) {
        let Self {
            rooms,
            peers,
            transports,
            publications,
            subscriptions,
            streams,
            datagrams_received,
            bytes_received,
            datagrams_sent,
            bytes_sent,
            datagrams_expired,
        } = other;
        self.rooms += rooms;
        self.peers += peers;
        self.transports += transports;
        self.publications += publications;
        self.subscriptions += subscriptions;
        self.streams += streams;
        self.datagrams_received += datagrams_received;
        self.bytes_received += bytes_received;
        self.datagrams_sent += datagrams_sent;
        self.bytes_sent += bytes_sent;
        self.datagrams_expired += datagrams_expired;
    }
}

/// The metrics of one shard as of its last turn, readable from other threads.
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
