//! The state machine of one shard: no socket, no clock, no source of randomness.

mod allocate;
mod allocation;
mod authenticate;
mod binding;
mod counters;
mod mobility;
mod relay;
mod requests;
mod tcp;
mod tuple_table;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use slab::Slab;

use crate::auth::NonceKey;
use crate::directory::RelayDirectory;
use crate::five_tuple::{FiveTuple, PathId, RelayId};
use crate::limits::{Quotas, RateTable};
use crate::settings::Settings;
use crate::wire::{DataPrefix, Kind, Request, check_stun, classify, message_type, method};
use allocate::Opening;
use allocation::Allocation;
pub use counters::Counters;
use tcp::PeerConnections;
pub use tcp::{ConnectionId, PeerSocketId};
use tuple_table::TupleTable;

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
        /// Whose listener.
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
        /// From where.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
        /// Whether IPv4 must not fragment it (RFC 8656, section 14).
        dont_fragment: bool,
        /// What to send.
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
        /// The payload.
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
        /// Which one.
        relay: RelayId,
    },
    /// Close a client's stream: what it sent makes no sense there.
    Disconnect {
        /// Which one.
        path: PathId,
    },
    /// Connect a relay to a peer and answer with [`Input::PeerConnected`] (RFC 6062).
    ConnectPeer {
        /// From where.
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
pub struct OpeningId(usize);

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

/// What happens when the server takes no more allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Open,
    Draining { alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr> },
}

/// Finds allocations by the name of a relay's socket. Names are small numbers, so it is an array.
#[derive(Debug, Default)]
struct RelayTable(Vec<u32>);

impl RelayTable {
    const NOBODY: u32 = u32::MAX;

    fn find(&self, relay: RelayId) -> Option<usize> {
        self.0.get(relay.0 as usize).filter(|index| **index != Self::NOBODY).map(|index| *index as usize)
    }

    fn insert(&mut self, relay: RelayId, index: usize) {
        let at = relay.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Self::NOBODY);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = u32::try_from(index).unwrap_or(Self::NOBODY);
        }
    }

    fn remove(&mut self, relay: RelayId) {
        if let Some(slot) = self.0.get_mut(relay.0 as usize) {
            *slot = Self::NOBODY;
        }
    }
}

/// What is the same for all shards of a server.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// What the operator decided.
    pub settings: Arc<Settings>,
    /// Who uses how much.
    pub quotas: Arc<Quotas>,
    /// Whose port is whose.
    pub directory: Arc<RelayDirectory>,
    /// The media server in this process, if there is one.
    pub media: Option<Arc<dyn RelayPeer>>,
    /// The secret of the nonces.
    pub nonce_secret: [u8; 32],
}

/// A media server in the same process, reached without a socket.
pub trait RelayPeer: Send + Sync + std::fmt::Debug {
    /// Whether packets to `address` are for it. Only addresses of this machine are asked for.
    fn serves(&self, address: SocketAddr) -> bool;

    /// Takes a packet. Called on the relay's thread: it must not block, and drops what it can not take.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]);
}

/// One shard of a STUN and TURN server.
///
/// Feed it with [`handle_input`](Self::handle_input); do what that returns, then what
/// [`poll_output`](Self::poll_output) gives until it is empty; call [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Turn {
    shared: Shared,
    shard: u8,
    started: Instant,
    unix_at_start: Duration,
    nonces: NonceKey,
    rates: Option<RateTable>,
    service: Service,
    allocations: Slab<Allocation>,
    by_tuple: TupleTable,
    by_port: HashMap<u16, usize, FixedState>,
    by_relay: RelayTable,
    openings: Slab<Opening>,
    connections: PeerConnections,
    deadlines: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    outputs: VecDeque<Output>,
    counters: Counters,
    next_serial: u64,
    random: u64,
}

impl Turn {
    /// A shard that begins at `now`, which is `unix_time` after 1970. `seed` decides transaction ids and the order in
    /// tables; it need not be secret from anybody but clients.
    pub fn new(shared: Shared, index: u8, now: Instant, unix_time: Duration, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let settings = &shared.settings;
        let nonces = NonceKey::new(&shared.nonce_secret, !settings.credentials.users.is_empty());
        let rates = settings.limits.unauthenticated_per_second.map(|rate| RateTable::new(now, rate, seed));
        Self {
            shard: index,
            started: now,
            unix_at_start: unix_time,
            nonces,
            rates,
            service: Service::Open,
            allocations: Slab::new(),
            by_tuple: TupleTable::new(hasher.clone()),
            by_port: HashMap::with_hasher(hasher),
            by_relay: RelayTable::default(),
            openings: Slab::new(),
            connections: PeerConnections::default(),
            deadlines: BinaryHeap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            next_serial: 0,
            random: seed,
            shared,
        }
    }

    /// Takes one event. What is returned is the relayed packet, which borrows the input; everything else comes from
    /// [`poll_output`](Self::poll_output).
    pub fn handle_input<'a>(&mut self, now: Instant, input: Input<'a>) -> Option<Relayed<'a>> {
        match input {
            Input::Client { tuple, path, message } => self.handle_client(now, tuple, path, message),
            Input::Peer { relay, from, payload } => self.relay_to_client(now, relay, from, payload),
            Input::Local { to, from, payload } => self.relay_locally(now, to, from, payload),
            Input::RelayOpened { opening, result } => {
                self.finish_allocate(now, opening, result);
                None
            }
            Input::Disconnected { tuple } => {
                self.disconnect(tuple);
                self.abandon_openings(tuple);
                None
            }
            Input::PeerConnected { connection, socket } => {
                self.peer_connected(now, connection, socket);
                None
            }
            Input::PeerAccepted { relay, socket, from } => {
                self.peer_accepted(now, relay, socket, from);
                None
            }
            Input::PeerClosed { socket } => {
                self.connections.forget_socket(socket);
                None
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let allocation = self.deadlines.peek().map(|Reverse((at, ..))| *at);
        [allocation, self.connections.deadline()].into_iter().flatten().min()
    }

    /// Ends what has not been refreshed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&Reverse((at, index, serial))) = self.deadlines.peek()
            && at <= now
        {
            self.deadlines.pop();
            let Some(allocation) = self.allocations.get(index) else { continue };
            if allocation.serial != serial {
                continue;
            }
            if allocation.expires <= now {
                self.counters.allocations_expired += 1;
                self.remove(index);
            } else {
                self.deadlines.push(Reverse((allocation.expires, index, serial)));
            }
        }
        self.expire_connections(now);
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether `tuple` has an allocation.
    pub fn has_allocation(&self, tuple: &FiveTuple) -> bool {
        self.allocation_of(tuple).is_some()
    }

    /// Takes no more allocations; clients are sent to an alternate server of their family when there is one. What exists goes on.
    pub fn drain(&mut self, alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr>) {
        self.service = Service::Draining { alternate_v4, alternate_v6 };
    }

    /// Replaces the settings, as a reload of the configuration does. Allocations keep what they were granted.
    pub fn set_settings(&mut self, now: Instant, settings: Arc<Settings>, seed: u64) {
        self.nonces = NonceKey::new(&self.shared.nonce_secret, !settings.credentials.users.is_empty());
        self.rates = settings.limits.unauthenticated_per_second.map(|rate| RateTable::new(now, rate, seed));
        self.shared.settings = settings;
    }

    /// Tells the state machine what time it is in the world, after the system's clock was set.
    pub fn set_unix_time(&mut self, now: Instant, unix_time: Duration) {
        self.unix_at_start = unix_time.saturating_sub(now.saturating_duration_since(self.started));
    }

    fn handle_client<'a>(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        message: &'a [u8],
    ) -> Option<Relayed<'a>> {
        match classify(message) {
            Kind::ChannelData => self.relay_channel_data(now, tuple, message),
            Kind::Stun => {
                if check_stun(message).is_err() {
                    self.counters.malformed += 1;
                    return None;
                }
                match message_type(message)? {
                    (1, method::SEND) => self.relay_send(now, tuple, message),
                    (0, _) if message.len() <= crate::wire::MAX_REQUEST => {
                        self.handle_request(now, tuple, path, message);
                        None
                    }
                    // A Binding indication keeps a NAT's binding open and wants nothing (RFC 8489, section 6.3.2).
                    (1, method::BINDING) => None,
                    _ => {
                        self.counters.malformed += 1;
                        None
                    }
                }
            }
            Kind::Dtls | Kind::Other => {
                self.counters.malformed += 1;
                None
            }
        }
    }

    fn handle_request(&mut self, now: Instant, tuple: FiveTuple, path: PathId, message: &[u8]) {
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, client = %tuple.client, "message dropped");
                self.counters.malformed += 1;
                return;
            }
        };
        match request.method {
            method::BINDING => self.binding(tuple, path, &request),
            method::ALLOCATE => self.allocate(now, tuple, path, &request),
            method::REFRESH => self.refresh(now, tuple, path, &request),
            method::CREATE_PERMISSION => self.create_permission(now, tuple, path, &request),
            method::CHANNEL_BIND => self.channel_bind(now, tuple, path, &request),
            method::CONNECT if self.shared.settings.features.tcp_allocations => {
                self.connect(now, tuple, path, &request);
            }
            method::CONNECTION_BIND if self.shared.settings.features.tcp_allocations => {
                self.connection_bind(now, tuple, path, &request);
            }
            // A method that is not known is not answered (RFC 8489, section 6.3).
            _ => self.counters.malformed += 1,
        }
    }

    fn transmit(&mut self, tuple: FiveTuple, path: PathId, message: Vec<u8>) {
        self.outputs.push_back(Output::Transmit { tuple, path, message });
    }

    /// Seconds since the start, as nonces count them.
    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap_or(u32::MAX)
    }

    fn unix_seconds(&self, now: Instant) -> u64 {
        (self.unix_at_start + now.saturating_duration_since(self.started)).as_secs()
    }

    /// The next number of a sequence that looks random (`SplitMix64`) and is not secret.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The index of the allocation that `tuple` has.
    fn allocation_of(&self, tuple: &FiveTuple) -> Option<usize> {
        self.by_tuple.find(&self.allocations, tuple)
    }

    /// A client's connection has ended: so has its allocation, unless it may come back on another (RFC 8016).
    fn disconnect(&mut self, tuple: FiveTuple) {
        let Some(index) = self.allocation_of(&tuple) else { return };
        match self.allocations.get_mut(index) {
            Some(allocation) if allocation.ticket.is_some() => {
                allocation.path = PathId::NOWHERE;
                self.by_tuple.remove(&tuple, index);
            }
            _ => self.remove(index),
        }
    }

    /// Ends an allocation and closes what belongs to it.
    fn remove(&mut self, index: usize) {
        let Some(allocation) = self.allocations.try_remove(index) else { return };
        self.by_tuple.remove(&allocation.tuple, index);
        for relay in allocation.relays() {
            self.close_relay(relay);
        }
        for socket in self.connections.remove_allocation(index) {
            self.outputs.push_back(Output::ClosePeer { socket });
        }
        let user = self.shared.settings.credentials.quota_name(&allocation.username);
        self.shared.quotas.release(user, allocation.tuple.client.ip());
        self.counters.allocations -= 1;
    }

    fn close_relay(&mut self, relay: allocation::Relay) {
        self.by_port.remove(&relay.bound.port());
        self.by_relay.remove(relay.id);
        self.outputs.push_back(Output::CloseRelay { relay: relay.id });
    }
}
