//! The sockets that relays have towards their peers.

use std::net::{SocketAddr, TcpListener};

use datagrams::Socket;

use super::flow::Flow;

/// A relay's socket. Small, because there are thousands of them and each packet looks one up.
pub(super) enum RelaySocket {
    Udp(UdpRelay),
    /// A UDP relay inside the process, with the number of its port.
    Inside(u16),
    Tcp(Box<TcpRelay>),
}

/// The socket of a UDP relay, and that for its main peer.
pub(super) struct UdpRelay {
    pub(super) socket: Socket,
    pub(super) port: u16,
    /// Whether datagrams that leave by `socket` carry the don't-fragment bit at the moment.
    pub(super) dont_fragment: bool,
    pub(super) flow: Flow,
}

/// The listener of a TCP relay.
pub(super) struct TcpRelay {
    pub(super) socket: TcpListener,
    pub(super) local: SocketAddr,
}
