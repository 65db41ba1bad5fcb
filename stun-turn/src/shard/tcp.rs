//! TCP allocations (RFC 6062): connections from a relay to peers and from peers to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Shard;
use super::allocation::RelayedTransport;
use super::event::Output;
use super::peer_connections::{ConnectionId, PeerConnection, PeerSocketId, State};
use crate::five_tuple::{FiveTuple, PathId, RelayId};
use crate::policy::AddressVerdict;
use crate::wire::attribute as attr;
use crate::wire::{AddressFamily, MessageBuilder, Request, TransactionId, method};

/// How long a peer's connection waits for `ConnectionBind` (RFC 6062, section 5.2).
const BIND_TIMEOUT: Duration = Duration::from_secs(30);

impl Shard {
    /// Connect (RFC 6062, section 5.2).
    pub(super) fn connect(&mut self, now: Instant, tuple: FiveTuple, path: PathId, request: &Request<'_>) {
        let Some((verified, index)) = self.verified_allocation(now, tuple, path, request) else { return };
        let Some(Ok(peer)) = request.peers().next() else {
            self.refuse(&verified, 400);
            return;
        };
        let Some(allocation) = self.allocations.get(index) else { return };
        if allocation.transport != RelayedTransport::Tcp {
            self.refuse(&verified, 437);
            return;
        }
        let relay = allocation.relay(AddressFamily::of(peer.ip()));
        let verdict = self.permission(now, index, peer).map(|permission| permission.verdict);
        let outcome = match (relay, verdict) {
            (None, _) => Err(443),
            (_, Err(code)) => Err(code),
            // The media server and UDP relays of this process do not speak TCP, so only exceptions lead to own addresses.
            (_, Ok(AddressVerdict::Own)) => Err(403),
            (_, Ok(verdict)) if !self.context.settings.policy.allows_port(verdict, peer, || false) => {
                Err(403)
            }
            (Some(_), _) if self.connections.has_peer(index, peer) => Err(446),
            (Some(_), _) if self.connections.count(index) >= self.context.settings.limits.channels => {
                Err(508)
            }
            (Some(relay), _) => Ok(relay),
        };
        match outcome {
            Err(code) => self.refuse(&verified, code),
            Ok(relay) => {
                let id = self.new_connection_id();
                let state = State::Connecting(verified);
                self.connections.by_id.insert(id, PeerConnection { allocation: index, peer, state });
                self.outputs.push_back(Output::ConnectPeer { relay: relay.id, peer, connection: id });
            }
        }
    }

    pub(super) fn peer_connected(&mut self, now: Instant, id: ConnectionId, socket: Option<PeerSocketId>) {
        let Some(connection) = self.connections.by_id.get_mut(&id) else {
            // The allocation is gone.
            if let Some(socket) = socket {
                self.outputs.push_back(Output::ClosePeer { socket });
            }
            return;
        };
        let State::Connecting(verified) = connection.state else { return };
        let Some(socket) = socket else {
            self.connections.by_id.remove(&id);
            self.refuse(&verified, 447);
            return;
        };
        connection.state = State::Waiting { socket, until: now + BIND_TIMEOUT };
        let mut reply = MessageBuilder::success(verified.reply_to);
        reply.bytes(attr::CONNECTION_ID, &id.0.to_be_bytes());
        self.succeed(&verified, reply);
    }

    /// A peer has connected to a relay (RFC 6062, section 5.3).
    pub(super) fn peer_accepted(
        &mut self,
        now: Instant,
        relay: RelayId,
        socket: PeerSocketId,
        from: SocketAddr,
    ) {
        let index = self.by_relay.find(relay);
        let limit = self.context.settings.limits.channels;
        let known = index.and_then(|index| Some((index, self.allocations.get(index)?))).filter(
            |(index, allocation)| {
                allocation.permission(now, from.ip()).is_some() && self.connections.count(*index) < limit
            },
        );
        let Some((index, allocation)) = known else {
            self.counters.dropped_without_permission += 1;
            self.outputs.push_back(Output::ClosePeer { socket });
            return;
        };
        let (tuple, path) = (allocation.tuple, allocation.path);
        let id = self.new_connection_id();
        let state = State::Waiting { socket, until: now + BIND_TIMEOUT };
        self.connections.by_id.insert(id, PeerConnection { allocation: index, peer: from, state });
        let mut transaction = [0; 12];
        let random = [self.random.next().to_be_bytes(), self.random.next().to_be_bytes()];
        transaction.iter_mut().zip(random.iter().flatten()).for_each(|(slot, byte)| *slot = *byte);
        let mut attempt = MessageBuilder::indication(method::CONNECTION_ATTEMPT, TransactionId(transaction));
        attempt.bytes(attr::CONNECTION_ID, &id.0.to_be_bytes());
        attempt.xor_address(attr::XOR_PEER_ADDRESS, from);
        self.transmit(tuple, path, attempt.finish(None));
    }

    /// `ConnectionBind` (RFC 6062, section 5.4): arrives on a new connection, which carries data from then on.
    pub(super) fn connection_bind(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) {
        let Some((verified, username)) = self.authenticate(now, tuple, path, request) else { return };
        let id = request.connection_id().ok().flatten().map(ConnectionId);
        let has_allocation = self.has_allocation(&tuple);
        let allocations = &self.allocations;
        let found = id.and_then(|id| self.connections.by_id.get_mut(&id)).filter(|connection| {
            allocations.get(connection.allocation).is_some_and(|allocation| *allocation.username == *username)
        });
        let (Some(connection), false, true) = (found, has_allocation, tuple.transport.is_stream()) else {
            self.refuse(&verified, 400);
            return;
        };
        let State::Waiting { socket, .. } = connection.state else {
            self.refuse(&verified, 400);
            return;
        };
        connection.state = State::Bound { socket };
        let mut reply = MessageBuilder::success(verified.reply_to);
        reply.bytes(attr::CONNECTION_ID, &id.map_or(0, |id| id.0).to_be_bytes());
        self.succeed(&verified, reply);
        self.outputs.push_back(Output::Splice { path, socket });
    }

    pub(super) fn expire_connections(&mut self, now: Instant) {
        let late = self.connections.by_id.extract_if(
            |_, connection| matches!(connection.state, State::Waiting { until, .. } if until <= now),
        );
        self.outputs.extend(
            late.filter_map(|(_, connection)| connection.socket()).map(|socket| Output::ClosePeer { socket }),
        );
    }

    fn new_connection_id(&mut self) -> ConnectionId {
        loop {
            // The upper half of a 64-bit number.
            let id = ConnectionId(u32::try_from(self.random.next() >> 32).unwrap_or(0));
            if !self.connections.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}
