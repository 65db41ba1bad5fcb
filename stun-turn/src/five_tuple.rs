//! The client of a message, and the socket that it used.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// Datagrams under DTLS.
    Dtls,
}

impl Transport {
    /// Whether messages come in a stream of bytes.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// Client address, server address and transport: what names an allocation (RFC 8656, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiveTuple {
    /// The transport.
    pub transport: Transport,
    /// The client, as the server sees it.
    pub client: SocketAddr,
    /// The server's own end.
    pub server: SocketAddr,
}

impl Hash for FiveTuple {
    /// Two or a few words instead of the seventy bytes of two `SocketAddr`: this is computed for each packet.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = (u64::from(self.client.port()) << 24)
            | (u64::from(self.server.port()) << 8)
            | self.transport as u64;
        match (self.client.ip(), self.server.ip()) {
            (IpAddr::V4(client), IpAddr::V4(server)) => {
                state.write_u64((u64::from(u32::from(client)) << 32) | u64::from(u32::from(server)));
                state.write_u64(ports);
            }
            (client, server) => {
                state.write_u128(wide(client));
                state.write_u128(wide(server));
                state.write_u64(ports);
            }
        }
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The driver's name for the way back to a client: a socket or a connection. The core only keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathId(pub u32);

impl PathId {
    /// The way to a client that is gone for now. It leads to no socket.
    pub const NOWHERE: Self = Self(u32::MAX);
}

/// The driver's name for a relay's socket: small numbers, used anew when a relay is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelayId(pub u32);
