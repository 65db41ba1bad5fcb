//! The sending half of a transport: transport-wide numbers and the history of what left when.

use crate::congestion::{Congestion, Report, Train};
use crate::rtcp::Arrival;
use crate::subscription::Departure;
use crate::time::Micros;

/// Packets whose departure is remembered: at 500 packets/s two seconds. A power of two.
const HISTORY: usize = 1024;

/// What is kept of a packet that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) at: Micros,
    pub(crate) bytes: u16,
    sequence: u16,
    acknowledged: bool,
}

/// Numbers packets and remembers them until feedback comes.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    next_sequence: u16,
    /// Empty until the first packet, so that an idle subscriber costs nothing.
    history: Vec<Departed>,
    congestion: Congestion,
    train: Option<Train>,
}

impl Sender {
    /// What the next packet's header extensions say. Call [`Sender::sent`] once it is on its way.
    pub(crate) fn departure(&self, now: Micros) -> Departure {
        // 24 bits of 6.18 fixed point seconds.
        let abs_send_time = u32::try_from(((u128::from(now.0) << 18) / 1_000_000) & 0xff_ffff).unwrap_or(0);
        Departure { transport_sequence: self.next_sequence, abs_send_time }
    }

    /// Notes that the packet with the number last told has left.
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

    /// Takes a feedback packet.
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

    /// The next number, before a train of packets is sent.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.next_sequence
    }

    /// The packets from this number on were a train.
    pub(crate) fn train_left(&mut self, first: u16, now: Micros) {
        self.train = Some(Train::new(first, self.next_sequence.wrapping_sub(1), now));
    }

    /// Whether a train is under way.
    pub(crate) fn awaits_train(&mut self, now: Micros) -> bool {
        self.train = self.train.filter(|train| !train.is_lost(now));
        self.train.is_some()
    }

    /// Takes note of feedback about a packet and returns its departure, once.
    #[cfg(test)]
    fn acknowledge(&mut self, sequence: u16) -> Option<Departed> {
        acknowledge(&mut self.history, sequence)
    }
}

/// What feedback told about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathNews {
    /// The path is full, and so many bits per second would fit.
    pub(crate) full_at: Option<u64>,
    /// A train measured so many bits per second.
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
