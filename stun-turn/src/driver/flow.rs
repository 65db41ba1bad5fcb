//! A relay's main peer, and the connected socket for it.
//!
//! The socket is bound to the relay's address as well and connected to that peer. The kernel keeps the way to the peer with a
//! connected socket, and takes the identification of IPv4 datagrams from it; for others it looks up the one and computes the
//! other, for each datagram. What the peer sends comes in through that socket, too.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use datagrams::{Route, Socket};

/// Consecutive packets to one peer after which it gets a socket. Opening one costs about what so many packets save.
const WORTH_A_SOCKET: u8 = 64;
/// Sweeps (one a second) without a packet after which the socket is closed.
const IDLE_SWEEPS: u8 = 30;

/// The state of a relay's main peer.
pub(super) enum Flow {
    /// Packets leave by the relay's socket. The peer of the last one, and the number of consecutive packets to it.
    Plain { peer: Option<SocketAddr>, packets: u8 },
    /// Packets to this peer leave by this socket.
    Connected { peer: SocketAddr, socket: Socket, idle_sweeps: u8 },
    /// The system refused to open a socket.
    Refused,
}

impl Flow {
    pub(super) const NEW: Self = Self::Plain { peer: None, packets: 0 };

    /// The way of packets to `peer`, if it has a socket of its own.
    pub(super) fn route_to(&mut self, peer: SocketAddr) -> Option<Route> {
        match self {
            Self::Connected { peer: connected, socket, idle_sweeps } if *connected == peer => {
                *idle_sweeps = 0;
                Some(socket.route_to_peer())
            }
            _ => None,
        }
    }

    /// Counts a packet to `peer` that leaves by the relay's socket; says whether a socket for it is due.
    pub(super) fn count(&mut self, to: SocketAddr) -> bool {
        let Self::Plain { peer, packets } = self else { return false };
        if *peer != Some(to) {
            (*peer, *packets) = (Some(to), 0);
        }
        *packets = packets.saturating_add(1);
        *packets >= WORTH_A_SOCKET
    }

    /// The socket to read what the peer sent.
    pub(super) fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Connected { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// Records a packet from the peer.
    pub(super) fn touch(&mut self) {
        if let Self::Connected { idle_sweeps, .. } = self {
            *idle_sweeps = 0;
        }
    }

    /// Called once a second for a connected one; says whether it was idle for so long that its socket is to be closed.
    pub(super) fn is_idle(&mut self) -> bool {
        let Self::Connected { idle_sweeps, .. } = self else { return false };
        *idle_sweeps = idle_sweeps.saturating_add(1);
        *idle_sweeps > IDLE_SWEEPS
    }
}

/// Descriptors that the main peers of all shards may use. It leaves enough for relays.
pub(super) struct FlowBudget(AtomicUsize);

impl FlowBudget {
    pub(super) fn new(sockets: usize) -> Self {
        Self(AtomicUsize::new(sockets))
    }

    /// Takes a descriptor; `false` when none is left.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub(super) fn give_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_socket_is_due_after_many_packets_in_a_row_to_one_peer() {
        let mut flow = Flow::NEW;
        for _ in 0..10 {
            assert!((1..WORTH_A_SOCKET).all(|_| !flow.count(peer(1))));
            assert!(!flow.count(peer(2)), "another peer begins anew");
        }
        assert!((1..WORTH_A_SOCKET).all(|_| !flow.count(peer(1))));
        assert!(flow.count(peer(1)));
    }

    #[test]
    fn only_what_passes_keeps_a_socket_open() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), &datagrams::Options::default()).unwrap();
        let mut flow = Flow::Connected { peer: peer(1), socket, idle_sweeps: 0 };
        assert!((0..IDLE_SWEEPS).all(|_| !flow.is_idle()));
        assert!(flow.route_to(peer(1)).is_some());
        assert!((0..IDLE_SWEEPS).all(|_| !flow.is_idle()));
        assert!(flow.route_to(peer(2)).is_none());
        flow.touch();
        assert!((0..IDLE_SWEEPS).all(|_| !flow.is_idle()));
        assert!(flow.is_idle());
    }

    #[test]
    fn the_budget_is_never_overdrawn() {
        let budget = FlowBudget::new(2);
        assert!(budget.take() && budget.take() && !budget.take());
        budget.give_back();
        assert!(budget.take() && !budget.take());
    }
}
