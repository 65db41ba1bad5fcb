//! Mobility: an allocation that follows its client to a new address (RFC 8016).

use std::time::Instant;

use super::Shard;
use crate::five_tuple::{FiveTuple, PathId};
use crate::wire::Request;

impl Shard {
    /// What names an allocation to a client on a new five-tuple. It stays the same for the life of the allocation, so that a client whose
    /// answer got lost can ask again; without the user's password it is worth nothing.
    pub(super) fn ticket(&self, serial: u64) -> [u8; 16] {
        self.nonces.tag(&serial.to_be_bytes())
    }

    /// A Refresh with MOBILITY-TICKET: on the five-tuple of the allocation a plain one, on another the move.
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
        // Moves are rare, so no table of tickets is kept for them.
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

    /// Puts an allocation on a new five-tuple; `false` when the new address has its quota full.
    fn move_to(&mut self, index: usize, tuple: FiveTuple, path: PathId) -> bool {
        let settings = &self.context.settings;
        let Some(allocation) = self.allocations.get_mut(index) else { return false };
        let user = settings.credentials.quota_name(&allocation.username);
        // Given back first: whoever is at a limit may still move.
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
