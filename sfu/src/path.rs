//! The two ends of a client's datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a datagram came from and which of our addresses it was sent to. What goes back takes the same two: a client
/// drops an answer that comes from another address than the one it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The client.
    pub remote: SocketAddr,
    /// Ours; unspecified where the socket has only one, or where the system may choose.
    pub local: IpAddr,
}

impl Path {
    /// A path whose own end is left to the system.
    pub fn to(remote: SocketAddr) -> Self {
        Self { remote, local: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
    }
}
