//! Relays in the same process, whose clients exchange datagrams with the shards without a socket.

use std::net::SocketAddr;

/// A relay in the same process.
pub trait Relay: Send + Sync {
    /// Delivers a datagram from one of the server's addresses to the relayed address `to`. It is called on a shard's
    /// thread, so it must not block, and drops what it cannot accept.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]);
}
