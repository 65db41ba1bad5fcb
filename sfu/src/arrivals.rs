//! The arrival times of a publishing transport's packets, for transport-wide feedback.

use std::collections::VecDeque;

use crate::rtcp::{MAX_STATUSES, write_twcc};
use crate::time::Micros;
use crate::wire::Writer;

/// The time after the first unreported packet at which feedback is due.
const INTERVAL_MICROS: u64 = 50_000;
/// The number of entries at which feedback is due at once.
const MANY: usize = 200;

/// Arrival times by transport-wide sequence number.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// The extended sequence number of the first entry of `times`.
    base: u64,
    times: VecDeque<Option<i64>>,
    highest: Option<u64>,
    feedback_count: u8,
    oldest_unreported: Option<Micros>,
}

impl Arrivals {
    /// Records a packet.
    pub(crate) fn on_packet(&mut self, sequence: u16, now: Micros) {
        let number = match self.highest {
            // Starts above zero, so that packets overtaken by the first one have a number, too.
            None => 0x1_0000 + u64::from(sequence),
            Some(highest) => {
                let ahead = sequence.wrapping_sub((highest & 0xffff) as u16);
                if ahead < 0x8000 {
                    highest + u64::from(ahead)
                } else {
                    highest.saturating_sub(u64::from(ahead.wrapping_neg()))
                }
            }
        };
        if self.highest.is_none() {
            self.base = number;
        }
        self.highest = Some(self.highest.map_or(number, |highest| highest.max(number)));
        let Some(at) = number.checked_sub(self.base).and_then(|at| usize::try_from(at).ok()) else { return };
        if at >= usize::from(MAX_STATUSES) {
            // No report can span this jump, so the entries before it are dropped.
            self.times.clear();
            self.base = number;
            self.oldest_unreported = None;
            self.store(0, now);
        } else {
            self.store(at, now);
        }
    }

    fn store(&mut self, at: usize, now: Micros) {
        if self.times.len() <= at {
            self.times.resize(at + 1, None);
        }
        if let Some(time) = self.times.get_mut(at) {
            time.get_or_insert(i64::try_from(now.0).unwrap_or(i64::MAX));
            self.oldest_unreported.get_or_insert(now);
        }
    }

    /// The time at which feedback is due.
    pub(crate) fn due_at(&self) -> Option<Micros> {
        let oldest = self.oldest_unreported?;
        Some(if self.times.len() >= MANY { oldest } else { oldest + INTERVAL_MICROS })
    }

    /// Writes one feedback packet. Call it until [`Arrivals::due_at`] is `None` or in the future.
    pub(crate) fn write(&mut self, writer: &mut Writer<'_>, sender: u32, media: u32) {
        // 400 large deltas and their chunks fit well into one datagram.
        let take = self.times.len().min(400);
        let arrivals = self.times.make_contiguous();
        let reported = arrivals.get(..take).unwrap_or_default();
        let base = (self.base & 0xffff) as u16;
        let taken = write_twcc(writer, sender, media, base, self.feedback_count, reported);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        // Continues even if there are only losses, or if the first packet is too far from the rest.
        let passed = if taken == 0 { take } else { taken };
        self.times.drain(..passed);
        self.base += passed as u64;
        self.oldest_unreported =
            self.times.iter().flatten().next().and_then(|at| u64::try_from(*at).ok()).map(Micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Compound, Rtcp};

    fn feedback(arrivals: &mut Arrivals) -> Vec<(u16, bool)> {
        let mut buf = [0; 1400];
        let mut writer = Writer::new(&mut buf);
        arrivals.write(&mut writer, 1, 2);
        let len = writer.finish().unwrap();
        let Some(Rtcp::Twcc(feedback)) = Compound::new(&buf[..len]).next() else { panic!("no feedback") };
        feedback.arrivals().map(|arrival| (arrival.sequence, arrival.at_micros.is_some())).collect()
    }

    #[test]
    fn reports_each_number_once_over_the_wrap() {
        let mut arrivals = Arrivals::default();
        for (sequence, at) in [(65_534, 0), (65_535, 10), (1, 20), (0, 30), (3, 40)] {
            arrivals.on_packet(sequence, Micros(at));
        }
        assert_eq!(arrivals.due_at(), Some(Micros(50_000)));
        let reported = feedback(&mut arrivals);
        assert_eq!(reported, [(65_534, true), (65_535, true), (0, true), (1, true), (2, false), (3, true)]);
        assert_eq!(arrivals.due_at(), None);
        arrivals.on_packet(2, Micros(50_010));
        assert_eq!(arrivals.due_at(), None, "too late to be reported");
        arrivals.on_packet(5, Micros(60_000));
        assert_eq!(feedback(&mut arrivals), [(4, false), (5, true)]);
    }

    #[test]
    fn a_wild_jump_costs_no_memory() {
        let mut arrivals = Arrivals::default();
        let mut sequence = 0_u16;
        for at in 0..1_000 {
            arrivals.on_packet(sequence, Micros(at));
            sequence = sequence.wrapping_add(30_000);
            assert!(arrivals.times.len() <= usize::from(MAX_STATUSES));
        }
        assert_eq!(feedback(&mut arrivals).len(), 1);
    }
}
