//! The clocks of the driver, and the times after which its threads give signs of life.

use std::time::{Duration, Instant};

use signaling_core::Timestamp;

/// The longest disk operation of a thread that is not reported as a fault.
pub(super) const DISK: Duration = Duration::from_mins(1);
/// The longest interval between signs of life of an idle thread.
pub(super) const SIGN: Duration = Duration::from_secs(1);

/// The current time.
pub(super) fn now() -> Instant {
    clock::now()
}

/// The wall-clock time.
pub(super) fn wall_clock() -> Timestamp {
    Timestamp::default() + clock::wall()
}

/// The wall-clock time if the clock is trusted enough to decide on deletion.
pub(super) fn believed_clock() -> Option<Timestamp> {
    clock::settled().map(|settled| Timestamp::default() + settled)
}
