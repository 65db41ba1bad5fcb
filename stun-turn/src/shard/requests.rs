//! Refresh, `CreatePermission` and `ChannelBind` (RFC 8656, sections 7, 9 and 12).

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Shard;
use super::allocation::{CHANNEL_LIFETIME, ChannelBinding, PERMISSION_LIFETIME, Permission};
use super::verified::Verified;
use crate::five_tuple::{FiveTuple, PathId};
use crate::policy::AddressVerdict;
use crate::wire::attribute as attr;
use crate::wire::{AddressFamily, CHANNEL_NUMBERS, MessageBuilder, Request};

/// Addresses that one `CreatePermission` may name.
const MAX_PEERS: usize = 64;

impl Shard {
    /// Authenticates a request and finds the allocation it is about; answers 437 if there is none, or 441 if another user owns it.
    pub(super) fn verified_allocation(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) -> Option<(Verified, usize)> {
        let (verified, username) = self.authenticate(now, tuple, path, request)?;
        let found = self.allocation_of(&tuple).and_then(|index| Some((index, self.allocations.get(index)?)));
        match found {
            None => {
                self.refuse(&verified, 437);
                None
            }
            Some((_, allocation)) if *allocation.username != *username => {
                self.refuse(&verified, 441);
                None
            }
            Some((index, _)) => Some((verified, index)),
        }
    }

    pub(super) fn refresh(&mut self, now: Instant, tuple: FiveTuple, path: PathId, request: &Request<'_>) {
        if self.context.settings.features.mobility && request.mobility_ticket.is_some() {
            self.refresh_with_ticket(now, tuple, path, request);
            return;
        }
        if let Some((verified, index)) = self.verified_allocation(now, tuple, path, request) {
            self.refresh_allocation(now, &verified, index, request);
        }
    }

    pub(super) fn refresh_allocation(
        &mut self,
        now: Instant,
        verified: &Verified,
        index: usize,
        request: &Request<'_>,
    ) {
        let (Ok(lifetime), Ok(family)) = (request.lifetime(), request.requested_family()) else {
            self.refuse(verified, 400);
            return;
        };
        let lifetime = self.grant(lifetime);
        let Some(allocation) = self.allocations.get_mut(index) else { return };
        let family = match family {
            None => None,
            Some(Ok(family)) if allocation.relay(family).is_some() => Some(family),
            Some(_) => {
                self.refuse(verified, 443);
                return;
            }
        };
        let mut reply = MessageBuilder::success(verified.reply_to);
        reply.bytes(attr::LIFETIME, &u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        if lifetime.is_zero() {
            let only = family.filter(|_| allocation.relays().count() > 1);
            match only.and_then(|family| allocation.take_relay(family)) {
                // The client releases one of two families (RFC 8656, section 7.2).
                Some(relay) => self.close_relay(relay),
                None => self.remove(index),
            }
        } else {
            allocation.expires = now + lifetime;
            let ticket = allocation.ticket;
            self.deadlines.push(Reverse((allocation.expires, index, allocation.serial)));
            if let Some(ticket) = ticket {
                reply.bytes(attr::MOBILITY_TICKET, &ticket);
            }
            self.trim_deadlines();
        }
        self.succeed(verified, reply);
    }

    /// Bounds the deadlines that a client can create by refreshing without pause.
    fn trim_deadlines(&mut self) {
        if self.deadlines.len() > 4 * self.allocations.len() + 64 {
            let allocations = &self.allocations;
            self.deadlines.retain(|Reverse((at, index, serial))| {
                allocations
                    .get(*index)
                    .is_some_and(|allocation| allocation.serial == *serial && allocation.expires == *at)
            });
        }
    }

    /// The lifetime granted for a requested one: at least the default, at most the limit; zero ends the allocation (RFC 8656, section 7.2).
    pub(super) fn grant(&self, wanted: Option<u32>) -> Duration {
        const DEFAULT: Duration = Duration::from_mins(10);
        match wanted.map(|seconds| Duration::from_secs(seconds.into())) {
            Some(Duration::ZERO) => Duration::ZERO,
            wanted => wanted.unwrap_or(DEFAULT).max(DEFAULT).min(self.context.settings.limits.max_lifetime),
        }
    }

    pub(super) fn create_permission(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) {
        let Some((verified, index)) = self.verified_allocation(now, tuple, path, request) else { return };
        let mut permissions = Vec::new();
        // All or none: a request with one refused peer installs no permission.
        for peer in request.peers() {
            let outcome = peer.map_err(|_| 400).and_then(|peer| self.permission(now, index, peer));
            match outcome {
                Ok(permission) if permissions.len() < MAX_PEERS => permissions.push(permission),
                Ok(_) => {
                    self.refuse(&verified, 508);
                    return;
                }
                Err(code) => {
                    self.refuse(&verified, code);
                    return;
                }
            }
        }
        if permissions.is_empty() {
            self.refuse(&verified, 400);
            return;
        }
        let limit = self.context.settings.limits.permissions;
        let Some(allocation) = self.allocations.get_mut(index) else { return };
        let addresses: Vec<_> = permissions.iter().map(|permission| permission.address).collect();
        if !allocation.has_room(now, &addresses, limit) {
            self.refuse(&verified, 508);
            return;
        }
        for permission in permissions {
            allocation.permit(now, permission, limit);
        }
        self.succeed(&verified, MessageBuilder::success(verified.reply_to));
    }

    pub(super) fn channel_bind(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) {
        let Some((verified, index)) = self.verified_allocation(now, tuple, path, request) else { return };
        let number =
            request.channel_number().ok().flatten().filter(|number| CHANNEL_NUMBERS.contains(number));
        let peer = request.peers().next().and_then(Result::ok);
        let (Some(number), Some(peer)) = (number, peer) else {
            self.refuse(&verified, 400);
            return;
        };
        let outcome = self.permission(now, index, peer).and_then(|permission| {
            if self.allows_port(permission.verdict, peer) { Ok(permission) } else { Err(403) }
        });
        let outcome = outcome.and_then(|permission| self.bind(now, index, number, peer, permission));
        match outcome {
            Ok(()) => self.succeed(&verified, MessageBuilder::success(verified.reply_to)),
            Err(code) => self.refuse(&verified, code),
        }
    }

    fn bind(
        &mut self,
        now: Instant,
        index: usize,
        number: u16,
        peer: SocketAddr,
        permission: Permission,
    ) -> Result<(), u16> {
        let limits = &self.context.settings.limits;
        let allocation = self.allocations.get_mut(index).ok_or(437_u16)?;
        if allocation.transport == super::allocation::RelayedTransport::Tcp {
            return Err(403);
        }
        allocation.channels.retain(|entry| entry.expires > now);
        let is_taken =
            allocation.channels.iter().any(|entry| (entry.number == number) != (entry.peer == peer));
        if is_taken {
            return Err(400);
        }
        let bound = allocation.channels.iter().position(|entry| entry.number == number);
        if bound.is_none() && allocation.channels.len() >= limits.channels
            || !allocation.permit(now, permission, limits.permissions)
        {
            return Err(508);
        }
        let binding =
            ChannelBinding { number, peer, expires: now + CHANNEL_LIFETIME, is_own: permission.is_own };
        match bound.and_then(|at| allocation.channels.get_mut(at)) {
            Some(entry) => *entry = binding,
            None => allocation.channels.push(binding),
        }
        Ok(())
    }

    /// The permission for `peer`, or the error code.
    pub(super) fn permission(&self, now: Instant, index: usize, peer: SocketAddr) -> Result<Permission, u16> {
        let allocation = self.allocations.get(index).ok_or(437_u16)?;
        let Some(relay) = allocation.relay(AddressFamily::of(peer.ip())) else { return Err(443) };
        let policy = &self.context.settings.policy;
        let address = peer.ip();
        // The relay's own addresses belong to this machine even if the policy does not list them.
        let relay_addresses = [relay.bound.ip(), relay.public.ip()];
        let is_own = policy.is_own(address) || relay_addresses.contains(&address);
        let verdict = policy.verdict(address, &relay_addresses);
        match verdict {
            AddressVerdict::Denied => Err(403),
            // A permission covers all ports of an address. A request that names a port of this machine which is no relay is refused
            // at once, and so is every other peer where relays exist inside the process only.
            AddressVerdict::Own if !self.allows_port(verdict, peer) => Err(403),
            AddressVerdict::Allowed if policy.inside_only && !self.allows_port(verdict, peer) => Err(403),
            verdict => Ok(Permission { address, expires: now + PERMISSION_LIFETIME, verdict, is_own }),
        }
    }
}
