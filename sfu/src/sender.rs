//! The sending half of a transport: transport-wide sequence numbers and the history of sent packets.

use crate::congestion::{Congestion, Report, Train};
use crate::rtcp::Arrival;
use crate::time::Micros;

/// The number of packets whose time of sending is remembered: two seconds at 500 packets/s. A power of two.
const HISTORY: usize = 1024;

/// The values that are added to a packet when it is sent.
#[derive(Clone, Copy)]
pub(crate) struct Departure {
    /// The transport-wide sequence number.
    pub(crate) transport_sequence: u16,
    /// The 24-bit send time in units of 1/2^18 s.
    pub(crate) abs_send_time: u32,
}

/// The record of a sent packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) at: Micros,
    pub(crate) bytes: u16,
    sequence: u16,
    acknowledged: bool,
}

/// Numbers packets and remembers them until feedback arrives.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    next_sequence: u16,
    /// Empty until the first packet, so that an idle subscriber uses no memory.
    history: Vec<Departed>,
    congestion: Congestion,
    train: Option<Train>,
}

impl Sender {
    /// The header extension values of the next packet. Call [`Sender::sent`] after queueing it.
    pub(crate) fn departure(&self, now: Micros) -> Departure {
        // 24 bits of seconds in 6.18 fixed-point format.
        let abs_send_time = u32::try_from(((u128::from(now.0) << 18) / 1_000_000) & 0xff_ffff).unwrap_or(0);
        Departure { transport_sequence: self.next_sequence, abs_send_time }
    }

    /// Records that the packet with the next sequence number was sent.
    pub(crate) fn sent(&mut self, now: Micros, bytes: usize) {
        if self.history.is_empty() {
            self.history.resize(HISTORY, Departed::default());
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        if let Some(place) = self.history.get_mut(usize::from(sequence) % HISTORY) {
            *place = Departed {
                at: now,
                bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
                sequence,
                acknowledged: false,
            };
        }
    }

    /// Handles a feedback packet.
    pub(crate) fn on_feedback(&mut self, now: Micros, arrivals: impl Iterator<Item = Arrival>) -> PathNews {
        let Self { history, congestion, train, .. } = self;
        let mut measured = None;
        let reports = arrivals.filter_map(|arrival| {
            let departed = acknowledge(history, arrival.sequence)?;
            let report =
                Report { sent_at: departed.at, arrived_micros: arrival.at_micros, bytes: departed.bytes };
            if let Some(rate) = train.as_mut().and_then(|train| train.on_report(arrival.sequence, &report)) {
                measured = Some(rate);
            }
            Some(report)
        });
        let full_at = congestion.on_feedback(now, reports);
        if measured.is_some() {
            self.train = None;
        }
        PathNews { full_at, measured }
    }

    /// The next sequence number, to be read before sending a train.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.next_sequence
    }

    /// Marks the packets from this sequence number on as a train.
    pub(crate) fn train_left(&mut self, first: u16, now: Micros) {
        self.train = Some(Train::new(first, self.next_sequence.wrapping_sub(1), now));
    }

    /// Whether the feedback on a train is outstanding.
    pub(crate) fn awaits_train(&mut self, now: Micros) -> bool {
        self.train = self.train.filter(|train| !train.is_lost(now));
        self.train.is_some()
    }

    /// Marks a packet as acknowledged and returns its record, only once per packet.
    #[cfg(test)]
    fn acknowledge(&mut self, sequence: u16) -> Option<Departed> {
        acknowledge(&mut self.history, sequence)
    }
}

/// The conclusions from feedback about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathNews {
    /// Set if the path is full: the bitrate that would fit, in bits per second.
    pub(crate) full_at: Option<u64>,
    /// The bitrate that a train measured, in bits per second.
    pub(crate) measured: Option<u64>,
}

fn acknowledge(history: &mut [Departed], sequence: u16) -> Option<Departed> {
    let place = history.get_mut(usize::from(sequence) % HISTORY)?;
    if place.sequence != sequence || place.acknowledged || place.bytes == 0 {
        return None;
    }
    place.acknowledged = true;
    Some(*place)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "test code"
    )]

    use super::*;

    #[test]
    fn remembers_departures_once() {
        let mut sender = Sender::default();
        for at in 0..2_000 {
            assert_eq!(sender.departure(Micros(at)).transport_sequence, at as u16);
            sender.sent(Micros(at), 100);
        }
        assert_eq!(sender.acknowledge(500), None, "overwritten");
        assert_eq!(sender.acknowledge(1_999).map(|departed| departed.at), Some(Micros(1_999)));
        assert_eq!(sender.acknowledge(1_999), None, "told twice");
        assert_eq!(sender.acknowledge(2_000), None, "never sent");
    }

    #[test]
    fn absolute_send_time_is_six_bits_of_seconds() {
        let sender = Sender::default();
        assert_eq!(sender.departure(Micros(1_000_000)).abs_send_time, 1 << 18);
        assert_eq!(sender.departure(Micros(64_500_000)).abs_send_time, 1 << 17);
    }
}
