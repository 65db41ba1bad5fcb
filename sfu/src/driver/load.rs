//! Whether a worker keeps up. One that does not is given no new sessions, so that those it has go on.
//!
//! A worker is behind if one of its turns takes long, or if it has not waited for anything for most of a second: then
//! datagrams pile up in its socket, whatever the turns take. The time in which it sends counts, since sending waits when the
//! system accepts no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A turn that takes this long makes the worker late for everybody.
const LONG_TURN: Duration = Duration::from_millis(250);
/// The time over which the share of waiting is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// The least share of the time, in percent, in which a worker that keeps up waits.
const LEAST_WAITING_PERCENT: u32 = 3;

/// The load of a worker as other threads see it.
#[derive(Clone, Debug)]
pub(super) struct Load(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    /// When the current turn began, in microseconds since the epoch and at least 1; 0 while the worker waits.
    turn_began: AtomicU64,
    is_busy: AtomicBool,
}

impl Load {
    pub(super) fn new(epoch: Instant) -> Self {
        Self(Arc::new(Shared { epoch, turn_began: AtomicU64::new(0), is_busy: AtomicBool::new(false) }))
    }

    /// Whether the worker is behind.
    pub(super) fn is_behind(&self, now: Instant) -> bool {
        let began = self.0.turn_began.load(Ordering::Relaxed);
        let taken = self.since_epoch(now).saturating_sub(began);
        self.0.is_busy.load(Ordering::Relaxed) || began > 0 && u128::from(taken) >= LONG_TURN.as_micros()
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0.epoch).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Measures the load of a worker.
#[derive(Debug)]
pub(super) struct LoadMeter {
    load: Load,
    began: Instant,
    waited: Duration,
}

impl LoadMeter {
    pub(super) fn new(load: Load, now: Instant) -> Self {
        Self { load, began: now, waited: Duration::ZERO }
    }

    /// A turn begins.
    pub(super) fn turn(&mut self, now: Instant) {
        let shared = &self.load.0;
        shared.turn_began.store(self.load.since_epoch(now).max(1), Ordering::Relaxed);
        let passed = now.saturating_duration_since(self.began);
        if passed >= WINDOW {
            shared.is_busy.store(self.waited * 100 < passed * LEAST_WAITING_PERCENT, Ordering::Relaxed);
            (self.began, self.waited) = (now, Duration::ZERO);
        }
    }

    /// The worker waits from now on.
    pub(super) fn rest(&self) {
        self.load.0.turn_began.store(0, Ordering::Relaxed);
    }

    /// The worker has waited for this long.
    pub(super) fn rested(&mut self, time: Duration) {
        self.waited += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `busy` and waits of `waiting` milliseconds; whether the worker is behind after each turn.
    fn run(epoch: Instant, busy: u64, waiting: u64) -> Vec<bool> {
        let load = Load::new(epoch);
        let mut meter = LoadMeter::new(load.clone(), epoch);
        let mut now = epoch;
        let mut behind = Vec::new();
        while now < epoch + 5 * WINDOW {
            meter.turn(now);
            now += Duration::from_millis(busy);
            behind.push(load.is_behind(now));
            meter.rest();
            meter.rested(Duration::from_millis(waiting));
            now += Duration::from_millis(waiting);
        }
        behind
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the origin of the test's time")]
    fn a_worker_is_behind_that_never_waits_or_takes_long() {
        let epoch = Instant::now();
        assert!(!run(epoch, 9, 1).contains(&true));
        assert!(!run(epoch, 200, 50).contains(&true));
        assert!(run(epoch, 300, 300).iter().all(|behind| *behind));
        let never_waits = run(epoch, 10, 0);
        assert!(!never_waits[..100].contains(&true), "a second is measured first");
        assert!(never_waits[101..].iter().all(|behind| *behind));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the origin of the test's time")]
    fn a_worker_that_has_caught_up_is_behind_no_more() {
        let epoch = Instant::now();
        let load = Load::new(epoch);
        let mut meter = LoadMeter::new(load.clone(), epoch);
        meter.turn(epoch + WINDOW);
        assert!(load.is_behind(epoch + WINDOW));
        meter.rested(WINDOW / 2);
        meter.turn(epoch + 2 * WINDOW);
        assert!(!load.is_behind(epoch + 2 * WINDOW));
    }
}
