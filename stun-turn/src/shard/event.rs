//! What goes into the state machine, and what comes out of it.

use std::net::{IpAddr, SocketAddr};

use super::peer_connections::{ConnectionId, PeerSocketId};
use crate::five_tuple::{FiveTuple, PathId, RelayId};
use crate::wire::DataPrefix;

/// What the driver tells the state machine.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram or one frame of a stream from a client.
    Client {
        /// Who sent it, and to where.
        tuple: FiveTuple,
        /// The way back.
        path: PathId,
        /// STUN or `ChannelData`.
        message: &'a [u8],
    },
    /// A datagram that a relay's socket received.
    Peer {
        /// Whose socket.
        relay: RelayId,
        /// Who sent it.
        from: SocketAddr,
        /// What it says.
        payload: &'a [u8],
    },
    /// A datagram for the relay at port `to` that came another way than through its socket: from another shard, or from
    /// a media server in this process.
    Local {
        /// A relayed address of this shard.
        to: SocketAddr,
        /// The address that the sender goes by.
        from: SocketAddr,
        /// What it says.
        payload: &'a [u8],
    },
    /// The answer to [`Output::OpenRelay`].
    RelayOpened {
        /// Which one.
        opening: OpeningId,
        /// What came of it.
        result: Result<OpenedRelays, OpenError>,
    },
    /// A client's stream or DTLS association has ended, and its allocation with it (RFC 8656, section 3.1).
    Disconnected {
        /// Which one.
        tuple: FiveTuple,
    },
    /// The answer to [`Output::ConnectPeer`].
    PeerConnected {
        /// Which one.
        connection: ConnectionId,
        /// The driver's name for the socket; `None` when nothing came of it.
        socket: Option<PeerSocketId>,
    },
    /// A peer connected to a TCP relay.
    PeerAccepted {
        /// Whose socket.
        relay: RelayId,
        /// The driver's name for the socket.
        socket: PeerSocketId,
        /// Who it is.
        from: SocketAddr,
    },
    /// A peer's connection is closed.
    PeerClosed {
        /// Which one.
        socket: PeerSocketId,
    },
}

/// What is to be done with a packet that was relayed; the payload is that of the input.
#[derive(Debug)]
pub enum Relayed<'a> {
    /// Send it from a relay's socket.
    ToPeer {
        /// Whose socket.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
        /// Whether IPv4 must not fragment it (RFC 8656, section 14).
        dont_fragment: bool,
        /// What it says.
        payload: &'a [u8],
    },
    /// Send it to a client: prefix, payload, and the tail of the prefix.
    ToClient {
        /// To whom.
        tuple: FiveTuple,
        /// By which way.
        path: PathId,
        /// What stands around the payload.
        prefix: DataPrefix,
        /// What it says.
        payload: &'a [u8],
    },
    /// Hand it to another shard, as [`Input::Local`].
    ToShard {
        /// Which one.
        shard: u8,
        /// Where it goes.
        to: SocketAddr,
        /// The sender's relayed address.
        from: SocketAddr,
        /// What it says.
        payload: &'a [u8],
    },
    /// Give it to the media server in this process.
    ToMedia {
        /// The media server's address.
        to: SocketAddr,
        /// The sender's relayed address.
        from: SocketAddr,
        /// What it says.
        payload: &'a [u8],
    },
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client.
    Transmit {
        /// To whom.
        tuple: FiveTuple,
        /// By which way.
        path: PathId,
        /// The message.
        message: Vec<u8>,
    },
    /// Send a datagram from another of the server's addresses (RFC 5780).
    TransmitFrom {
        /// Which one.
        server: SocketAddr,
        /// To whom.
        client: SocketAddr,
        /// The message.
        message: Vec<u8>,
    },
    /// Open sockets for an allocation and answer with [`Input::RelayOpened`].
    OpenRelay {
        /// The name of this demand.
        opening: OpeningId,
        /// What is wanted.
        wanted: RelayWanted,
    },
    /// Close a relay's socket.
    CloseRelay {
        /// Whose socket.
        relay: RelayId,
    },
    /// Close a client's stream: what it sent makes no sense there.
    Disconnect {
        /// By which way.
        path: PathId,
    },
    /// Connect a relay to a peer and answer with [`Input::PeerConnected`] (RFC 6062).
    ConnectPeer {
        /// Whose socket.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
        /// The name of this demand.
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
        /// Which one.
        socket: PeerSocketId,
    },
}

/// The name of a demand for relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpeningId(pub(super) usize);

/// Which sockets an allocation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayWanted {
    /// A UDP socket on each of up to two addresses.
    Udp {
        /// The first.
        address: IpAddr,
        /// One of the other family, whose lack is no failure (RFC 8656, section 7.2).
        additional: Option<IpAddr>,
        /// The port is even.
        is_even: bool,
        /// The next higher port is held for a while, too.
        reserve_next: bool,
    },
    /// The port that was held under this token.
    Reserved([u8; 8]),
    /// A TCP listener (RFC 6062).
    Tcp {
        /// Where.
        address: IpAddr,
    },
}

/// A socket that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedRelay {
    /// Its name from here on.
    pub id: RelayId,
    /// Where it is bound.
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

/// Why there is no relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No port is left, or the machine has no more sockets.
    #[error("no port or socket is left")]
    Exhausted,
    /// The address is not of this machine, or its family is not there.
    #[error("the address can not be bound")]
    AddressUnavailable,
    /// The token is unknown, used or too old.
    #[error("there is no such reservation")]
    UnknownReservation,
}
