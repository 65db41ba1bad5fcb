//! The relay in the same process: its clients exchange datagrams with the shards without a socket, and may reach it on the
//! media port.

use std::net::SocketAddr;

/// A relay in the same process.
pub trait Relay: Send + Sync {
    /// Delivers a datagram from one of the server's addresses to the relayed address `to`. It is called on a shard's
    /// thread, so it must not block, and drops what it cannot accept.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]);

    /// Takes a datagram of STUN or TURN that `client` sent to `server`, an address of the media port that the relay shares
    /// ([`MediaSocket::shared_with`](super::MediaSocket::shared_with)). The address of `server` is unspecified if the port
    /// has only one. As above, it must not block.
    fn receive(&self, client: SocketAddr, server: SocketAddr, datagram: &[u8]);
}
