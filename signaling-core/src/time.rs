//! Points in time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: whole milliseconds since the Unix epoch, UTC.
///
/// The core never reads a clock. Drivers pass `now`, the *ticks* of a [`WallClock`](crate::WallClock), by which timers
/// run: they start at the time of the process's start and never go backwards. Times that people and other processes see
/// come from the wall clock instead; see [`Wall`]. The serialised form is an RFC 3339 string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`, zero if that lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl rate_limit::Moment for Timestamp {
    fn since(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The offset of the machine's wall clock from the ticks of a shard. The driver sets it before it passes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Milliseconds by which the wall clock is ahead.
    ahead: i64,
    /// The same for the clock that is trusted with irreversible decisions, if there is one.
    settled: Option<i64>,
}

impl Default for Wall {
    /// A wall clock that shows the ticks.
    fn default() -> Self {
        Self { ahead: 0, settled: Some(0) }
    }
}

impl Wall {
    /// The offset that follows from simultaneous readings of the ticks, the wall clock and the trusted clock.
    pub fn new(ticks: Timestamp, now: Timestamp, settled: Option<Timestamp>) -> Self {
        let ahead = |at: Timestamp| at.0.cast_signed().wrapping_sub(ticks.0.cast_signed());
        Self { ahead: ahead(now), settled: settled.map(ahead) }
    }

    /// The wall clock's time at a tick.
    pub fn at(self, ticks: Timestamp) -> Timestamp {
        Timestamp(ticks.0.saturating_add_signed(self.ahead))
    }

    /// The trusted clock's time at a tick, if there is one.
    pub fn settled(self, ticks: Timestamp) -> Option<Timestamp> {
        self.settled.map(|ahead| Timestamp(ticks.0.saturating_add_signed(ahead)))
    }

    /// Whether `until` has passed by every clock that may be right, and so for good.
    pub fn is_over(self, until: Timestamp, ticks: Timestamp) -> bool {
        until <= self.at(ticks) && self.settled(ticks).is_some_and(|settled| until <= settled)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = jiff::Timestamp::deserialize(deserializer)?;
        u64::try_from(parsed.as_millisecond())
            .map(Self)
            .map_err(|_| serde::de::Error::custom("a time before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc_3339() {
        let at = Timestamp::from_millis(1_790_000_000_123);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, r#""2026-09-21T14:13:20.123Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
    }

    #[test]
    fn the_wall_clock_stands_beside_the_ticks() {
        let at = Timestamp::from_millis;
        let ahead = Wall::new(at(1_000), at(9_000), Some(at(1_500)));
        assert_eq!((ahead.at(at(2_000)), ahead.settled(at(2_000))), (at(10_000), Some(at(2_500))));
        assert!(!ahead.is_over(at(5_000), at(2_000)), "over by one of two clocks");
        assert!(ahead.is_over(at(2_500), at(2_000)));
        let behind = Wall::new(at(9_000), at(1_000), None);
        assert_eq!((behind.at(at(9_500)), behind.at(at(10))), (at(1_500), at(0)));
        assert!(!behind.is_over(at(0), at(9_500)), "no clock is believed yet");
    }

    #[test]
    fn since_saturates() {
        assert_eq!(Timestamp::from_millis(1).since(Timestamp::from_millis(5)), Duration::ZERO);
    }
}
