//! The two endpoints of a client's datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::keys::StreamKey;

/// The buffer size for one datagram, in bytes. WebRTC packets usually stay below 1,200 to 1,300 bytes.
pub const MAX_DATAGRAM: usize = 1_500;

/// The source of a datagram and the server address to which it was sent. Responses use the same path, because a client
/// drops a response from any other address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The client's address.
    pub remote: SocketAddr,
    /// The server's address; unspecified if the socket has only one or the system may choose.
    pub local: IpAddr,
    /// The carrier of the datagrams.
    pub carrier: Carrier,
}

/// The means by which datagrams travel between a client and a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The media port.
    Socket,
    /// A relay in the same process, without a socket in between.
    Relay,
    /// A TCP connection of the client (RFC 6544).
    Stream(StreamKey),
}

/// What a client's datagrams are recognised by. Two clients behind one NAT may have the same address, one of UDP and one
/// of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    remote: SocketAddr,
    stream: Option<StreamKey>,
}

impl Path {
    /// A path through the media port, with the local address left to the system.
    pub fn to(remote: SocketAddr) -> Self {
        Self { remote, local: IpAddr::V4(Ipv4Addr::UNSPECIFIED), carrier: Carrier::Socket }
    }

    /// A path through a client's TCP connection.
    pub(crate) fn streamed(stream: StreamKey, remote: SocketAddr, local: IpAddr) -> Self {
        Self { remote, local, carrier: Carrier::Stream(stream) }
    }

    /// What datagrams that arrive by this path are recognised by.
    pub(crate) fn source(&self) -> Source {
        let stream = match self.carrier {
            Carrier::Stream(stream) => Some(stream),
            Carrier::Socket | Carrier::Relay => None,
        };
        Source { remote: self.remote, stream }
    }

    /// A path through a relay in the same process.
    pub fn relayed(remote: SocketAddr, local: IpAddr) -> Self {
        Self { remote, local, carrier: Carrier::Relay }
    }
}
