//! Whether a shard is busy enough to wait for more commands before it works.

use std::time::Duration;

use signaling_core::Timestamp;

/// The period over which commands are counted.
const WINDOW: Duration = Duration::from_millis(4);
/// Commands per millisecond that make a shard busy. Below this, too few could be handled together to be worth a wait.
const BUSY: u64 = 12;

/// Counts commands over time.
#[derive(Debug)]
pub(super) struct Pace {
    since: Timestamp,
    commands: u64,
    is_busy: bool,
}

impl Pace {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, commands: 0, is_busy: false }
    }

    /// Counts `commands` that have come since the last call.
    pub(super) fn note(&mut self, now: Timestamp, commands: usize) {
        self.commands += commands as u64;
        let passed = now.since(self.since);
        if passed >= WINDOW {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.is_busy = self.commands / millis >= BUSY;
            (self.since, self.commands) = (now, 0);
        }
    }

    /// Whether the last commands came quickly enough to count as busy.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes this many commands in each millisecond, one call for each. Returns for each millisecond whether the shard
    /// was busy.
    fn notes(pace: &mut Pace, millis: std::ops::Range<u64>, each: u64) -> Vec<bool> {
        millis
            .map(|at| {
                for _ in 0..each {
                    pace.note(Timestamp::from_millis(at), 1);
                }
                pace.is_busy()
            })
            .collect()
    }

    #[test]
    fn a_shard_with_little_to_do_waits_for_nobody() {
        let mut pace = Pace::new(Timestamp::from_millis(0));
        assert!(!notes(&mut pace, 0..1_000, BUSY - 2).contains(&true));
    }

    #[test]
    fn many_commands_make_it_busy_and_silence_does_not_last_beyond_the_next_command() {
        let mut pace = Pace::new(Timestamp::from_millis(0));
        let busy = notes(&mut pace, 0..100, 2 * BUSY);
        assert!(busy[WINDOW.as_millis() as usize..].iter().all(|busy| *busy));
        pace.note(Timestamp::from_millis(200), 1);
        assert!(!pace.is_busy());
    }
}
