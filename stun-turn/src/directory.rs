//! Which shard owns which relay port.

use std::sync::atomic::{AtomicU8, Ordering};

/// A table of all ports, shared by the shards of a server. A port number is used for one relay at a time, whatever its address, so the
/// number alone finds the owner.
pub struct RelayDirectory {
    owners: Box<[AtomicU8]>,
}

impl std::fmt::Debug for RelayDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RelayDirectory(…)")
    }
}

impl Default for RelayDirectory {
    fn default() -> Self {
        Self { owners: (0..=u16::MAX).map(|_| AtomicU8::new(FREE)).collect() }
    }
}

const FREE: u8 = 0;
/// Held for a reservation: in use, but not yet a relay.
const RESERVED: u8 = u8::MAX;

impl RelayDirectory {
    /// The number of shards that fit.
    pub const MAX_SHARDS: u8 = u8::MAX - 1;

    /// The shard whose relay listens on `port`.
    pub fn owner(&self, port: u16) -> Option<u8> {
        match self.slot(port)?.load(Ordering::Acquire) {
            FREE | RESERVED => None,
            owner => Some(owner - 1),
        }
    }

    /// Reserves `port`, if it is free.
    pub fn reserve(&self, port: u16) -> bool {
        self.slot(port).is_some_and(|slot| {
            slot.compare_exchange(FREE, RESERVED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Gives a reserved port to `shard`.
    pub fn assign(&self, port: u16, shard: u8) {
        if let Some(slot) = self.slot(port) {
            slot.store(shard.saturating_add(1).min(Self::MAX_SHARDS), Ordering::Release);
        }
    }

    /// Makes `port` free.
    pub fn release(&self, port: u16) {
        if let Some(slot) = self.slot(port) {
            slot.store(FREE, Ordering::Release);
        }
    }

    fn slot(&self, port: u16) -> Option<&AtomicU8> {
        self.owners.get(usize::from(port))
    }
}
