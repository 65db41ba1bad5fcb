//! What unit tests share.

use std::time::Instant;

/// The beginning of virtual time. Nothing is measured by it.
#[allow(clippy::disallowed_methods, reason = "an Instant can't be made in any other way")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
