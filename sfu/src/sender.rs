//! The sending half of a transport: transport-wide sequence numbers, the history of sent packets, what the path carries, and
//! how fast pictures may leave.

use std::collections::VecDeque;

use congestion::{Controller, Limits, Pacer, Report};

use crate::keys::SubscriptionKey;
use crate::rtcp::Arrival;
use crate::subscription::repairable_bitrate;
use crate::time::Micros;

/// Feedback older than this says nothing about the path any more.
const STALE_MICROS: u64 = 5_000_000;
/// The time after the first packet within which the first feedback is expected.
const FIRST_FEEDBACK_MICROS: u64 = 2_000_000;

/// The number of packets whose time of sending is remembered: two seconds at 500 packets/s. A power of two, as are all
/// later numbers: it is doubled up to [`MOST_REMEMBERED`] while a packet would be forgotten within [`REMEMBERED_MICROS`],
/// before the client can have reported it.
const REMEMBERED: usize = 1_024;
const MOST_REMEMBERED: usize = 8_192;
const REMEMBERED_MICROS: u64 = 1_000_000;

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

impl Departed {
    /// Whether this is a packet of which no feedback has arrived.
    fn is_awaited(&self) -> bool {
        self.bytes > 0 && !self.acknowledged
    }
}

/// Numbers packets and remembers them until feedback arrives.
#[derive(Debug)]
pub(crate) struct Sender {
    next_sequence: u16,
    /// Empty until the first packet, so that an idle subscriber uses no memory.
    history: Vec<Departed>,
    controller: Controller,
    first_sent_at: Option<Micros>,
    feedback_at: Option<Micros>,
    /// Whether the path was found full since [`Sender::settle`].
    is_full: bool,
    pacer: Pacer,
    /// The bitrate of what was chosen to be sent.
    chosen: u64,
    /// The sections with pictures that the pacer holds back, in the order in which they are served.
    waiting: VecDeque<SubscriptionKey>,
}

impl Default for Sender {
    fn default() -> Self {
        let mut controller = Controller::new(Limits::default());
        // Nothing is to be found out before more is wanted than is sent.
        controller.set_goal(0);
        Self {
            next_sequence: 0,
            history: Vec::new(),
            controller,
            first_sent_at: None,
            feedback_at: None,
            is_full: false,
            pacer: Pacer::new(Limits::default().initial),
            chosen: 0,
            waiting: VecDeque::new(),
        }
    }
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
            self.history.resize(REMEMBERED, Departed::default());
            self.first_sent_at = Some(now);
        }
        self.controller.on_sent(bytes);
        self.pacer.take(bytes);
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        // Of a client that gives no feedback, nothing needs to be remembered.
        let is_young = |earlier: &mut Departed| earlier.is_awaited() && now < earlier.at + REMEMBERED_MICROS;
        if self.feedback_at.is_some()
            && self.history.len() < MOST_REMEMBERED
            && place_of(&mut self.history, sequence).is_some_and(is_young)
        {
            self.remember_more();
        }
        if let Some(place) = place_of(&mut self.history, sequence) {
            *place = Departed {
                at: now,
                bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
                sequence,
                acknowledged: false,
            };
        }
    }

    /// Doubles the history.
    fn remember_more(&mut self) {
        let mut history = vec![Departed::default(); self.history.len() * 2];
        for departed in self.history.drain(..) {
            if let Some(place) = place_of(&mut history, departed.sequence) {
                *place = departed;
            }
        }
        self.history = history;
    }

    /// Handles a feedback packet.
    pub(crate) fn on_feedback(&mut self, now: Micros, arrivals: impl Iterator<Item = Arrival>) {
        let Self { history, controller, .. } = self;
        let reports = arrivals.filter_map(|arrival| {
            let departed = acknowledge(history, arrival.sequence)?;
            Some(Report { sent_at: departed.at, arrived_micros: arrival.at_micros, bytes: departed.bytes })
        });
        self.is_full |= controller.on_feedback(now, reports);
        self.feedback_at = Some(now);
        self.set_pace();
    }

    /// What is known about the path of a client that gives feedback; `None` if it has given none for long.
    pub(crate) fn controller(&mut self, now: Micros) -> Option<&mut Controller> {
        self.is_estimated(now).then_some(&mut self.controller)
    }

    /// The greatest bitrate of a picture that retransmissions can repair on this path.
    pub(crate) fn repairable_bitrate(&self, now: Micros) -> u64 {
        if self.is_estimated(now) {
            repairable_bitrate(self.controller.usual_loss_per_mille())
        } else {
            u64::MAX
        }
    }

    fn is_estimated(&self, now: Micros) -> bool {
        match (self.feedback_at, self.first_sent_at) {
            (Some(at), _) => now < at + STALE_MICROS,
            (None, Some(at)) => now < at + FIRST_FEEDBACK_MICROS,
            (None, None) => true,
        }
    }

    /// Sets the bitrate of what was chosen to be sent. The pace suffices for it: what is too much for the path is not the
    /// pacer's to judge.
    pub(crate) fn set_chosen(&mut self, bits_per_second: u64) {
        self.chosen = bits_per_second;
        self.set_pace();
    }

    fn set_pace(&mut self) {
        // On a path that has shown no limit, pictures begin as fast as on one that is known to carry them.
        let least = if self.controller.has_met_limit() { self.chosen / 2 } else { self.chosen };
        self.pacer.set_target(self.controller.target().max(least));
    }

    /// Whether a picture's packet may leave now. Without an estimate of the path, it always may.
    #[inline]
    pub(crate) fn is_open(&mut self, now: Micros) -> bool {
        self.pacer.is_open(now) || !self.is_estimated(now)
    }

    /// Whether the pictures of a section wait.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Puts a section behind all others that wait.
    pub(crate) fn wait(&mut self, section: SubscriptionKey) {
        if !self.waiting.contains(&section) {
            self.waiting.push_back(section);
        }
    }

    /// Takes the section to serve next.
    pub(crate) fn next_waiting(&mut self) -> Option<SubscriptionKey> {
        self.waiting.pop_front()
    }

    /// The time at which the next section is to be served.
    pub(crate) fn opens_at(&self, now: Micros) -> Option<Micros> {
        self.has_waiting().then(|| self.pacer.opens_at(now))
    }

    /// Whether the path was found full since the last call.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Clears [`Sender::is_full`], because what is sent has been chosen anew.
    pub(crate) fn settle(&mut self) {
        self.is_full = false;
    }

    /// Marks a packet as acknowledged and returns its record, only once per packet.
    #[cfg(test)]
    fn acknowledge(&mut self, sequence: u16) -> Option<Departed> {
        acknowledge(&mut self.history, sequence)
    }
}

fn acknowledge(history: &mut [Departed], sequence: u16) -> Option<Departed> {
    let place = place_of(history, sequence)?;
    if place.sequence != sequence || !place.is_awaited() {
        return None;
    }
    place.acknowledged = true;
    Some(*place)
}

/// The place of a packet in a history.
fn place_of(history: &mut [Departed], sequence: u16) -> Option<&mut Departed> {
    let at = usize::from(sequence).checked_rem(history.len())?;
    history.get_mut(at)
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
    fn a_fast_stream_is_remembered_until_its_feedback_can_come() {
        let mut sender = Sender::default();
        // 5,000 packets/s, reported after 400 ms.
        for number in 0..200_000_u32 {
            let now = Micros(u64::from(number) * 200);
            sender.sent(now, 1_200);
            if let Some(reported) = number.checked_sub(2_000) {
                let found = sender.acknowledge(reported as u16);
                // What was sent before the first feedback may be forgotten.
                assert!(found.is_some() || reported < 2_000, "{reported}");
                assert!(found.is_none_or(|departed| departed.at == Micros(u64::from(reported) * 200)));
                sender.feedback_at = Some(now);
            }
        }
        assert_eq!(sender.history.len(), 2_048);
    }

    #[test]
    fn without_feedback_no_more_is_remembered() {
        let mut sender = Sender::default();
        for number in 0..20_000 {
            sender.sent(Micros(number * 100), 1_200);
        }
        assert_eq!(sender.history.len(), REMEMBERED);
    }

    #[test]
    fn absolute_send_time_is_six_bits_of_seconds() {
        let sender = Sender::default();
        assert_eq!(sender.departure(Micros(1_000_000)).abs_send_time, 1 << 18);
        assert_eq!(sender.departure(Micros(64_500_000)).abs_send_time, 1 << 17);
    }
}
