//! What unit tests of this crate share.

use signaling_core::testing::SeededEntropy;
use signaling_core::{ServerKey, Timestamp, WallClock};

use crate::meeting::{Meeting, Wanted};

/// A clock that stands still.
pub(crate) struct FixedClock;

impl FixedClock {
    /// What it shows.
    pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_795_780_800_000);
}

impl WallClock for FixedClock {
    fn now(&self) -> Timestamp {
        Self::NOON
    }
}

/// A meeting that is open from its making on, with ids from a seed.
pub(crate) fn planned(title: &str, seed: u64) -> Meeting {
    let wanted = serde_json::json!({"title": title, "timeZone": "UTC", "durationMinutes": 30});
    let wanted: Wanted = serde_json::from_value(wanted).expect("a booking");
    let draft = wanted.check(FixedClock::NOON).expect("a good booking");
    let entropy = &mut SeededEntropy::new(seed);
    Meeting::new(&draft, None, &ServerKey::new([1; 32]), FixedClock::NOON, entropy)
}
