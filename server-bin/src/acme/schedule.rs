//! When to ask the directory, without a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use signaling_transport::net::Validity;

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_mins(1);
/// The longest wait after failures that another attempt may mend.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// The wait after the directory has refused an attempt for being one too many; it doubles as well.
const FIRST_LIMITED_WAIT: Duration = Duration::from_hours(1);
const LONGEST_LIMITED_WAIT: Duration = Duration::from_hours(24);
/// The longest wait that a directory may demand. An operator would take a longer one for a fault.
const LONGEST_DEMAND: Duration = Duration::from_hours(7 * 24);

/// Why an order failed, as far as it decides on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The directory cannot be reached, or does not work.
    Unreachable,
    /// The directory works and has refused the order; each attempt counts towards its limits.
    Refused,
    /// The directory's limits are reached.
    Limited {
        /// The wait that it demands.
        wait: Option<Duration>,
    },
    /// This machine cannot keep the result.
    Local,
}

/// The attempts so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schedule {
    /// Failed attempts since the last success.
    failures: u32,
    /// No attempt before this time, in seconds since 1970.
    not_before: u64,
}

impl Schedule {
    /// The time of the next order, for a certificate of this validity. Without one it is due now.
    pub(super) fn due(&self, validity: Option<Validity>) -> SystemTime {
        let renewal = validity.map_or(UNIX_EPOCH, |Validity { from, until }| {
            let lifetime = until.duration_since(from).unwrap_or_default();
            until.checked_sub(lifetime / 3).unwrap_or(UNIX_EPOCH)
        });
        renewal.max(UNIX_EPOCH + Duration::from_secs(self.not_before))
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure; returns the wait until the next attempt.
    pub(super) fn failed(&mut self, now: SystemTime, failure: Failure) -> Duration {
        let doubled = |first: Duration, longest: Duration| {
            first.saturating_mul(1 << self.failures.min(16)).min(longest)
        };
        let wait = match failure {
            Failure::Unreachable | Failure::Local => doubled(FIRST_WAIT, LONGEST_WAIT),
            // Five refusals an hour are a usual limit of directories.
            Failure::Refused => doubled(FIRST_WAIT * 5, LONGEST_WAIT * 6),
            Failure::Limited { wait } => {
                let own = doubled(FIRST_LIMITED_WAIT, LONGEST_LIMITED_WAIT);
                wait.map_or(own, |wait| wait.clamp(FIRST_WAIT, LONGEST_DEMAND))
            }
        };
        self.failures = self.failures.saturating_add(1);
        let again = now + wait;
        self.not_before = again.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: SystemTime = UNIX_EPOCH;

    fn validity(from: Duration, until: Duration) -> Validity {
        Validity { from: NOW + from, until: NOW + until }
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let schedule = Schedule::default();
        assert_eq!(schedule.due(None), NOW);
        assert_eq!(schedule.due(Some(validity(DAY, 91 * DAY))), NOW + 61 * DAY);
        assert_eq!(schedule.due(Some(validity(DAY, 7 * DAY))), NOW + 5 * DAY);
    }

    /// The orders within `span` while every one fails like this.
    fn attempts(span: Duration, failure: Failure) -> u32 {
        let mut schedule = Schedule::default();
        let (mut now, mut count) = (NOW + DAY, 0);
        let end = now + span;
        while now < end {
            count += 1;
            schedule.failed(now, failure);
            assert!(schedule.due(None) > now);
            now = schedule.due(None);
        }
        count
    }

    #[test]
    fn a_directory_that_is_down_for_an_hour_is_asked_a_few_times() {
        let asked = attempts(Duration::from_hours(1), Failure::Unreachable);
        assert!((4..=8).contains(&asked), "{asked}");
        // It is asked within an hour after it has come back.
        assert!(attempts(DAY, Failure::Unreachable) >= 24);
    }

    #[test]
    fn refusals_stay_below_the_limits_of_directories() {
        assert!(attempts(Duration::from_hours(1), Failure::Refused) <= 4);
        assert!(attempts(Duration::from_hours(7 * 24), Failure::Refused) <= 50);
    }

    #[test]
    fn a_limit_is_waited_out() {
        assert!(attempts(DAY, Failure::Limited { wait: None }) <= 5);
        let mut schedule = Schedule::default();
        let demanded = Failure::Limited { wait: Some(3 * DAY) };
        assert_eq!(schedule.failed(NOW, demanded), 3 * DAY);
        assert_eq!(schedule.due(None), NOW + 3 * DAY);
        assert_eq!(schedule.failed(NOW, Failure::Limited { wait: Some(400 * DAY) }), LONGEST_DEMAND);
        // A restart remembers it, and a success forgets it.
        let kept = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&kept).unwrap(), schedule);
        schedule.succeeded();
        assert_eq!(schedule.due(None), NOW);
    }
}
