//! The data path: from clients to peers, from peers to clients, and between clients of this process.

use std::net::SocketAddr;
use std::time::Instant;

use super::Shard;
use super::allocation::Allocation;
use super::event::Relayed;
use crate::five_tuple::{FiveTuple, RelayId};
use crate::policy::AddressVerdict;
use crate::wire::{AddressFamily, ChannelData, DataPrefix, SendIndication};

/// The destination of a packet from a client.
enum Route {
    /// Out of the relay's socket.
    Socket,
    /// To a relay of this server.
    Relay(u8),
    /// To the media server in this process.
    Media,
}

impl Shard {
    /// `ChannelData` from a client (RFC 8656, section 12.6).
    pub(super) fn relay_channel_data<'a>(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let Some(ChannelData { channel, payload }) = ChannelData::parse(message) else {
            self.counters.malformed += 1;
            return None;
        };
        let Some(index) = self.allocation_of(&tuple) else {
            self.counters.dropped_without_permission += 1;
            return None;
        };
        let allocation = self.allocations.get_mut(index)?;
        let Some(&binding) = allocation.channel(now, channel) else {
            self.counters.dropped_without_permission += 1;
            return None;
        };
        if !allocation.may_relay(now, payload.len()) {
            self.counters.dropped_by_bandwidth += 1;
            return None;
        }
        self.route(now, index, binding.peer, binding.is_own, false, payload)
    }

    /// A Send indication (RFC 8656, section 11.2).
    pub(super) fn relay_send<'a>(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let Some(SendIndication { peer, payload, dont_fragment }) = SendIndication::parse(message) else {
            self.counters.malformed += 1;
            return None;
        };
        let Some(index) = self.allocation_of(&tuple) else {
            self.counters.dropped_without_permission += 1;
            return None;
        };
        let allocation = self.allocations.get_mut(index)?;
        let Some(&permission) = allocation.permission(now, peer.ip()) else {
            self.counters.dropped_without_permission += 1;
            return None;
        };
        if !allocation.may_relay(now, payload.len()) {
            self.counters.dropped_by_bandwidth += 1;
            return None;
        }
        // A permission is for an address; the port is new with each packet.
        if !self.allows_port(permission.verdict, peer) {
            self.counters.dropped_by_policy += 1;
            return None;
        }
        self.route(now, index, peer, permission.is_own, dont_fragment, payload)
    }

    /// A datagram that a relay's socket received (RFC 8656, section 11.3).
    pub(super) fn relay_to_client<'a>(
        &mut self,
        now: Instant,
        relay: RelayId,
        from: SocketAddr,
        payload: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let index = self.by_relay.find(relay)?;
        let allocation = self.allocations.get(index)?;
        let Some(&permission) = allocation.permission(now, from.ip()) else {
            self.counters.dropped_without_permission += 1;
            return None;
        };
        // A peer that the policy denies may not send either.
        if permission.verdict == AddressVerdict::Own && !self.allows_port(permission.verdict, from) {
            self.counters.dropped_by_policy += 1;
            return None;
        }
        self.deliver(now, index, from, payload)
    }

    /// A datagram for a relay of this shard that bypassed its socket.
    pub(super) fn relay_locally<'a>(
        &mut self,
        now: Instant,
        to: SocketAddr,
        from: SocketAddr,
        payload: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let index = self.by_port.get(&to.port()).copied()?;
        let relay = self.allocations.get(index)?.relay(AddressFamily::of(to.ip()))?;
        if relay.public != to && relay.bound != to {
            return None;
        }
        if self.allocations.get(index)?.permission(now, from.ip()).is_none() {
            self.counters.dropped_without_permission += 1;
            return None;
        }
        self.counters.packets_in_process += 1;
        self.deliver(now, index, from, payload)
    }

    /// Whether a peer may receive datagrams, given the verdict about its address.
    pub(super) fn allows_port(&self, verdict: AddressVerdict, peer: SocketAddr) -> bool {
        let policy = &self.context.settings.policy;
        let is_own = match verdict {
            AddressVerdict::Denied => false,
            AddressVerdict::Own => true,
            AddressVerdict::Allowed => policy.is_own(peer.ip()) || peer.ip().is_loopback(),
        };
        let is_relay = || is_own && self.context.directory.owner(peer.port()).is_some();
        // Checked before the services, which may use the same port number over TCP.
        (is_own && self.is_media(peer))
            || policy.allows_media(verdict, peer)
            || policy.allows_port(verdict, peer, is_relay)
    }

    fn is_media(&self, peer: SocketAddr) -> bool {
        self.context.media.as_ref().is_some_and(|media| media.serves(peer))
    }

    fn route<'a>(
        &mut self,
        now: Instant,
        index: usize,
        peer: SocketAddr,
        is_own: bool,
        dont_fragment: bool,
        payload: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let allocation = self.allocations.get(index)?;
        let family = AddressFamily::of(peer.ip());
        let relay = allocation.relay_id(family)?;
        let route = if is_own { self.own_route(peer) } else { Route::Socket };
        self.counters.packets_to_peers += 1;
        self.counters.bytes_to_peers += payload.len() as u64;
        match route {
            Route::Socket => Some(Relayed::ToPeer { relay, peer, dont_fragment, payload }),
            Route::Relay(shard) => {
                let from = allocation.relay(family)?.public;
                if shard == self.index {
                    return self.relay_locally(now, peer, from, payload);
                }
                Some(Relayed::ToShard { shard, to: peer, from, payload })
            }
            Route::Media => {
                self.counters.packets_in_process += 1;
                Some(Relayed::ToMedia { to: peer, from: allocation.relay(family)?.public, payload })
            }
        }
    }

    fn own_route(&self, peer: SocketAddr) -> Route {
        if let Some(shard) = self.context.directory.owner(peer.port()) {
            return Route::Relay(shard);
        }
        if self.is_media(peer) { Route::Media } else { Route::Socket }
    }

    /// Hands a packet to the client of an allocation that has a permission for its sender.
    fn deliver<'a>(
        &mut self,
        now: Instant,
        index: usize,
        from: SocketAddr,
        payload: &'a [u8],
    ) -> Option<Relayed<'a>> {
        let transaction = self.counters.packets_to_clients;
        let allocation = self.allocations.get_mut(index)?;
        if !allocation.may_relay(now, payload.len()) {
            self.counters.dropped_by_bandwidth += 1;
            return None;
        }
        let prefix = prefix(allocation, now, from, payload, transaction)?;
        let (tuple, path) = (allocation.tuple, allocation.path);
        self.counters.packets_to_clients += 1;
        self.counters.bytes_to_clients += payload.len() as u64;
        Some(Relayed::ToClient { tuple, path, prefix, payload })
    }
}

fn prefix(
    allocation: &Allocation,
    now: Instant,
    from: SocketAddr,
    payload: &[u8],
    transaction: u64,
) -> Option<DataPrefix> {
    if let Some(number) = allocation.channel_to(now, from) {
        u16::try_from(payload.len()).ok()?;
        return Some(DataPrefix::channel(number, payload.len(), allocation.tuple.transport.is_stream()));
    }
    // An indication is not answered, so its transaction id only has to differ from the last ones.
    let mut id = [0; 12];
    let parts = allocation.serial.to_le_bytes().into_iter().take(4).chain(transaction.to_be_bytes());
    id.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
    // The largest datagram leaves no room for the attributes around it, so such a payload is dropped.
    if payload.len() > usize::from(u16::MAX) - 64 {
        return None;
    }
    Some(DataPrefix::indication(from, payload.len(), id))
}
