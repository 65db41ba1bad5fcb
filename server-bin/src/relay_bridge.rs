//! Passes packets between the relay and the media server of this process, without sockets.

use std::fmt;
use std::net::SocketAddr;

use stun_turn::{Handle, RelayPeer};

/// The media server, as the relay sees it.
pub(crate) struct MediaPeer {
    pub(crate) sfu: sfu::Handle,
    /// The addresses announced to clients.
    pub(crate) candidates: Vec<SocketAddr>,
}

impl fmt::Debug for MediaPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaPeer").field("candidates", &self.candidates).finish_non_exhaustive()
    }
}

impl RelayPeer for MediaPeer {
    fn serves(&self, address: SocketAddr) -> bool {
        self.candidates.contains(&address)
    }

    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.sfu.deliver(from, to, payload);
    }
}

/// The relay, as the media server sees it.
pub(crate) struct TurnRelay(pub(crate) Handle);

impl sfu::Relay for TurnRelay {
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        // A relay that is gone or overloaded loses the packet, as a network would.
        let _ = self.0.send_to_relay(from, to, datagram);
    }

    fn receive(&self, client: SocketAddr, server: SocketAddr, datagram: &[u8]) {
        let _ = self.0.receive(client, server, datagram);
    }
}
