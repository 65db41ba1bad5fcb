//! Fakes for the tests of this crate and of crates that build on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::{
    Append, Claim, Entropy, KeptLog, LifeId, LogEvent, MediaDemand, MediaPlane, RoomId, RoomLog, Step,
};

/// Repeatable "randomness" (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct SeededEntropy(u64);

impl SeededEntropy {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_u64() % (bound.max(1) as u64)).unwrap_or(0)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(random) {
                *to = from;
            }
        }
    }
}

/// A media plane that records the demands on it.
#[derive(Clone, Debug, Default)]
pub struct RecordedMedia(Arc<Mutex<Vec<(RoomId, MediaDemand)>>>);

impl RecordedMedia {
    /// The demands since the last call.
    pub fn take(&self) -> Vec<(RoomId, MediaDemand)> {
        self.0.lock().map(|mut demands| std::mem::take(&mut *demands)).unwrap_or_default()
    }
}

impl MediaPlane for RecordedMedia {
    fn demand(&self, room: &RoomId, demand: MediaDemand) {
        if let Ok(mut demands) = self.0.lock() {
            demands.push((room.clone(), demand));
        }
    }
}

/// The latest chat of rooms in memory. Clones share it, so that it outlives a shard.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<BTreeMap<LifeId, KeptLog>>>);

impl MemoryLog {
    /// The lives of which anything is kept.
    pub fn lives(&self) -> Vec<LifeId> {
        self.0.lock().map(|lives| lives.keys().copied().collect()).unwrap_or_default()
    }
}

impl RoomLog for MemoryLog {
    fn claim(&self, _room: &RoomId, _attempt: u64, claim: Claim) -> Option<LogEvent> {
        let kept = self.0.lock().ok().and_then(|lives| lives.get(&claim.life).cloned());
        Some(LogEvent::alone(kept.unwrap_or_default()))
    }

    fn append(&self, _room: &RoomId, _attempt: u64, append: Append<'_>) -> Option<LogEvent> {
        if let Ok(mut lives) = self.0.lock() {
            for record in append.steps.iter().flat_map(Step::chat) {
                let kept = lives.entry(append.life).or_default();
                kept.push(record);
                kept.trim(50);
            }
        }
        Some(LogEvent::Appended)
    }

    fn ownership(&self, _room: &RoomId, _attempt: u64) -> Option<LogEvent> {
        Some(LogEvent::Owned(None))
    }

    fn erase(&self, _room: &RoomId, life: LifeId) {
        if let Ok(mut lives) = self.0.lock() {
            lives.remove(&life);
        }
    }
}
