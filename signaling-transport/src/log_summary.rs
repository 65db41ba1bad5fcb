//! Log messages about events that clients cause: a flood of such events must not flood the log.

use std::time::Duration;

use rate_limit::Moment;

/// The shortest time between two messages.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts events of one kind, for a message that covers several of them.
#[derive(Debug)]
pub(crate) struct LogSummary<T> {
    /// Events since the last message.
    untold: u64,
    told_at: Option<T>,
}

impl<T> Default for LogSummary<T> {
    fn default() -> Self {
        Self { untold: 0, told_at: None }
    }
}

impl<T: Moment> LogSummary<T> {
    /// Counts an event. If a message is due, returns the number of events that it covers.
    pub(crate) fn count(&mut self, now: T) -> Option<u64> {
        self.untold += 1;
        if self.told_at.is_some_and(|told_at| now.since(told_at) < PAUSE) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use signaling_core::Timestamp;

    use super::*;

    #[test]
    fn the_first_event_is_told_at_once_and_the_next_ones_together_after_a_pause() {
        let (mut summary, now) = (LogSummary::default(), Timestamp::from_millis(1));
        let just_before = now + PAUSE * 9 / 10;
        assert_eq!(summary.count(now), Some(1));
        assert_eq!(summary.count(now), None);
        assert_eq!(summary.count(just_before), None);
        assert_eq!(summary.count(now + PAUSE), Some(3));
        assert_eq!(summary.count(now + PAUSE), None);
    }
}
