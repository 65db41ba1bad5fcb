//! The times of the machine, read in one place for every driver of the server.
//!
//! - [`wall`] is the machine's wall clock, read anew each time: it follows NTP, and an operator who sets it.
//! - [`settled`] is the wall clock for decisions that cannot be undone: after a step the new time is not
//!   trusted until it has been stable for five minutes.
//! - [`now`] is the clock of timers. It is monotonic, and stands still while the process does not run (a migrated virtual
//!   machine, a stopped process), so that no timer expires because of it.
//!
//! The thread that [`watch`] starts detects steps of the wall clock and times without running. Without it [`now`] is the
//! system's monotonic clock, and only readings detect steps.
//!
//! A program calls [`watch`] once when it starts, and the others wherever it needs a time:
//!
//! ```
//! use std::time::Duration;
//!
//! clock::watch(|| {}); // or a sign of life, several times a second
//! let deadline = clock::now() + Duration::from_secs(10);
//! assert!(clock::now() < deadline);
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this is where the clocks are read")]

mod running;
mod steps;

use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use running::Running;
use steps::{Steps, step_seconds};

/// The interval of clock readings.
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

/// Starts the detection of steps and of times without running. The first call starts it, later calls do nothing; `on_beat`
/// is called at every reading, several times a second.
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

/// The wall clock that has been stable for five minutes. After a step the old time continues, until the new one has been
/// stable for as long or the clock returns to a time that was. `None` until a clock has been stable for as long in this process.
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

/// The state of the wall clock after a reading, and the time of that reading.
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
