//! The time for which the process has run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A gap of this length between two readings means that the process did not run, since it reads the clock many times a second.
const MISSED: Duration = Duration::from_secs(2);

/// Measures running time. Any thread may read it, mostly without a lock.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Whether readings are frequent enough for a gap to be significant.
    is_watched: AtomicBool,
    /// The latest reading of the monotonic clock, in nanoseconds.
    seen: AtomicU64,
    /// The time without running, in nanoseconds.
    missed: AtomicU64,
    /// Held while a thread adds to `missed`.
    adding: Mutex<()>,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn watch(&self, elapsed: Duration) {
        self.seen.fetch_max(nanos(elapsed), Ordering::AcqRel);
        self.is_watched.store(true, Ordering::Release);
    }

    pub(crate) fn unwatch(&self) {
        self.is_watched.store(false, Ordering::Release);
    }

    /// The running time at a reading of the monotonic clock, and the time without running if this call is the first to detect it.
    pub(crate) fn read(&self, elapsed: impl Fn() -> Duration) -> (Duration, Option<Duration>) {
        loop {
            let missed = self.missed.load(Ordering::Acquire);
            let seen = self.seen.load(Ordering::Acquire);
            let at = nanos(elapsed());
            if self.is_watched.load(Ordering::Acquire) && at.saturating_sub(seen) >= nanos(MISSED) {
                if let Some(gap) = self.add(&elapsed) {
                    let missed = self.missed.load(Ordering::Acquire);
                    let at = self.seen.load(Ordering::Acquire);
                    return (Duration::from_nanos(at.saturating_sub(missed)), Some(gap));
                }
                continue;
            }
            self.seen.fetch_max(at, Ordering::AcqRel);
            // A thread that was stopped between its readings must not take an old reading for one after the gap.
            if self.missed.load(Ordering::Acquire) == missed {
                return (Duration::from_nanos(at.max(seen).saturating_sub(missed)), None);
            }
        }
    }

    /// Counts the gap, unless another thread has.
    fn add(&self, elapsed: impl Fn() -> Duration) -> Option<Duration> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, seen) = (nanos(elapsed()), self.seen.load(Ordering::Acquire));
        let gap = at.saturating_sub(seen);
        if gap < nanos(MISSED) {
            return None;
        }
        self.missed.fetch_add(gap, Ordering::AcqRel);
        self.seen.fetch_max(at, Ordering::AcqRel);
        Some(Duration::from_nanos(gap))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watched() -> Running {
        let running = Running::new();
        running.watch(seconds(0));
        running
    }

    #[test]
    fn a_time_without_running_is_told_once_and_never_counts() {
        let running = watched();
        assert_eq!(running.read(|| seconds(1)), (seconds(1), None));
        assert_eq!(running.read(|| seconds(76)), (seconds(1), Some(seconds(75))));
        assert_eq!(running.read(|| seconds(77)), (seconds(2), None));
        assert_eq!(running.read(|| seconds(78)), (seconds(3), None));
    }

    #[test]
    fn a_busy_machine_is_none_that_stands_still() {
        let running = watched();
        let readings = (1..100).map(|n| running.read(|| Duration::from_millis(n * 1_900)));
        assert!(readings.enumerate().all(|(n, (at, missed))| {
            missed.is_none() && at == Duration::from_millis((n as u64 + 1) * 1_900)
        }));
    }

    #[test]
    fn without_a_watch_silence_is_only_silence() {
        let running = Running::new();
        assert_eq!(running.read(|| seconds(1)), (seconds(1), None));
        assert_eq!(running.read(|| seconds(76)), (seconds(76), None));
    }

    #[test]
    fn whoever_read_the_clock_before_the_gap_goes_not_back_behind_it() {
        let running = watched();
        assert_eq!(running.read(|| seconds(1)), (seconds(1), None));
        // While this one reads, the process stands still and another thread notices.
        let late = running.read(|| {
            running.read(|| seconds(90));
            seconds(1)
        });
        assert_eq!(late.0, seconds(1));
    }

    #[test]
    fn threads_that_wake_together_agree_on_one_gap() {
        let running = watched();
        let told: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(running.read(|| seconds(60)).1.is_some())))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(told, 1);
        assert_eq!(running.read(|| seconds(61)), (seconds(1), None));
    }
}
