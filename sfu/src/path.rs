//! The two ends of a client's datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Room for one datagram, in bytes. Packets stay under the usual 1,200 to 1,300 bytes of WebRTC.
pub const MAX_DATAGRAM: usize = 1_500;

/// Where a datagram came from and which of our addresses it was sent to. What goes back takes the same way: a client
/// drops an answer that comes from another address than the one it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The client.
    pub remote: SocketAddr,
    /// Ours; unspecified where the socket has only one, or where the system may choose.
    pub local: IpAddr,
    /// What carries the datagrams.
    pub carrier: Carrier,
}

/// What carries datagrams between a client and a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The media port.
    Socket,
    /// A relay in the same process: no socket lies in between.
    Relay,
}

impl Path {
    /// A path through the media port whose own end is left to the system.
    pub fn to(remote: SocketAddr) -> Self {
        Self { remote, local: IpAddr::V4(Ipv4Addr::UNSPECIFIED), carrier: Carrier::Socket }
    }

    /// A path through a relay in the same process.
    pub fn relayed(remote: SocketAddr, local: IpAddr) -> Self {
        Self { remote, local, carrier: Carrier::Relay }
    }
}
