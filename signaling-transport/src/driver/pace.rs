//! Whether a shard is busy enough to wait for company.

use std::time::Duration;

use signaling_core::Timestamp;

/// How long commands are counted before it is said what that means.
const WINDOW: Duration = Duration::from_millis(4);
/// As many commands a millisecond make a shard busy. Below, the few that could be done together are not worth looking for.
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

    /// So many commands have come since the last call.
    pub(super) fn note(&mut self, now: Timestamp, commands: usize) {
        self.commands += commands as u64;
        let passed = now.since(self.since);
        if passed >= WINDOW {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.is_busy = self.commands / millis >= BUSY;
            (self.since, self.commands) = (now, 0);
        }
    }

    /// Whether the last commands came thick and fast.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes so many commands a millisecond, a call for each of them; whether that was busy, millisecond by millisecond.
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
