//! The state machine of one shard. It has no socket, no clock and no source of randomness.

mod allocate;
mod allocation;
mod authenticate;
mod binding;
mod context;
mod counters;
mod event;
mod mobility;
mod opening;
mod peer_connections;
mod relay;
mod requests;
mod tables;
mod tcp;
mod verified;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use slab::Slab;

use crate::auth::NonceKey;
use crate::five_tuple::{FiveTuple, PathId};
use crate::limits::RateTable;
use crate::random::SplitMix64;
use crate::wire::{Kind, Request, check_stun, classify, message_type, method};
use allocation::Allocation;
pub use context::{RelayPeer, ServerContext};
pub use counters::Counters;
pub use event::{Input, OpenError, OpenedRelay, OpenedRelays, OpeningId, Output, RelayWanted, Relayed};
use opening::Opening;
use peer_connections::PeerConnections;
pub use peer_connections::{ConnectionId, PeerSocketId};
use tables::{RelayTable, TupleTable};

/// Whether the server takes allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Open,
    Draining { alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr> },
}

/// One shard of a STUN and TURN server.
///
/// Feed it with [`handle_input`](Self::handle_input); do what that returns, then what
/// [`poll_output`](Self::poll_output) gives until it is empty; call [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Shard {
    context: ServerContext,
    index: u8,
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
    random: SplitMix64,
}

impl Shard {
    /// A shard that begins at `now`, which is `unix_time` after 1970. `seed` decides transaction ids and the order in
    /// tables; it need not be secret from anybody but clients.
    pub fn new(context: ServerContext, index: u8, now: Instant, unix_time: Duration, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let settings = &context.settings;
        let nonces = NonceKey::new(&context.nonce_secret, !settings.credentials.users.is_empty());
        let rates = settings.limits.unauthenticated_per_second.map(|rate| RateTable::new(now, rate, seed));
        Self {
            index,
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
            random: SplitMix64::new(seed),
            context,
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

    /// The next action for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let allocation = self.deadlines.peek().map(|Reverse((at, ..))| *at);
        [allocation, self.connections.deadline()].into_iter().flatten().min()
    }

    /// Removes allocations and connections that have expired.
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

    /// Refuses new allocations, and redirects clients to the alternate server of their family if there is one. Existing allocations stay.
    pub fn drain(&mut self, alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr>) {
        self.service = Service::Draining { alternate_v4, alternate_v6 };
    }

    /// Sets the wall clock by which credentials expire.
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
            method::CONNECT if self.context.settings.features.tcp_allocations => {
                self.connect(now, tuple, path, &request);
            }
            method::CONNECTION_BIND if self.context.settings.features.tcp_allocations => {
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

    /// The index of the allocation that `tuple` has.
    fn allocation_of(&self, tuple: &FiveTuple) -> Option<usize> {
        self.by_tuple.find(&self.allocations, tuple)
    }

    /// Ends the allocation of a closed connection, unless a ticket lets it move to another connection (RFC 8016).
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

    /// Removes an allocation and closes its relays and connections.
    fn remove(&mut self, index: usize) {
        let Some(allocation) = self.allocations.try_remove(index) else { return };
        self.by_tuple.remove(&allocation.tuple, index);
        for relay in allocation.relays() {
            self.close_relay(relay);
        }
        for socket in self.connections.remove_allocation(index) {
            self.outputs.push_back(Output::ClosePeer { socket });
        }
        let user = self.context.settings.credentials.quota_name(&allocation.username);
        self.context.quotas.release(user, allocation.tuple.client.ip());
        self.counters.allocations -= 1;
    }

    fn close_relay(&mut self, relay: allocation::Relay) {
        self.by_port.remove(&relay.bound.port());
        self.by_relay.remove(relay.id);
        self.outputs.push_back(Output::CloseRelay { relay: relay.id });
    }
}
