//! Clients behind a relay in the same process: what they send and what they get touches no socket in between.

use std::net::SocketAddr;

/// A relay in the same process.
pub trait Relay: Send + Sync {
    /// Takes a datagram for the relayed address `to`, sent by one of our addresses. Called on a shard's thread: it must not
    /// block, and drops what it can't take.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]);
}
