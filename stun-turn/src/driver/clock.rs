//! The only place where the time is read.

use std::time::{Duration, Instant};

/// What timers go by: it stands still while the process does not run.
pub(super) fn now() -> Instant {
    clock::now()
}

/// Time since 1970, by which credentials expire: not by a clock that was set ahead and has not stood yet.
pub(super) fn unix_time() -> Duration {
    let wall = clock::wall();
    clock::settled().map_or(wall, |settled| settled.min(wall))
}
