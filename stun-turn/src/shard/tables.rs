//! Tables that find allocations: by five-tuple, and by the name of a relay's socket.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::allocation::Allocation;
use crate::five_tuple::{FiveTuple, RelayId};

/// Allocations by five-tuple. The table holds indices alone: four bytes per allocation stay in the processor's cache where
/// keys would not, and the allocation with its key is needed next anyway.
#[derive(Debug)]
pub(super) struct TupleTable {
    indices: HashTable<u32>,
    hasher: FixedState,
}

impl TupleTable {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { indices: HashTable::new(), hasher }
    }

    /// The allocation that `tuple` has.
    pub(super) fn find(&self, allocations: &Slab<Allocation>, tuple: &FiveTuple) -> Option<usize> {
        let is_it = |index: &u32| allocations.get(*index as usize).is_some_and(|at| at.tuple == *tuple);
        self.indices.find(self.hasher.hash_one(tuple), is_it).map(|index| *index as usize)
    }

    /// Inserts the allocation at `index` under its five-tuple.
    pub(super) fn insert(&mut self, allocations: &Slab<Allocation>, index: usize) {
        let Self { indices, hasher } = self;
        let (Some(allocation), Ok(number)) = (allocations.get(index), u32::try_from(index)) else { return };
        let hash_of = |index: &u32| {
            allocations.get(*index as usize).map_or(0, |allocation| hasher.hash_one(allocation.tuple))
        };
        indices.insert_unique(hasher.hash_one(allocation.tuple), number, hash_of);
    }

    /// Removes the allocation at `index` with five-tuple `tuple`, if it is in the table.
    pub(super) fn remove(&mut self, tuple: &FiveTuple, index: usize) {
        if let Ok(entry) = self.indices.find_entry(self.hasher.hash_one(tuple), |at| *at as usize == index) {
            entry.remove();
        }
    }
}

/// Allocations by the name of a relay's socket. Names are small numbers, so the table is an array.
#[derive(Debug, Default)]
pub(super) struct RelayTable(Vec<u32>);

impl RelayTable {
    const NOBODY: u32 = u32::MAX;

    pub(super) fn find(&self, relay: RelayId) -> Option<usize> {
        self.0.get(relay.0 as usize).filter(|index| **index != Self::NOBODY).map(|index| *index as usize)
    }

    pub(super) fn insert(&mut self, relay: RelayId, index: usize) {
        let at = relay.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Self::NOBODY);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = u32::try_from(index).unwrap_or(Self::NOBODY);
        }
    }

    pub(super) fn remove(&mut self, relay: RelayId) {
        if let Some(slot) = self.0.get_mut(relay.0 as usize) {
            *slot = Self::NOBODY;
        }
    }
}
