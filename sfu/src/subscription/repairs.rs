//! Bounds the retransmissions of one subscription.
//!
//! A NACK of 16 bytes can ask for 17 packets, so answering each would let a single client multiply its own bitrate a
//! hundredfold. A packet is therefore sent again at most [`MAX_TIMES`] times, at most once per round trip, and all
//! retransmissions together take a share of what the stream itself has sent. The share is earned by sending, so it
//! needs no clock and follows the stream's rate.
//!
//! A packet that is still missing after that is given up, and a key frame takes its place: it comes sooner than if the
//! client first had to lose its patience.

use crate::time::Micros;

/// Maximum number of retransmissions of one packet.
const MAX_TIMES: u8 = 3;
/// The minimum interval between two retransmissions of one packet, whatever the round-trip time is.
const MIN_INTERVAL_MILLIS: u64 = 20;
/// The number of packets whose retransmissions are remembered, a power of two.
const REMEMBERED: usize = 512;
/// The share of the sent bytes that may be sent again: enough for a loss of 20% on the way there and again.
const SHARE_DIVISOR: u32 = 2;
/// Maximum number of bytes saved up, and the number that a new stream may send at once: a key frame that was lost whole.
const MAX_CREDIT: u32 = 64 * 1024;

/// A packet that is lost for good stops the picture until a key frame comes. It may happen once in so many seconds.
const STOPS_EVERY_SECONDS: u64 = 5;
const USUAL_PACKET_BITS: u64 = 8 * 1_100;

/// The greatest bitrate of a picture that retransmissions can repair on a path that loses so many of a thousand packets.
pub(crate) fn repairable_bitrate(lost_per_mille: u32) -> u64 {
    let lost_for_good = u64::from(lost_per_mille.min(1_000)).pow(u32::from(MAX_TIMES) + 1);
    let of = 1_000_u64.pow(u32::from(MAX_TIMES) + 1);
    let packets_per_second = of.checked_div(lost_for_good * STOPS_EVERY_SECONDS);
    packets_per_second.map_or(u64::MAX, |packets| packets.saturating_mul(USUAL_PACKET_BITS))
}

/// The retransmissions of one stream.
pub(super) struct Repairs {
    /// The bytes that may be sent again.
    credit: u32,
    /// The packets sent again, each in the place of its index; empty until the first one.
    sent: Vec<Repair>,
}

/// What is done about a packet that the client asks for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Send,
    /// Not now, or never: it is on its way, forgotten, or more than the stream's share.
    Ignore,
    /// It was sent as often as is allowed, and is missing still. Said once of each packet.
    GiveUp,
}

/// The retransmissions of one packet.
#[derive(Clone, Copy, Default)]
struct Repair {
    /// The lower half of the packet's index.
    index: u32,
    /// The time of the last retransmission in milliseconds, modulo 2^32.
    at_millis: u32,
    times: u8,
}

impl Repairs {
    pub(super) fn new() -> Self {
        Self { credit: MAX_CREDIT, sent: Vec::new() }
    }

    /// Adds the share of a packet of the stream itself.
    #[inline]
    pub(super) fn earn(&mut self, bytes: u32) {
        self.credit = (self.credit + bytes / SHARE_DIVISOR).min(MAX_CREDIT);
    }

    /// Whether a packet of this size is sent again now; if so, records it.
    pub(super) fn answer(&mut self, now: Micros, rtt_micros: u64, index: u64, bytes: usize) -> Answer {
        let Some(credit) = u32::try_from(bytes).ok().and_then(|bytes| self.credit.checked_sub(bytes)) else {
            return Answer::Ignore;
        };
        if self.sent.is_empty() {
            self.sent.resize(REMEMBERED, Repair::default());
        }
        let index = (index & 0xffff_ffff) as u32;
        let at_millis = ((now.0 / 1_000) & 0xffff_ffff) as u32;
        let Some(place) = self.sent.get_mut(index as usize % REMEMBERED) else { return Answer::Ignore };
        let mut times = 0;
        if place.times > 0 {
            if place.index == index {
                // Rounded up, since both times are rounded down.
                let interval = (rtt_micros / 1_000).max(MIN_INTERVAL_MILLIS) + 1;
                let waited = u64::from(at_millis.wrapping_sub(place.at_millis));
                if place.times > MAX_TIMES || waited < interval {
                    return Answer::Ignore;
                }
                if place.times == MAX_TIMES {
                    place.times += 1;
                    return Answer::GiveUp;
                }
                times = place.times;
            } else if place.index.wrapping_sub(index) < 1 << 31 {
                // A newer packet has the place: what it replaced is no longer known.
                return Answer::Ignore;
            }
        }
        *place = Repair { index, at_millis, times: times + 1 };
        self.credit = credit;
        Answer::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times in milliseconds at which a packet is sent again that is asked for every millisecond.
    fn sent_at(rtt_millis: u64) -> Vec<u64> {
        let mut repairs = Repairs::new();
        (0..1_000)
            .filter(|at| {
                let answer = repairs.answer(Micros(at * 1_000 + 999), rtt_millis * 1_000, 1 << 40, 1_200);
                answer == Answer::Send
            })
            .collect()
    }

    #[test]
    fn a_packet_is_sent_again_three_times_a_round_trip_apart() {
        assert_eq!(sent_at(0), [0, 21, 42]);
        assert_eq!(sent_at(5), [0, 21, 42]);
        assert_eq!(sent_at(150), [0, 151, 302]);
    }

    #[test]
    fn a_packet_is_given_up_once_and_only_when_the_last_one_had_time_to_arrive() {
        use Answer::{GiveUp, Ignore, Send};
        let mut repairs = Repairs::new();
        let answers: Vec<_> = (0..8).map(|at| repairs.answer(Micros(at * 60_000), 100_000, 7, 10)).collect();
        assert_eq!(answers, [Send, Ignore, Send, Ignore, Send, Ignore, GiveUp, Ignore]);
    }

    #[test]
    fn what_is_no_longer_remembered_is_not_sent_again() {
        let mut repairs = Repairs::new();
        let size = REMEMBERED as u64;
        assert_eq!(repairs.answer(Micros(0), 0, 7, 10), Answer::Send);
        assert_eq!(repairs.answer(Micros(0), 0, 7 + size, 10), Answer::Send);
        assert_eq!(repairs.answer(Micros(10_000_000), 0, 7, 10), Answer::Ignore);
        assert_eq!(repairs.answer(Micros(10_000_000), 0, 7 + size, 10), Answer::Send);
    }

    #[test]
    fn a_path_that_loses_more_repairs_less() {
        let kilobits =
            [0, 1, 50, 100, 150, 200, 250, 300, 1_000].map(|lost| repairable_bitrate(lost) / 1_000);
        assert_eq!(
            kilobits,
            [u64::MAX / 1_000, 1_760_000_000_000, 281_600, 17_600, 3_476, 1_100, 448, 211, 0]
        );
    }

    #[test]
    fn the_share_is_earned_by_sending() {
        let mut repairs = Repairs::new();
        let flood = |repairs: &mut Repairs, from: u64| -> u32 {
            (from..from + 1_000)
                .map(|index| u32::from(repairs.answer(Micros(0), 0, index, 1_000) == Answer::Send))
                .sum()
        };
        assert_eq!(flood(&mut repairs, 0), MAX_CREDIT / 1_000);
        for _ in 0..40 {
            repairs.earn(1_000);
        }
        assert_eq!(flood(&mut repairs, 2_000), 20);
        assert_eq!(flood(&mut repairs, 4_000), 0);
    }
}
