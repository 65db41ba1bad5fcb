//! How often clients have reported each cause.

use std::sync::atomic::{AtomicU64, Ordering};

use signaling_core::message::Cause;

/// A counter for each cause. There are as many as there are causes, whatever clients send.
#[derive(Debug)]
pub struct CauseCounts(Vec<AtomicU64>);

impl Default for CauseCounts {
    fn default() -> Self {
        Self(Cause::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl CauseCounts {
    /// Counts a cause once.
    pub fn count(&self, cause: Cause) {
        let at = Cause::ALL.iter().position(|known| *known == cause);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number for each cause.
    pub fn all(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.iter().zip(&self.0).map(|(cause, counter)| (*cause, counter.load(Ordering::Relaxed)))
    }
}
