//! The system's clocks.

use std::time::{Duration, Instant};

use signaling_core::{Timestamp, Wall, WallClock};

/// The system's clocks: [`clock`], as the core uses it.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    /// The wall clock's time when the ticks began.
    started_at: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// Clocks whose ticks begin now.
    pub fn new() -> Self {
        Self { started_at: timestamp(clock::wall()), started: clock::now() }
    }

    /// The offset of the wall clock from a tick that was read just now.
    pub(crate) fn wall(&self, ticks: Timestamp) -> Wall {
        Wall::new(ticks, self.now(), self.settled())
    }

    /// The instant of the runtime's timers that corresponds to a tick.
    pub(crate) fn deadline(&self, at: Timestamp) -> tokio::time::Instant {
        tokio::time::Instant::from_std(clock::deadline(self.started + at.since(self.started_at)))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock for SystemClock {
    fn now(&self) -> Timestamp {
        timestamp(clock::wall())
    }

    fn settled(&self) -> Option<Timestamp> {
        clock::settled().map(timestamp)
    }

    fn ticks(&self) -> Timestamp {
        self.started_at + clock::now().saturating_duration_since(self.started)
    }
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::default() + since_epoch
}
