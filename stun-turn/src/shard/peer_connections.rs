//! Connections between TCP relays and peers (RFC 6062).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::verified::Verified;

/// The number that names a connection to a client (RFC 6062, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u32);

/// The driver's name for a peer's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerSocketId(pub u32);

#[derive(Debug)]
pub(super) enum State {
    /// The relay is connecting; the client waits for the answer to its Connect.
    Connecting(Verified),
    /// Connected, and the client has not come for it.
    Waiting { socket: PeerSocketId, until: Instant },
    /// Bytes flow.
    Bound { socket: PeerSocketId },
}

#[derive(Debug)]
pub(super) struct PeerConnection {
    pub(super) allocation: usize,
    pub(super) peer: SocketAddr,
    pub(super) state: State,
}

impl PeerConnection {
    pub(super) fn socket(&self) -> Option<PeerSocketId> {
        match self.state {
            State::Connecting(_) => None,
            State::Waiting { socket, .. } | State::Bound { socket } => Some(socket),
        }
    }
}

/// All connections of peers.
#[derive(Debug, Default)]
pub(super) struct PeerConnections {
    pub(super) by_id: HashMap<ConnectionId, PeerConnection>,
}

impl PeerConnections {
    /// When the next one that waits is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.by_id.values().filter_map(|connection| match connection.state {
            State::Waiting { until, .. } => Some(until),
            State::Connecting(_) | State::Bound { .. } => None,
        });
        waiting.min()
    }

    pub(super) fn forget_socket(&mut self, socket: PeerSocketId) {
        self.by_id.retain(|_, connection| connection.socket() != Some(socket));
    }

    /// Forgets the connections of an allocation and names those to close.
    pub(super) fn remove_allocation(&mut self, allocation: usize) -> Vec<PeerSocketId> {
        let gone = self.by_id.extract_if(|_, connection| connection.allocation == allocation);
        gone.filter_map(|(_, connection)| connection.socket()).collect()
    }

    pub(super) fn has_peer(&self, allocation: usize, peer: SocketAddr) -> bool {
        self.by_id.values().any(|connection| connection.allocation == allocation && connection.peer == peer)
    }

    pub(super) fn count(&self, allocation: usize) -> usize {
        self.by_id.values().filter(|connection| connection.allocation == allocation).count()
    }
}
