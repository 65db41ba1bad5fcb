//! Mobility (RFC 8016): an allocation follows its client to a new address.

use std::time::Instant;

use super::Shard;
use crate::five_tuple::{FiveTuple, PathId};
use crate::wire::Request;

impl Shard {
    /// The ticket of an allocation. It stays the same for the life of the allocation, so that a client can retransmit after a
    /// lost response. Using it takes the user's password.
    pub(super) fn ticket(&self, serial: u64) -> [u8; 16] {
        self.nonces.tag(&serial.to_be_bytes())
    }

    /// Handles a Refresh with MOBILITY-TICKET. On the allocation's own five-tuple it refreshes; on another one it moves the
    /// allocation there.
    pub(super) fn refresh_with_ticket(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) {
        let Some((verified, username)) = self.authenticate(now, tuple, path, request) else { return };
        let Some(ticket) = request.mobility_ticket.and_then(|value| <[u8; 16]>::try_from(value).ok()) else {
            self.refuse(&verified, 400);
            return;
        };
        // Moves are rare, so there is no table of tickets.
        let found = self.allocations.iter().find(|(_, allocation)| allocation.ticket == Some(ticket));
        let Some((index, allocation)) = found else {
            self.refuse(&verified, if self.has_allocation(&tuple) { 400 } else { 437 });
            return;
        };
        if *allocation.username != *username {
            self.refuse(&verified, 441);
            return;
        }
        if allocation.tuple != tuple || allocation.path == PathId::NOWHERE {
            if self.has_allocation(&tuple) {
                self.refuse(&verified, 437);
                return;
            }
            if !self.move_to(index, tuple, path) {
                self.refuse(&verified, 486);
                return;
            }
        }
        self.refresh_allocation(now, &verified, index, request);
    }

    /// Moves an allocation to a new five-tuple; `false` if the quota of the new address is exhausted.
    fn move_to(&mut self, index: usize, tuple: FiveTuple, path: PathId) -> bool {
        let settings = &self.context.settings;
        let Some(allocation) = self.allocations.get_mut(index) else { return false };
        let user = settings.credentials.quota_name(&allocation.username);
        // Released first, so that a client at its limit can still move.
        self.context.quotas.release(user, allocation.tuple.client.ip());
        if !self.context.quotas.take(&settings.limits, user, tuple.client.ip()) {
            self.context.quotas.put_back(user, allocation.tuple.client.ip());
            return false;
        }
        self.by_tuple.remove(&allocation.tuple, index);
        allocation.tuple = tuple;
        allocation.path = path;
        self.by_tuple.insert(&self.allocations, index);
        true
    }
}
