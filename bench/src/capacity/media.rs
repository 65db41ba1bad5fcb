//! Broadcasts and conferences: media through the media server.

use std::time::Duration;

use super::sessions::Sessions;
use super::shape::{Figures, Shape};
use crate::sfu::load::Load;
use crate::sfu::shape::Member;

/// Until codecs and bandwidth estimates have settled.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// One in this many receivers decrypts the media, and measures its delay.
const PLAYS_EVERY: usize = 10;
/// How long the server may take to connect one client.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the rooms look like.
#[derive(Clone, Copy)]
pub(super) enum Rooms {
    /// One room with this many publishers, and as many viewers as the size says.
    Broadcast { publishers: usize },
    /// As many rooms as the size says, each of this many people who see one another.
    Conferences { people: usize },
}

/// Clients with media.
pub(super) struct Media<'a> {
    rooms: Rooms,
    size: usize,
    sessions: Sessions<'a>,
    load: Load,
}

impl<'a> Media<'a> {
    /// Nobody yet; publishers will send this many packets per picture.
    pub(super) fn new(rooms: Rooms, sessions: Sessions<'a>, picture_packets: u16) -> anyhow::Result<Self> {
        let plays_every = if matches!(rooms, Rooms::Broadcast { .. }) { PLAYS_EVERY } else { 1 };
        Ok(Self { rooms, size: 0, sessions, load: Load::empty(plays_every, picture_packets, PATIENCE)? })
    }
}

impl Shape for Media<'_> {
    fn people(&self, size: usize) -> usize {
        match self.rooms {
            Rooms::Broadcast { publishers } => publishers + size,
            Rooms::Conferences { people } => size * people,
        }
    }

    fn describe(&self, size: usize) -> String {
        match self.rooms {
            Rooms::Broadcast { publishers } => format!("{publishers} → {size}"),
            Rooms::Conferences { people } => format!("{size} × {people}"),
        }
    }

    fn joined(&self) -> usize {
        self.sessions.each.len()
    }

    fn grow(&mut self, size: usize) -> anyhow::Result<()> {
        let new = self.size..size;
        match self.rooms {
            Rooms::Broadcast { publishers } => {
                let publisher = Member { room: 0, publishes: true, watches: 0 };
                let publishers = if self.size == 0 { publishers } else { 0 };
                self.load.add((0..publishers).map(|_| publisher));
                self.load.add(new.map(|_| Member { room: 0, publishes: false, watches: 1 }));
            }
            Rooms::Conferences { people } => {
                let room =
                    |room| (0..people).map(move |_| Member { room, publishes: true, watches: people - 1 });
                self.load.add(new.flat_map(room));
            }
        }
        self.size = size;
        self.load.connect(&mut self.sessions)
    }

    fn run(
        &mut self,
        time: Duration,
        at_begin: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Figures> {
        let arrived = self.load.run(WARM_UP, time, at_begin)?;
        // Heartbeats that have arrived meanwhile.
        self.load.connect(&mut self.sessions)?;
        Ok(Figures {
            expected: arrived.expected,
            received: arrived.received,
            delays: arrived.latencies.into_iter().map(Duration::from_micros).collect(),
            bytes_received: arrived.bytes_received,
            bytes_sent: arrived.bytes_sent,
            late: lateness(&arrived.laps),
        })
    }

    fn end(&mut self) {
        self.sessions.leave();
    }
}

/// The length of laps in which a hundredth of the time was spent, or more. One long lap delays more packets than
/// thousands of short ones.
fn lateness(sorted_micros: &[u64]) -> Duration {
    let total: u64 = sorted_micros.iter().sum();
    let mut left = total / 100;
    let long = sorted_micros.iter().rev().find(|lap| {
        let is_it = **lap >= left;
        left = left.saturating_sub(**lap);
        is_it
    });
    Duration::from_micros(long.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_long_pause_is_late() {
        let mut laps = vec![10; 99_000];
        assert_eq!(lateness(&laps), Duration::from_micros(10));
        laps.push(250_000);
        assert_eq!(lateness(&laps), Duration::from_millis(250));
        assert_eq!(lateness(&[]), Duration::ZERO);
    }
}
