//! The loss of the path: what it loses anyway, as radio links do, and what it loses because it is full.

use std::collections::VecDeque;

use crate::time::Micros;

/// The least number of packets, and the least time, that a window of packets covers.
const WINDOW_PACKETS: u32 = 60;
const WINDOW_MICROS: u64 = 250_000;
/// A window with this many packets ends early if this share of them, in percent, is lost, and more than the usual loss
/// would bring about by chance: so many standard deviations of it.
const FEW_PACKETS: u32 = 16;
const MANY_LOST_PERCENT: u32 = 25;
const DEVIATIONS: u64 = 4;
/// The loss that is taken for usual until so many windows have shown it, of a thousand packets.
const UNKNOWN_PER_MILLE: u32 = 100;
const KNOWN_WINDOWS: usize = 4;
/// The windows whose average is the floor.
const FLOOR_WINDOWS: usize = 24;

/// The loss of one window of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Of a thousand packets.
    pub(crate) per_mille: u32,
    /// What the path loses anyway, of a thousand packets.
    pub(crate) floor: u32,
}

/// Counts what was sent and lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loss {
    sent: u32,
    lost: u32,
    began: Option<Micros>,
    /// The loss of the last windows in which there was no queue.
    idle: VecDeque<u32>,
}

impl Loss {
    /// Adds the report on a packet.
    pub(crate) fn on_report(&mut self, sent_at: Micros, lost: bool) {
        self.began.get_or_insert(sent_at);
        self.sent += 1;
        self.lost += u32::from(lost);
    }

    /// Ends the window if it is long enough. `queued` tells whether a queue stood meanwhile.
    pub(crate) fn window(&mut self, now: Micros, queued: bool) -> Option<Lost> {
        let floor = self.floor();
        let is_long = self.sent >= WINDOW_PACKETS && now >= self.began? + WINDOW_MICROS;
        let is_heavy = self.sent >= FEW_PACKETS
            && self.lost * 100 >= self.sent * MANY_LOST_PERCENT
            && self.is_beyond_chance(floor);
        if !is_long && !is_heavy {
            return None;
        }
        let per_mille = self.lost * 1_000 / self.sent;
        (self.sent, self.lost, self.began) = (0, 0, None);
        if !queued {
            if self.idle.len() >= FLOOR_WINDOWS {
                self.idle.pop_front();
            }
            self.idle.push_back(per_mille);
        }
        Some(Lost { per_mille, floor })
    }

    /// Whether a path that loses `floor` of a thousand packets, each by itself, would hardly ever lose so many.
    fn is_beyond_chance(&self, floor: u32) -> bool {
        let [sent, lost, floor] = [self.sent, self.lost, floor.min(1_000)].map(u64::from);
        let excess = (lost * 1_000).saturating_sub(sent * floor);
        excess.saturating_mul(excess) > DEVIATIONS * DEVIATIONS * sent * floor * (1_000 - floor)
    }

    /// What the path loses without a queue, of a thousand packets.
    pub(crate) fn floor(&self) -> u32 {
        let windows = u32::try_from(self.idle.len()).unwrap_or(1).max(1);
        let average = self.idle.iter().sum::<u32>() / windows;
        if self.idle.len() < KNOWN_WINDOWS { average.max(UNKNOWN_PER_MILLE) } else { average }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_is_lost_without_a_queue() {
        let mut loss = Loss::default();
        let mut windows = Vec::new();
        for at in 0..600_u32 {
            let now = Micros(u64::from(at) * 10_000);
            loss.on_report(now, at % 20 == 0 || at >= 480 && at % 4 == 0);
            windows.extend(loss.window(now, at >= 480));
        }
        assert_eq!(windows.first(), Some(&Lost { per_mille: 50, floor: 100 }));
        assert_eq!(windows.last(), Some(&Lost { per_mille: 250, floor: 50 }));
    }

    /// What a path that loses one packet of ten, each by itself, shows within half an hour of 250 packets a second.
    #[test]
    fn chance_is_not_taken_for_a_full_path() {
        let mut loss = Loss::default();
        let mut state = 1_u64;
        let mut heavy = 0;
        for at in 0..450_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            loss.on_report(Micros(at * 4_000), (state >> 33).is_multiple_of(10));
            let window = loss.window(Micros(at * 4_000), false);
            heavy += u32::from(window.is_some_and(|it| it.per_mille >= it.floor + 150));
        }
        assert!(heavy <= 60, "{heavy} of some 7,000 windows");
    }
}
