//! Finds allocations by five-tuple.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::allocation::Allocation;
use crate::five_tuple::FiveTuple;

/// A table of indices alone: four bytes an allocation stay in the cache of a processor where keys would not, and the key is compared
/// where the packet is going anyhow.
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

    /// Puts the allocation at `index` in, under the five-tuple that it has.
    pub(super) fn insert(&mut self, allocations: &Slab<Allocation>, index: usize) {
        let Self { indices, hasher } = self;
        let (Some(allocation), Ok(number)) = (allocations.get(index), u32::try_from(index)) else { return };
        let hash_of = |index: &u32| {
            allocations.get(*index as usize).map_or(0, |allocation| hasher.hash_one(allocation.tuple))
        };
        indices.insert_unique(hasher.hash_one(allocation.tuple), number, hash_of);
    }

    /// Takes the allocation at `index` out, which has `tuple` still. One that is not in the table stays where it is.
    pub(super) fn remove(&mut self, tuple: &FiveTuple, index: usize) {
        if let Ok(entry) = self.indices.find_entry(self.hasher.hash_one(tuple), |at| *at as usize == index) {
            entry.remove();
        }
    }
}
