//! Allocate (RFC 8656, section 7).

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::allocation::{Allocation, Bandwidth, Relay, RelayedTransport};
use super::event::{OpenError, OpenedRelay, OpenedRelays, OpeningId, Output, RelayWanted};
use super::opening::Opening;
use super::verified::Verified;
use super::{Service, Shard};
use crate::five_tuple::{FiveTuple, PathId};
use crate::wire::attribute as attr;
use crate::wire::{AddressFamily, MessageBuilder, Request};

const UDP: u8 = 17;
const TCP: u8 = 6;

/// A request for an allocation, after its attributes were checked against each other.
struct Wanted {
    relay: RelayWanted,
    transport: RelayedTransport,
    missing: Option<AddressFamily>,
}

impl Shard {
    pub(super) fn allocate(&mut self, now: Instant, tuple: FiveTuple, path: PathId, request: &Request<'_>) {
        let Some((verified, username)) = self.authenticate(now, tuple, path, request) else { return };
        if let Some(index) = self.allocation_of(&tuple) {
            self.allocate_again(now, &verified, &username, index, request);
            return;
        }
        if self.openings.iter().any(|(_, opening)| opening.tuple == tuple && !opening.is_abandoned) {
            // A retransmission. The response follows when the sockets are open.
            return;
        }
        if let Service::Draining { alternate_v4, alternate_v6 } = self.service {
            self.redirect(&verified, if tuple.client.is_ipv4() { alternate_v4 } else { alternate_v6 });
            return;
        }
        let wanted = match self.wanted(tuple, request) {
            Ok(wanted) => wanted,
            Err(code) => {
                self.refuse(&verified, code);
                return;
            }
        };
        let settings = &self.context.settings;
        let user = settings.credentials.quota_name(&username);
        if !self.context.quotas.take(&settings.limits, user, tuple.client.ip()) {
            self.refuse(&verified, 486);
            return;
        }
        let lifetime = self.grant(request.lifetime().ok().flatten().filter(|&seconds| seconds > 0));
        let wants_ticket =
            settings.features.mobility && request.mobility_ticket.is_some_and(<[u8]>::is_empty);
        let opening = self.openings.insert(Opening {
            tuple,
            verified,
            username: username.into_boxed_str(),
            lifetime,
            transport: wanted.transport,
            missing: wanted.missing,
            wants_ticket,
            is_abandoned: false,
        });
        self.outputs.push_back(Output::OpenRelay { opening: OpeningId(opening), wanted: wanted.relay });
    }

    /// Answers an Allocate on a five-tuple with an allocation: a retransmission, or a mismatch (437).
    fn allocate_again(
        &mut self,
        now: Instant,
        verified: &Verified,
        username: &str,
        index: usize,
        request: &Request<'_>,
    ) {
        let Some(allocation) = self.allocations.get(index) else { return };
        if allocation.transaction != request.transaction || *allocation.username != *username {
            self.refuse(verified, 437);
            return;
        }
        let lifetime = allocation.expires.saturating_duration_since(now);
        let reply = allocated(verified, allocation, lifetime, None);
        self.succeed(verified, reply);
    }

    fn redirect(&mut self, verified: &Verified, alternate: Option<SocketAddr>) {
        let Some(alternate) = alternate else {
            self.refuse(verified, 508);
            return;
        };
        let mut reply = MessageBuilder::error(verified.reply_to, 300);
        reply.address(attr::ALTERNATE_SERVER, alternate);
        self.counters.error_responses += 1;
        self.respond_with(verified, reply);
    }

    fn wanted(&self, tuple: FiveTuple, request: &Request<'_>) -> Result<Wanted, u16> {
        let bad = |_| 400_u16;
        request.lifetime().map_err(bad)?;
        let protocol = request.requested_transport().map_err(bad)?.ok_or(400_u16)?;
        let even_port = request.even_port().map_err(bad)?;
        let token = request.reservation_token().map_err(bad)?;
        let family = request.requested_family().map_err(bad)?;
        let additional = request.additional_family().map_err(bad)?;
        let settings = &self.context.settings;
        let has_tcp_relays = settings.features.tcp_allocations && !settings.policy.inside_only;
        let transport = match protocol {
            UDP => RelayedTransport::Udp,
            TCP if has_tcp_relays && tuple.transport.is_stream() => RelayedTransport::Tcp,
            _ => return Err(442),
        };
        if let Some(token) = token {
            if even_port.is_some() || family.is_some() || additional.is_some() || protocol == TCP {
                return Err(400);
            }
            return Ok(Wanted { relay: RelayWanted::Reserved(token), transport, missing: None });
        }
        let reserves = even_port == Some(true);
        let has_conflict = family.is_some() && additional.is_some()
            || additional.is_some() && reserves
            || additional == Some(Ok(AddressFamily::V4));
        // EVEN-PORT and DONT-FRAGMENT do not apply to TCP (RFC 6062, section 5.1).
        let is_odd_tcp = protocol == TCP && (even_port.is_some() || request.dont_fragment);
        if has_conflict || is_odd_tcp {
            return Err(400);
        }
        let relays = &self.context.settings.relays;
        let local = tuple.server.ip();
        let primary = match family {
            Some(Ok(family)) => family,
            Some(Err(_)) => return Err(440),
            // Browsers name no family. RFC 8656, section 7.2 then means IPv4; a server without it would serve none of them.
            None if relays.bind_address(local, AddressFamily::V4).is_none() => AddressFamily::of(local),
            None => AddressFamily::V4,
        };
        let first = relays.bind_address(local, primary);
        let second = match additional {
            Some(Ok(family)) => Some(relays.bind_address(local, family).ok_or(family)),
            Some(Err(_)) => return Err(440),
            None => None,
        };
        let (address, second, missing) = match (first, second) {
            (Some(first), None) => (first, None, None),
            (Some(first), Some(Ok(second))) => (first, Some(second), None),
            (Some(first), Some(Err(family))) => (first, None, Some(family)),
            (None, Some(Ok(second))) => (second, None, Some(primary)),
            (None, _) => return Err(440),
        };
        let relay = match transport {
            RelayedTransport::Tcp if second.is_some() => return Err(400),
            RelayedTransport::Tcp => RelayWanted::Tcp { address },
            RelayedTransport::Udp => RelayWanted::Udp {
                address,
                additional: second,
                is_even: even_port.is_some(),
                reserve_next: reserves,
            },
        };
        Ok(Wanted { relay, transport, missing })
    }

    /// Completes an allocation with the sockets that the driver opened, or with its error.
    pub(super) fn finish_allocate(
        &mut self,
        now: Instant,
        opening: OpeningId,
        result: Result<OpenedRelays, OpenError>,
    ) {
        let Some(opening) = self.openings.try_remove(opening.0) else { return };
        if opening.is_abandoned {
            self.release_quota(&opening);
            for opened in result.iter().flat_map(relays) {
                self.outputs.push_back(Output::CloseRelay { relay: opened.id });
            }
            return;
        }
        let opened = match result {
            Ok(opened) => opened,
            Err(error) => {
                self.release_quota(&opening);
                self.refuse(&opening.verified, error_code(error));
                return;
            }
        };
        self.insert(now, opening, opened);
    }

    /// Marks the pending allocations of a client that has left; their sockets are closed when they open.
    pub(super) fn abandon_openings(&mut self, tuple: FiveTuple) {
        for (_, opening) in self.openings.iter_mut().filter(|(_, opening)| opening.tuple == tuple) {
            opening.is_abandoned = true;
        }
    }

    fn release_quota(&self, opening: &Opening) {
        let user = self.context.settings.credentials.quota_name(&opening.username);
        self.context.quotas.release(user, opening.tuple.client.ip());
    }

    fn insert(&mut self, now: Instant, opening: Opening, opened: OpenedRelays) {
        let Opening { tuple, verified, username, lifetime, transport, missing, wants_ticket, .. } = opening;
        let limits = &self.context.settings.limits;
        let bandwidth = limits.bytes_per_second.map(|bytes| Bandwidth::new(now, bytes));
        let serial = self.next_serial;
        self.next_serial += 1;
        let mut allocation = Allocation {
            tuple,
            path: verified.path,
            serial,
            username,
            key: verified.key,
            password_algorithm: verified.password_algorithm,
            transaction: verified.reply_to.transaction,
            transport,
            relay_ids: [None; 2],
            relay_v4: None,
            relay_v6: None,
            reservation: opened.reservation,
            expires: now + lifetime,
            permissions: SmallVec::new(),
            channels: SmallVec::new(),
            bandwidth: bandwidth.map(Box::new),
            ticket: wants_ticket.then(|| self.ticket(serial)),
        };
        let entry = self.allocations.vacant_entry();
        let index = entry.key();
        for relay in relays(&opened) {
            let public = self.context.settings.relays.seen_from_outside(relay.bound);
            let slot = Relay { id: relay.id, bound: relay.bound, public };
            allocation.add_relay(slot);
            self.by_port.insert(relay.bound.port(), index);
            self.by_relay.insert(relay.id, index);
        }
        let failed = match opened.additional {
            Some(Err(error)) => Some((AddressFamily::V6, error_code(error))),
            _ => missing.map(|family| (family, 440)),
        };
        let reply = allocated(&verified, &allocation, lifetime, failed);
        self.deadlines.push(Reverse((allocation.expires, index, serial)));
        entry.insert(allocation);
        self.by_tuple.insert(&self.allocations, index);
        self.counters.allocations += 1;
        self.counters.allocations_created += 1;
        self.succeed(&verified, reply);
    }
}

fn relays(opened: &OpenedRelays) -> impl Iterator<Item = OpenedRelay> {
    let additional = opened.additional.and_then(Result::ok);
    [Some(opened.relay), additional].into_iter().flatten()
}

fn error_code(error: OpenError) -> u16 {
    match error {
        OpenError::AddressUnavailable => 440,
        OpenError::Exhausted | OpenError::UnknownReservation => 508,
    }
}

/// The success response (RFC 8656, section 7.2).
fn allocated(
    verified: &Verified,
    allocation: &Allocation,
    lifetime: Duration,
    failed: Option<(AddressFamily, u16)>,
) -> MessageBuilder {
    let mut reply = MessageBuilder::success(verified.reply_to);
    for relay in allocation.relays() {
        reply.xor_address(attr::XOR_RELAYED_ADDRESS, relay.public);
    }
    if let Some((family, code)) = failed {
        reply.address_error(family, code);
    }
    reply.bytes(attr::LIFETIME, &u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    if let Some(token) = allocation.reservation {
        reply.bytes(attr::RESERVATION_TOKEN, &token);
    }
    if let Some(ticket) = allocation.ticket {
        reply.bytes(attr::MOBILITY_TICKET, &ticket);
    }
    reply.xor_address(attr::XOR_MAPPED_ADDRESS, verified.tuple.client);
    reply
}
