//! The sending half of a transport: transport-wide numbers and the history of what left when.

use crate::subscription::Departure;

/// Packets whose departure is remembered: at 500 packets/s two seconds. A power of two.
const HISTORY: usize = 1024;

/// What is kept of a packet that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) at_micros: u64,
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
}

impl Sender {
    /// What the next packet's header extensions say. Call [`Sender::sent`] once it is on its way.
    pub(crate) fn departure(&self, now_micros: u64) -> Departure {
        // 24 bits of 6.18 fixed point seconds.
        let abs_send_time =
            u32::try_from((u128::from(now_micros) << 18) / 1_000_000 & 0xff_ffff).unwrap_or(0);
        Departure { transport_sequence: self.next_sequence, abs_send_time }
    }

    /// Notes that the packet with the number last told has left.
    pub(crate) fn sent(&mut self, now_micros: u64, bytes: usize) {
        if self.history.is_empty() {
            self.history.resize(HISTORY, Departed::default());
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        if let Some(place) = self.history.get_mut(usize::from(sequence) % HISTORY) {
            *place = Departed {
                at_micros: now_micros,
                bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
                sequence,
                acknowledged: false,
            };
        }
    }

    /// Takes note of feedback about a packet and returns its departure, once.
    pub(crate) fn acknowledge(&mut self, sequence: u16) -> Option<Departed> {
        let place = self.history.get_mut(usize::from(sequence) % HISTORY)?;
        if place.sequence != sequence || place.acknowledged || place.bytes == 0 {
            return None;
        }
        place.acknowledged = true;
        Some(*place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_departures_once() {
        let mut sender = Sender::default();
        for at in 0..2_000 {
            assert_eq!(sender.departure(at).transport_sequence, at as u16);
            sender.sent(at, 100);
        }
        assert_eq!(sender.acknowledge(500), None, "overwritten");
        assert_eq!(sender.acknowledge(1_999).map(|departed| departed.at_micros), Some(1_999));
        assert_eq!(sender.acknowledge(1_999), None, "told twice");
        assert_eq!(sender.acknowledge(2_000), None, "never sent");
    }

    #[test]
    fn absolute_send_time_is_six_bits_of_seconds() {
        let sender = Sender::default();
        assert_eq!(sender.departure(1_000_000).abs_send_time, 1 << 18);
        assert_eq!(sender.departure(64_500_000).abs_send_time, 1 << 17);
    }
}
