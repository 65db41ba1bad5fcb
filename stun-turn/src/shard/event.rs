//! Inputs and outputs of the state machine.

use std::net::{IpAddr, SocketAddr};

use super::peer_connections::{ConnectionId, PeerSocketId};
use crate::five_tuple::{FiveTuple, PathId, RelayId};
use crate::wire::DataPrefix;

/// An input from the driver.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram or one frame of a stream from a client.
    Client {
        /// The client and the address that it sent to.
        tuple: FiveTuple,
        /// The way back to the client.
        path: PathId,
        /// STUN or `ChannelData`.
        message: &'a [u8],
    },
    /// A datagram that a relay's socket received.
    Peer {
        /// The relay.
        relay: RelayId,
        /// The sender.
        from: SocketAddr,
        /// The payload.
        payload: &'a [u8],
    },
    /// A datagram for the relay at port `to` that came another way than through its socket: from another shard, or from
    /// a media server in this process.
    Local {
        /// A relayed address of this shard.
        to: SocketAddr,
        /// The address that the sender goes by.
        from: SocketAddr,
        /// The payload.
        payload: &'a [u8],
    },
    /// The answer to [`Output::OpenRelay`].
    RelayOpened {
        /// The request.
        opening: OpeningId,
        /// The sockets, or the error.
        result: Result<OpenedRelays, OpenError>,
    },
    /// A client's stream or DTLS association has ended, and its allocation with it (RFC 8656, section 3.1).
    Disconnected {
        /// The connection.
        tuple: FiveTuple,
    },
    /// The answer to [`Output::ConnectPeer`].
    PeerConnected {
        /// The connection.
        connection: ConnectionId,
        /// The driver's name for the socket; `None` if the connection failed.
        socket: Option<PeerSocketId>,
    },
    /// A peer connected to a TCP relay.
    PeerAccepted {
        /// The relay.
        relay: RelayId,
        /// The driver's name for the socket.
        socket: PeerSocketId,
        /// The peer.
        from: SocketAddr,
    },
    /// A peer's connection is closed.
    PeerClosed {
        /// The connection.
        socket: PeerSocketId,
    },
}

/// The destination of a relayed packet. The payload is that of the input.
#[derive(Debug)]
pub enum Relayed<'a> {
    /// Send it from a relay's socket.
    ToPeer {
        /// The relay.
        relay: RelayId,
        /// The peer.
        peer: SocketAddr,
        /// Whether IPv4 must not fragment it (RFC 8656, section 14).
        dont_fragment: bool,
        /// The payload.
        payload: &'a [u8],
    },
    /// Send it to a client: prefix, payload, and the tail of the prefix.
    ToClient {
        /// The client.
        tuple: FiveTuple,
        /// The way to the client.
        path: PathId,
        /// The bytes around the payload.
        prefix: DataPrefix,
        /// The payload.
        payload: &'a [u8],
    },
    /// Hand it to another shard, as [`Input::Local`].
    ToShard {
        /// The shard.
        shard: u8,
        /// The destination.
        to: SocketAddr,
        /// The sender's relayed address.
        from: SocketAddr,
        /// The payload.
        payload: &'a [u8],
    },
    /// Give it to the media server in this process.
    ToMedia {
        /// The media server's address.
        to: SocketAddr,
        /// The sender's relayed address.
        from: SocketAddr,
        /// The payload.
        payload: &'a [u8],
    },
}

/// An action for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client.
    Transmit {
        /// The client.
        tuple: FiveTuple,
        /// The way to the client.
        path: PathId,
        /// The message.
        message: Vec<u8>,
    },
    /// Send a datagram from another of the server's addresses (RFC 5780).
    TransmitFrom {
        /// The server's address.
        server: SocketAddr,
        /// The client.
        client: SocketAddr,
        /// The message.
        message: Vec<u8>,
    },
    /// Open sockets for an allocation and answer with [`Input::RelayOpened`].
    OpenRelay {
        /// The name of this request.
        opening: OpeningId,
        /// The sockets to open.
        wanted: RelayWanted,
    },
    /// Close a relay's socket.
    CloseRelay {
        /// The relay.
        relay: RelayId,
    },
    /// Close a client's stream, after a message that a stream cannot carry.
    Disconnect {
        /// The way to the client.
        path: PathId,
    },
    /// Connect a relay to a peer and answer with [`Input::PeerConnected`] (RFC 6062).
    ConnectPeer {
        /// The relay.
        relay: RelayId,
        /// The peer.
        peer: SocketAddr,
        /// The name of this request.
        connection: ConnectionId,
    },
    /// Copy bytes between a client's data connection and a peer's from here on (RFC 6062).
    Splice {
        /// The client's.
        path: PathId,
        /// The peer's.
        socket: PeerSocketId,
    },
    /// Close a peer's connection.
    ClosePeer {
        /// The connection.
        socket: PeerSocketId,
    },
}

/// The name of a request for relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpeningId(pub(super) usize);

/// The sockets that an allocation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayWanted {
    /// A UDP socket on each of up to two addresses.
    Udp {
        /// The first.
        address: IpAddr,
        /// One of the other family; the allocation succeeds without it (RFC 8656, section 7.2).
        additional: Option<IpAddr>,
        /// Whether the port must be even.
        is_even: bool,
        /// Whether to reserve the next higher port.
        reserve_next: bool,
    },
    /// The port that was held under this token.
    Reserved([u8; 8]),
    /// A TCP listener (RFC 6062).
    Tcp {
        /// The address to listen on.
        address: IpAddr,
    },
}

/// A socket that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedRelay {
    /// The driver's name for it.
    pub id: RelayId,
    /// The address that it is bound to.
    pub bound: SocketAddr,
}

/// Sockets that were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedRelays {
    /// The first.
    pub relay: OpenedRelay,
    /// The one of the other family, when it was wanted.
    pub additional: Option<Result<OpenedRelay, OpenError>>,
    /// The token under which the next port is held, when that was wanted.
    pub reservation: Option<[u8; 8]>,
}

/// The reason why no relay was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No port is left, or the machine has no more sockets.
    #[error("no port or socket is left")]
    Exhausted,
    /// The address is not of this machine, or its family is not there.
    #[error("the address cannot be bound")]
    AddressUnavailable,
    /// The token is unknown, used or too old.
    #[error("there is no such reservation")]
    UnknownReservation,
}
