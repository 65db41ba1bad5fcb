//! A connection between a TCP relay and a peer (RFC 6062).

use std::net::TcpStream;
use std::time::Instant;

use datagrams::Interest;

use super::stream::Pending;
use crate::shard::ConnectionId;

/// Bytes that wait on one side before the other side is no longer read.
pub(super) const HIGH_WATER: usize = 64 * 1024;

pub(super) enum State {
    Connecting(ConnectionId),
    /// The client has not bound it. Bytes of the peer wait in the kernel.
    Waiting,
    /// Exchanges data with a client's connection.
    Spliced(usize),
    /// The client has closed; its last bytes are still to be written.
    Finishing(Instant),
}

/// A peer's connection.
pub(super) struct PeerStream {
    pub(super) socket: TcpStream,
    pub(super) state: State,
    pub(super) pending: Pending,
    pub(super) interest: Interest,
}

impl PeerStream {
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() > HIGH_WATER
    }
}
