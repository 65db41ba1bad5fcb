//! Steps of the wall clock, and the clock to trust after them.

use std::time::Duration;

/// A larger difference is a step; a smaller one is slewing.
const STEP_MS: i64 = 2_000;
/// How long a clock must be stable before it is trusted.
const STANDS: Duration = Duration::from_mins(5);
/// Clocks that were trusted before. They are trusted again at once when the time returns to one of them.
const FORMER: usize = 8;

/// The wall clock relative to the monotonic one.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Milliseconds by which the wall clock is ahead of the monotonic one.
    ahead: i64,
    /// The monotonic time since when it has been stable.
    since: Duration,
    /// As `ahead`, for the trusted clock.
    settled: Option<i64>,
    former: Vec<i64>,
}

impl Steps {
    /// The state at the start of the process. Its clock is not trusted yet, since machines boot with wrong clocks.
    pub(crate) fn new(wall: Duration, elapsed: Duration) -> Self {
        Self { ahead: ahead(wall, elapsed), since: elapsed, settled: None, former: Vec::new() }
    }

    /// Records a reading of both clocks. Returns the step in milliseconds, if the wall clock was set since the last reading.
    pub(crate) fn read(&mut self, wall: Duration, elapsed: Duration) -> Option<i64> {
        let ahead = ahead(wall, elapsed);
        let step = ahead - self.ahead;
        let is_step = step.abs() > STEP_MS;
        self.ahead = ahead;
        if is_step {
            self.since = elapsed;
        }
        let is_slewed = self.settled.is_some_and(|settled| is_same(settled, ahead));
        let is_former = self.former.iter().any(|former| is_same(*former, ahead));
        if is_slewed || is_former || elapsed.saturating_sub(self.since) >= STANDS {
            self.settle(ahead);
        }
        is_step.then_some(step)
    }

    fn settle(&mut self, ahead: i64) {
        self.former.retain(|former| !is_same(*former, ahead));
        if let Some(settled) = self.settled.filter(|settled| !is_same(*settled, ahead)) {
            self.former.push(settled);
            if self.former.len() > FORMER {
                self.former.remove(0);
            }
        }
        self.settled = Some(ahead);
    }

    /// The time of the trusted clock.
    pub(crate) fn settled(&self, elapsed: Duration) -> Option<Duration> {
        let millis = self.settled?.saturating_add(millis(elapsed));
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }
}

fn is_same(one: i64, other: i64) -> bool {
    (one - other).abs() <= STEP_MS
}

fn ahead(wall: Duration, elapsed: Duration) -> i64 {
    millis(wall).saturating_sub(millis(elapsed))
}

fn millis(duration: Duration) -> i64 {
    // Half of the range, so that the difference of two values fits.
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// A step, formatted for the log.
pub(crate) fn step_seconds(step: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a number to be read")]
    let seconds = step as f64 / 1_000.0;
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const START: u64 = 1_790_000_000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A clock that was right for ten minutes.
    fn settled() -> Steps {
        let mut steps = Steps::new(seconds(START), seconds(0));
        for at in 0..=600 {
            assert_eq!(steps.read(seconds(START + at), seconds(at)), None);
        }
        assert_eq!(steps.settled(seconds(600)), Some(seconds(START + 600)));
        steps
    }

    #[test]
    fn a_clock_is_believed_when_it_has_stood_for_five_minutes() {
        let mut steps = Steps::new(seconds(START), seconds(0));
        assert_eq!(steps.read(seconds(START + 299), seconds(299)), None);
        assert_eq!(steps.settled(seconds(299)), None);
        assert_eq!(steps.read(seconds(START + 300), seconds(300)), None);
        assert_eq!(steps.settled(seconds(300)), Some(seconds(START + 300)));
    }

    #[test]
    fn three_seconds_of_a_clock_three_days_ahead_are_never_believed() {
        let mut steps = settled();
        assert_eq!(steps.read(seconds(START + 601 + 3 * DAY), seconds(601)), Some(3 * 86_400_000));
        for at in 602..604 {
            assert_eq!(steps.read(seconds(START + at + 3 * DAY), seconds(at)), None);
            assert_eq!(steps.settled(seconds(at)), Some(seconds(START + at)));
        }
        assert_eq!(steps.read(seconds(START + 604), seconds(604)), Some(-3 * 86_400_000));
        assert_eq!(steps.settled(seconds(604)), Some(seconds(START + 604)), "back, and believed at once");
    }

    #[test]
    fn a_step_that_stays_is_believed_after_five_minutes_and_taken_back_at_once() {
        let mut steps = settled();
        for at in 601..=900 {
            steps.read(seconds(START + at + DAY), seconds(at));
            assert_eq!(steps.settled(seconds(at)), Some(seconds(START + at)));
        }
        steps.read(seconds(START + 901 + DAY), seconds(901));
        assert_eq!(steps.settled(seconds(901)), Some(seconds(START + 901 + DAY)));
        steps.read(seconds(START + 1_000), seconds(1_000));
        assert_eq!(steps.settled(seconds(1_000)), Some(seconds(START + 1_000)));
    }

    #[test]
    fn a_process_that_begins_with_a_wrong_clock_believes_the_right_one_after_five_minutes() {
        let mut steps = Steps::new(seconds(START + 3 * DAY), seconds(0));
        assert_eq!(steps.read(seconds(START + 3), seconds(3)), Some(-3 * 86_400_000));
        assert_eq!(steps.settled(seconds(302)), None);
        assert_eq!(steps.read(seconds(START + 303), seconds(303)), None);
        assert_eq!(steps.settled(seconds(303)), Some(seconds(START + 303)));
    }

    #[test]
    fn slewing_is_followed_and_not_told() {
        let mut steps = settled();
        // Half a second a minute for an hour: no look finds a step.
        let readings = (1..=60).map(|n| (START * 1_000 + 600_000 + n * 60_500, 600 + n * 60));
        for (wall, at) in readings {
            assert_eq!(steps.read(Duration::from_millis(wall), seconds(at)), None);
            assert_eq!(steps.settled(seconds(at)), Some(Duration::from_millis(wall)));
        }
    }

    #[test]
    fn clocks_out_of_all_proportion_are_clocks() {
        let mut steps = Steps::new(Duration::MAX, seconds(0));
        assert!(steps.read(Duration::ZERO, seconds(1)).is_some());
        steps.read(Duration::MAX, Duration::MAX);
        steps.settled(Duration::MAX);
    }
}
