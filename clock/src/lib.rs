//! The times of the machine, read in one place for every driver of the server.
//!
//! - [`wall`] is the machine's wall clock, read anew each time: it follows NTP, and an operator who sets it.
//! - [`settled`] is the wall clock as far as it can be trusted with what cannot be undone: a clock that was set is not
//!   believed until it has stood for five minutes.
//! - [`now`] is what timers go by. It is monotonic, and stands still while the process does not run (a virtual machine
//!   that is moved, a stopped process), so that such a time counts against nobody.
//!
//! Steps of the wall clock and times without running are noticed by a thread that [`watch`] starts; without it [`now`] is
//! the system's monotonic clock, and steps are noticed by readings alone.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this is where the clocks are read")]

mod running;
mod steps;

use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use running::Running;
use steps::{Steps, step_seconds};

/// How often the clocks are looked at.
const BEAT: Duration = Duration::from_millis(250);

/// The clocks of the process.
struct Clocks {
    /// The system's monotonic clock when the clocks were first read.
    base: Instant,
    running: Running,
    steps: Mutex<Steps>,
}

fn clocks() -> &'static Clocks {
    static CLOCKS: OnceLock<Clocks> = OnceLock::new();
    CLOCKS.get_or_init(|| Clocks {
        base: Instant::now(),
        running: Running::new(),
        steps: Mutex::new(Steps::new(wall(), Duration::ZERO)),
    })
}

/// Notices, from now on, when the wall clock is set and when the process has not run. Called once or more often; the first
/// call's `on_beat` is called with every look, several times a second.
pub fn watch(on_beat: impl Fn() + Send + 'static) {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let watched = clocks();
        watched.running.watch(watched.base.elapsed());
        let started = thread::Builder::new().name("clock".to_owned()).spawn(move || {
            loop {
                thread::sleep(BEAT);
                on_beat();
                now();
                drop(read_steps());
            }
        });
        if let Err(error) = started {
            watched.running.unwatch();
            tracing::warn!(%error, "the clocks are not watched");
        }
    });
}

/// The wall clock: time since 1970-01-01T00:00:00Z, zero before.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock as far as it has stood for five minutes: after a step the time goes on as it did before, until the new
/// one has stood for so long or has gone back to one that had. `None` while no clock of this process has stood so long.
pub fn settled() -> Option<Duration> {
    let (steps, elapsed) = read_steps();
    steps.settled(elapsed)
}

/// The monotonic clock without the times in which the process did not run. Instants of [`Instant::now`] may be later.
pub fn now() -> Instant {
    let clocks = clocks();
    let (running, missed) = clocks.running.read(|| clocks.base.elapsed());
    if let Some(missed) = missed {
        tracing::warn!(
            seconds = missed.as_secs_f64(),
            "the process did not run for a while: that time counts against nobody"
        );
    }
    clocks.base + running
}

/// The instant of the system's own timers that corresponds to one of [`now`]'s.
pub fn deadline(at: Instant) -> Instant {
    Instant::now() + at.saturating_duration_since(now())
}

/// What is known of the wall clock after a look at it, and when that was.
fn read_steps() -> (MutexGuard<'static, Steps>, Duration) {
    let clocks = clocks();
    let mut steps = clocks.steps.lock().unwrap_or_else(PoisonError::into_inner);
    let (wall, elapsed) = (wall(), clocks.base.elapsed());
    if let Some(step) = steps.read(wall, elapsed) {
        tracing::warn!(
            seconds = step_seconds(step),
            "the machine's clock was set: times follow it at once, and what cannot be undone waits until it has \
             stood for five minutes"
        );
    }
    (steps, elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_an_ordinary_moment() {
        watch(|| ());
        let (system, running) = (Instant::now(), now());
        assert!(running <= Instant::now() && now() >= running);
        assert!(deadline(running + Duration::from_hours(1)) >= system + Duration::from_mins(59));
        assert_eq!(settled(), None, "a process that has just begun has seen no clock stand");
        assert!(wall() > Duration::from_hours(24 * 365 * 50));
    }
}
