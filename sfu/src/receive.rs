//! The receiving half of a publisher's stream: positions, loss, jitter and retransmission requests.

use crate::rtcp::ReceptionReport;
use crate::time::Micros;

/// The longest gap for which retransmissions are requested; a longer one is an interruption.
const MAX_GAP: u64 = 256;
/// Maximum number of packets that are requested at the same time.
const MAX_MISSING: usize = 512;
/// A packet is given up after so many requests, or this long after the first one if there were some. A key frame helps
/// sooner then.
const MAX_TRIES: u8 = 16;
const MIN_TRIES: u8 = 3;
const GIVE_UP_MICROS: u64 = 1_000_000;
/// The time allowed for reordering in the network before a packet counts as missing.
const REORDER_MICROS: u64 = 5_000;
const INITIAL_RTT_MICROS: u64 = 100_000;
/// The minimum interval between requests; a shorter one would repeat a request whose response is on its way.
const MIN_REPEAT_MICROS: u64 = 20_000;
/// The number of packets after which their loss is judged.
const JUDGED_PACKETS: u64 = 100;
/// From this loss on, in percent, requests are repeated twice in a round trip, since many of them are lost as well. A sender
/// answers the second one only if it has missed the first.
const HEAVY_LOSS_PERCENT: u64 = 10;

/// The state of one incoming SSRC.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) ssrc: u32,
    clock_rate: u32,
    /// The offset from the stream's 48-bit SRTP index to positions of the publication.
    shift: u64,
    first: Option<u64>,
    highest: u64,
    received: u64,
    /// `expected` and `received` at the last report.
    reported: (u64, u64),
    /// The loss in the last report, of 256.
    fraction_lost: u8,
    jitter: Jitter,
    missing: Vec<Missing>,
    losses: Losses,
    rtt_micros: u64,
    /// The usual distance of the round-trip time from `rtt_micros`.
    rtt_deviation_micros: u64,
}

/// The share of packets that have to be requested.
#[derive(Debug, Default)]
struct Losses {
    /// The position from which it is counted.
    since: u64,
    requested: u64,
    is_heavy: bool,
}

#[derive(Debug, Default)]
struct Jitter {
    last_transit: Option<i64>,
    /// In units of the RTP clock, scaled by 16 (RFC 3550 appendix A.8).
    scaled: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    position: u64,
    next_at: Micros,
    first_at: Micros,
    last_at: Micros,
    tries: u8,
}

/// The consequence of a packet's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing is lost, or the lost packets are being requested.
    None,
    /// So many packets are missing that only a key frame helps.
    Interrupted,
}

impl Receiver {
    /// Creates the state of a stream whose positions are its SRTP index plus `base`, with the
    /// known round-trip time, if any.
    pub(crate) fn new(ssrc: u32, clock_rate: u32, base: u64, rtt_micros: Option<u64>) -> Self {
        Self {
            ssrc,
            clock_rate,
            shift: base,
            first: None,
            highest: 0,
            received: 0,
            reported: (0, 0),
            fraction_lost: 0,
            jitter: Jitter::default(),
            missing: Vec::new(),
            losses: Losses::default(),
            rtt_micros: rtt_micros.unwrap_or(INITIAL_RTT_MICROS),
            rtt_deviation_micros: 0,
        }
    }

    /// The position of the packet with this SRTP index.
    pub(crate) fn position_of_index(&self, index: u64) -> u64 {
        self.shift + index
    }

    /// The position of a retransmitted packet, from its 16-bit sequence number. `None` before the first packet.
    pub(crate) fn position_of_sequence(&self, sequence: u16) -> Option<u64> {
        self.first?;
        let behind = ((self.highest.wrapping_sub(self.shift) & 0xffff) as u16).wrapping_sub(sequence);
        if behind < 0x8000 {
            self.highest.checked_sub(u64::from(behind)).filter(|position| *position >= self.shift)
        } else {
            Some(self.highest + u64::from(behind.wrapping_neg()))
        }
    }

    /// Records a packet of the stream or a retransmission. With `wants_again`, the packets
    /// missing before it are requested.
    pub(crate) fn on_packet(
        &mut self,
        position: u64,
        timestamp: u32,
        now: Micros,
        retransmitted: bool,
        wants_again: bool,
    ) -> Gap {
        self.received += 1;
        if let Ok(at) = self.missing.binary_search_by_key(&position, |missing| missing.position) {
            let missing = self.missing.remove(at);
            if retransmitted && missing.tries == 1 {
                let sample = now - missing.last_at;
                self.rtt_deviation_micros =
                    (self.rtt_deviation_micros * 3 + sample.abs_diff(self.rtt_micros)) / 4;
                self.rtt_micros = (self.rtt_micros * 7 + sample) / 8;
            }
        }
        if !retransmitted {
            self.jitter.sample(timestamp, now, self.clock_rate);
        }
        if self.first.is_none() {
            self.first = Some(position);
            self.highest = position;
            self.losses.since = position;
            return Gap::None;
        }
        if position <= self.highest {
            return Gap::None;
        }
        let gap = self.highest + 1..position;
        self.highest = position;
        self.losses.judge(position);
        if !wants_again || gap.is_empty() {
            return Gap::None;
        }
        let lost = gap.end - gap.start;
        if lost > MAX_GAP || self.missing.len() + usize::try_from(lost).unwrap_or(MAX_MISSING) > MAX_MISSING {
            self.missing.clear();
            return Gap::Interrupted;
        }
        let next_at = now + REORDER_MICROS;
        self.missing.extend(gap.map(|position| Missing {
            position,
            next_at,
            first_at: Micros::default(),
            last_at: Micros::default(),
            tries: 0,
        }));
        Gap::None
    }

    /// The round-trip time from a request to the retransmission.
    pub(crate) fn rtt_micros(&self) -> u64 {
        self.rtt_micros
    }

    /// Whether this packet is being requested.
    pub(crate) fn misses(&self, position: u64) -> bool {
        self.missing.binary_search_by_key(&position, |missing| missing.position).is_ok()
    }

    /// The time of the next request; `None` if nothing is missing.
    pub(crate) fn next_request(&self) -> Option<Micros> {
        self.missing.iter().map(|missing| missing.next_at).min()
    }

    /// Appends the sequence numbers to request now to `out`, in ascending order. Returns the newest position that is given
    /// up now.
    pub(crate) fn requests(&mut self, now: Micros, out: &mut Vec<u16>) -> Option<u64> {
        let repeat = self.repeat_micros();
        let Self { missing, losses, shift, .. } = self;
        let mut given_up = None;
        missing.retain_mut(|missing| {
            if missing.next_at > now {
                return true;
            }
            if missing.is_given_up(now) {
                given_up = Some(missing.position);
                return false;
            }
            if missing.tries == 0 {
                missing.first_at = now;
                losses.requested += 1;
            }
            missing.tries += 1;
            missing.last_at = now;
            missing.next_at = now + repeat;
            out.push((missing.position.wrapping_sub(*shift) & 0xffff) as u16);
            true
        });
        given_up
    }

    /// The time after which a request is repeated.
    fn repeat_micros(&self) -> u64 {
        let answer = self.rtt_micros + (2 * self.rtt_deviation_micros).max(REORDER_MICROS);
        let repeat = if self.losses.is_heavy { answer / 2 } else { answer };
        repeat.max(MIN_REPEAT_MICROS)
    }

    /// The loss in the last report, of 256.
    pub(crate) fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }

    /// The report block on the packets received since the last report.
    pub(crate) fn report(&mut self, sender_report: Option<(u32, Micros)>, now: Micros) -> ReceptionReport {
        let expected = self.first.map_or(0, |first| self.highest - first + 1);
        let (expected_before, received_before) = self.reported;
        self.reported = (expected, self.received);
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(self.received.saturating_sub(received_before));
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255);
        self.fraction_lost = u8::try_from(fraction_lost).unwrap_or(u8::MAX);
        let (last_sender_report, delay_since_last) = sender_report.map_or((0, 0), |(middle, at)| {
            let delay = (now - at).saturating_mul(65_536) / 1_000_000;
            (middle, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: self.fraction_lost,
            lost: u32::try_from(expected.saturating_sub(self.received).min(0x7f_ffff)).unwrap_or(0),
            highest_sequence: (self.highest.wrapping_sub(self.shift) & 0xffff_ffff) as u32,
            jitter: u32::try_from(self.jitter.scaled >> 4).unwrap_or(u32::MAX),
            last_sender_report,
            delay_since_last,
        }
    }
}

impl Missing {
    fn is_given_up(&self, now: Micros) -> bool {
        let is_late = self.tries >= MIN_TRIES && now >= self.first_at + GIVE_UP_MICROS;
        is_late || self.tries >= MAX_TRIES
    }
}

impl Losses {
    /// Judges the loss if enough packets were sent up to this position.
    fn judge(&mut self, position: u64) {
        let sent = position.saturating_sub(self.since);
        if sent >= JUDGED_PACKETS {
            let is_heavy = self.requested * 100 >= sent * HEAVY_LOSS_PERCENT;
            *self = Self { since: position, requested: 0, is_heavy };
        }
    }
}

impl Jitter {
    fn sample(&mut self, timestamp: u32, now: Micros, clock_rate: u32) {
        let arrival = i64::try_from(u128::from(now.0) * u128::from(clock_rate) / 1_000_000).unwrap_or(0);
        let transit = arrival - i64::from(timestamp);
        if let Some(last) = self.last_transit {
            let distance = (transit - last).unsigned_abs();
            // A jump of the timestamp, such as a wrap-around or another source, is not jitter.
            if distance < u64::from(clock_rate) {
                self.scaled = self.scaled + distance - ((self.scaled + 8) >> 4);
            }
        }
        self.last_transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(receiver: &mut Receiver, now: u64) -> Vec<u16> {
        let mut out = Vec::new();
        receiver.requests(Micros(now), &mut out);
        out
    }

    #[test]
    fn asks_for_what_is_missing_until_it_comes() {
        let mut receiver = Receiver::new(1, 90_000, 1 << 20, None);
        let base = 1 << 20;
        receiver.on_packet(base + 65_534, 0, Micros(0), false, true);
        receiver.on_packet(base + 65_537, 0, Micros(0), false, true);
        assert!(requests(&mut receiver, 0).is_empty(), "reordering is waited for");
        assert_eq!(requests(&mut receiver, 5_000), [65_535, 0]);
        assert!(requests(&mut receiver, 50_000).is_empty());
        assert_eq!(receiver.position_of_sequence(65_535), Some(base + 65_535));
        receiver.on_packet(base + 65_535, 0, Micros(60_000), true, true);
        assert_eq!(requests(&mut receiver, 200_000), [0]);
        for round in 0..20 {
            requests(&mut receiver, 400_000 + round * 200_000);
        }
        assert_eq!(receiver.next_request(), None, "given up");
    }

    #[test]
    fn a_long_gap_is_an_interruption() {
        let mut receiver = Receiver::new(1, 90_000, 0, None);
        assert_eq!(receiver.on_packet(10, 0, Micros(0), false, true), Gap::None);
        assert_eq!(receiver.on_packet(400, 0, Micros(0), false, true), Gap::Interrupted);
        assert_eq!(receiver.next_request(), None);
    }

    #[test]
    fn reports_count_what_was_expected() {
        let mut receiver = Receiver::new(1, 90_000, 1 << 20, None);
        for position in (0..100).filter(|position| position % 4 != 3) {
            receiver.on_packet((1 << 20) + position, 0, Micros(position * 1000), false, false);
        }
        let report = receiver.report(Some((77, Micros(0))), Micros(1_000_000));
        assert_eq!((report.lost, report.fraction_lost, report.highest_sequence), (24, 62, 98));
        assert_eq!((report.last_sender_report, report.delay_since_last), (77, 65_536));
        assert_eq!(receiver.report(None, Micros(0)).fraction_lost, 0);
    }
}
