//! The only place where the time is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Time since 1970.
#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
