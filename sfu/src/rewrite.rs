//! Joins the streams of changing publishers, with pauses in between, into one continuous stream for a subscriber.

use crate::codec::{Codec, vp8};
use crate::ring::{PacketInfo, StoredPacket};
use crate::time::Micros;

/// Assigns the sequence numbers of a subscriber's stream.
///
/// A publisher's stream is entered at a packet at which a decoder can start. From there on, positions map to the
/// subscriber's sequence numbers by a constant offset. The next entry continues right after the last number used, so no
/// number is ever assigned to two packets, which keeps SRTP nonces unique.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// The next unused index; its lower 16 bits are the sequence number.
    next: u64,
    mapping: Option<Mapping>,
    /// The timestamp sent last and the time of sending, from which the timestamps continue after a change of source.
    last: Option<(u32, Micros)>,
    /// The newest picture id and TL0PICIDX sent.
    last_picture: Option<(u16, u8)>,
    /// The offset for the timestamps of the next stream, if it is another layer of the same track.
    next_shift: Option<u32>,
    /// When a stream was entered for the first time.
    first_entry: Micros,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    generation: u32,
    /// The position at which the publisher's stream was entered.
    entered_at: u64,
    /// The index assigned to that position.
    index: u64,
    timestamp_shift: u32,
    picture_shift: u16,
    tl0_shift: u8,
}

/// How to send one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The 48-bit index; its lower 16 bits are the sequence number.
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) picture_shift: u16,
    pub(crate) tl0_shift: u8,
}

impl Rewrite {
    /// Creates a stream. `first` should be random and is reduced to below 2^15, so that a loss at the beginning
    /// cannot look like a rollover.
    pub(crate) fn new(first: u16) -> Self {
        Self {
            next: u64::from(first & 0x7fff),
            mapping: None,
            last: None,
            last_picture: None,
            next_shift: None,
            first_entry: Micros::NEVER,
        }
    }

    /// Stops forwarding; the stream is entered again at the next packet at which a decoder can start.
    pub(crate) fn leave(&mut self) {
        self.mapping = None;
        self.next_shift = None;
    }

    /// Changes to another layer of the track, entered at its next packet at which a decoder can start. `offset` is what
    /// to add to its timestamps to get those of the layer left; `None` if that is unknown.
    pub(crate) fn change(&mut self, offset: Option<u32>) {
        let shift = self.timestamp_shift();
        self.leave();
        self.next_shift = offset.zip(shift).map(|(offset, shift)| offset.wrapping_add(shift));
    }

    /// Whether packets are forwarded.
    pub(crate) fn is_entered(&self) -> bool {
        self.mapping.is_some()
    }

    /// When packets were forwarded for the first time; [`Micros::NEVER`] if none was.
    pub(crate) fn first_entry(&self) -> Micros {
        self.first_entry
    }

    /// Whether a packet of this generation is forwarded only if a decoder can start at it.
    pub(crate) fn waits(&self, generation: u32) -> bool {
        self.mapping.is_none_or(|mapping| mapping.generation != generation)
    }

    /// Maps a packet of the publisher; `None` if it is not forwarded. `now` is monotonic.
    pub(crate) fn apply(
        &mut self,
        packet: &StoredPacket<'_>,
        codec: Codec,
        now: Micros,
    ) -> Option<Rewritten> {
        let info = packet.info;
        if self.waits(info.generation) {
            if !info.starts_picture {
                return None;
            }
            self.enter(packet, codec, now);
        }
        let rewritten = self.at(&info)?;
        self.next = self.next.max(rewritten.index + 1);
        self.last = Some((rewritten.timestamp, now));
        if codec == Codec::Vp8 {
            self.remember_picture(packet.payload, &rewritten);
        }
        Some(rewritten)
    }

    /// The mapping of a packet that was sent, for its retransmission; `None` if it precedes the entry or
    /// belongs to another stream.
    pub(crate) fn at(&self, info: &PacketInfo) -> Option<Rewritten> {
        let mapping = self.mapping.filter(|mapping| mapping.generation == info.generation)?;
        Some(Rewritten {
            index: mapping.index + info.position.checked_sub(mapping.entered_at)?,
            timestamp: info.timestamp.wrapping_add(mapping.timestamp_shift),
            picture_shift: mapping.picture_shift,
            tl0_shift: mapping.tl0_shift,
        })
    }

    /// The lowest position of the stream that has not been sent, nor passed over; `None` if nothing is forwarded.
    pub(crate) fn next_position(&self) -> Option<u64> {
        self.mapping.map(|mapping| mapping.entered_at + (self.next - mapping.index))
    }

    /// Whether a packet belongs to the stream that is forwarded, and comes after all that was sent.
    pub(crate) fn is_ahead(&self, info: &PacketInfo) -> bool {
        self.mapping.is_some_and(|mapping| {
            mapping.generation == info.generation
                && mapping.entered_at + (self.next - mapping.index) <= info.position
        })
    }

    /// The publisher's position of a recently sent sequence number.
    pub(crate) fn position_of(&self, sequence: u16) -> Option<u64> {
        let mapping = self.mapping?;
        let newest = self.next.checked_sub(1)?;
        let behind = u64::from((newest & 0xffff) as u16).wrapping_sub(u64::from(sequence)) & 0xffff;
        let index = newest.checked_sub(behind)?;
        Some(mapping.entered_at + index.checked_sub(mapping.index)?)
    }

    /// The offset from the publisher's timestamps to those sent.
    pub(crate) fn timestamp_shift(&self) -> Option<u32> {
        self.mapping.map(|mapping| mapping.timestamp_shift)
    }

    fn enter(&mut self, packet: &StoredPacket<'_>, codec: Codec, now: Micros) {
        let info = packet.info;
        self.first_entry = self.first_entry.min(now);
        let timestamp_shift = self.last.map_or(0, |(timestamp, at)| {
            let elapsed = (now - at) * u64::from(codec.clock_rate()) / 1_000_000;
            // At least one tick, because equal timestamps would merge two pictures into one.
            let elapsed = u32::try_from(elapsed.max(1)).unwrap_or(1);
            let known = self.next_shift.take().map(|shift| info.timestamp.wrapping_add(shift));
            let continued = match known.map(|known| known.wrapping_sub(timestamp)) {
                // Not before the pictures that were sent, and not long after them.
                Some(ahead) if (1..=elapsed.saturating_add(codec.clock_rate())).contains(&ahead) => ahead,
                Some(ahead) if ahead.wrapping_neg() <= codec.clock_rate() => 1,
                _ => elapsed,
            };
            timestamp.wrapping_add(continued).wrapping_sub(info.timestamp)
        });
        let (mut picture_shift, mut tl0_shift) = (0, 0);
        if let (Codec::Vp8, Some((picture, tl0)), Some(descriptor)) =
            (codec, self.last_picture, vp8::Descriptor::parse(packet.payload))
        {
            picture_shift =
                descriptor.picture_id.map_or(0, |id| picture.wrapping_add(1).wrapping_sub(id.value));
            tl0_shift = descriptor.tl0.map_or(0, |(_, value)| tl0.wrapping_add(1).wrapping_sub(value));
        }
        self.mapping = Some(Mapping {
            generation: info.generation,
            entered_at: info.position,
            index: self.next,
            timestamp_shift,
            picture_shift,
            tl0_shift,
        });
    }

    fn remember_picture(&mut self, payload: &[u8], rewritten: &Rewritten) {
        let Some(descriptor) = vp8::Descriptor::parse(payload) else { return };
        let (mut picture, mut tl0) = self.last_picture.unwrap_or_default();
        let is_first = self.last_picture.is_none();
        if let Some(id) = descriptor.picture_id {
            let sent = id.value.wrapping_add(rewritten.picture_shift) & 0x7fff;
            // Compared modulo 2^15, so that a late packet does not move it back.
            if is_first || sent.wrapping_sub(picture) & 0x7fff < 0x4000 {
                picture = sent;
            }
        }
        if let Some((_, value)) = descriptor.tl0 {
            let sent = value.wrapping_add(rewritten.tl0_shift);
            if is_first || sent.wrapping_sub(tl0) < 0x80 {
                tl0 = sent;
            }
        }
        self.last_picture = Some((picture, tl0));
    }
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

    fn packet(position: u64, timestamp: u32, starts_picture: bool, generation: u32) -> StoredPacket<'static> {
        let info =
            PacketInfo { position, timestamp, marker: false, payload_type: 96, starts_picture, generation };
        StoredPacket { info, extensions: &[], payload: &[] }
    }

    const VP9: Codec = Codec::Vp9 { profile: 0 };

    #[test]
    fn enters_at_a_key_frame_and_keeps_gaps() {
        let mut rewrite = Rewrite::new(500);
        assert_eq!(rewrite.apply(&packet(10, 0, false, 0), VP9, Micros(0)), None);
        assert_eq!(
            rewrite.apply(&packet(11, 3000, true, 0), VP9, Micros(0)).map(|r| (r.index, r.timestamp)),
            Some((500, 3000))
        );
        assert_eq!(
            rewrite.apply(&packet(14, 6000, false, 0), VP9, Micros(0)).map(|r| r.index),
            Some(503),
            "loss stays visible"
        );
        assert_eq!(
            rewrite.apply(&packet(12, 3000, false, 0), VP9, Micros(0)).map(|r| r.index),
            Some(501),
            "late"
        );
        assert_eq!(rewrite.apply(&packet(10, 0, false, 0), VP9, Micros(0)), None, "before the entry");
        assert_eq!(rewrite.position_of(503), Some(14));
        assert_eq!(rewrite.position_of(500), Some(11));
        assert_eq!(rewrite.position_of(499), None);
    }

    #[test]
    fn a_change_of_source_continues_numbers_and_time() {
        let mut rewrite = Rewrite::new(0x7fff);
        rewrite.apply(&packet(100, 90_000, true, 0), VP9, Micros(1_000_000)).unwrap();
        rewrite.apply(&packet(104, 93_000, false, 0), VP9, Micros(1_033_000)).unwrap();
        assert!(rewrite.waits(1));
        assert_eq!(rewrite.apply(&packet(70_000, 5, false, 1), VP9, Micros(1_500_000)), None);
        let entered = rewrite.apply(&packet(70_001, 5, true, 1), VP9, Micros(2_033_000)).unwrap();
        assert_eq!(entered.index, 0x7fff + 5);
        assert_eq!(entered.timestamp, 93_000 + 90_000, "one second at 90 kHz");
        assert_eq!(
            rewrite.apply(&packet(105, 96_000, false, 0), VP9, Micros(2_040_000)),
            None,
            "the old source is over"
        );
        assert_eq!(rewrite.position_of((0x7fff + 5) as u16), Some(70_001));
        assert_eq!(rewrite.position_of(0x7fff), None, "sent from the old source");
    }

    #[test]
    fn no_index_is_given_twice() {
        let mut rewrite = Rewrite::new(3);
        let mut used = std::collections::HashSet::new();
        let mut state = 11_u64;
        let (mut position, mut generation) = (1_000, 0);
        let mut sent = std::collections::HashSet::new();
        for step in 0..50_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match state >> 59 {
                0 => rewrite.leave(),
                1 => {
                    generation += 1;
                    position += 65_536;
                }
                _ => {}
            }
            position += state >> 40 & 3;
            let late = position - (state >> 30 & 7);
            // A publication stores each position once, so each is offered once.
            if !sent.insert((late, generation)) {
                continue;
            }
            if let Some(rewritten) = rewrite.apply(
                &packet(late, 0, (state >> 20).is_multiple_of(8), generation),
                VP9,
                Micros(step),
            ) {
                assert!(used.insert(rewritten.index), "{} at step {step}", rewritten.index);
            }
        }
        assert!(used.len() > 10_000);
    }

    #[test]
    fn vp8_picture_ids_continue() {
        let payload = |id: u16| {
            let [high, low] = (id | 0x8000).to_be_bytes();
            [0x90, 0xe0, high, low, 9, 0x20, 0x00]
        };
        let mut rewrite = Rewrite::new(0);
        let first = payload(0x7ffe);
        let mut stored = packet(1, 0, true, 0);
        stored.payload = &first;
        assert_eq!(rewrite.apply(&stored, Codec::Vp8, Micros(0)).unwrap().picture_shift, 0);
        let second = payload(0x7fff);
        let mut stored = packet(2, 3000, false, 0);
        stored.payload = &second;
        rewrite.apply(&stored, Codec::Vp8, Micros(33_000)).unwrap();
        let other = payload(77);
        let mut stored = packet(3, 0, true, 1);
        stored.payload = &other;
        let entered = rewrite.apply(&stored, Codec::Vp8, Micros(66_000)).unwrap();
        assert_eq!(77_u16.wrapping_add(entered.picture_shift) & 0x7fff, 0);
        assert_eq!(9_u8.wrapping_add(entered.tl0_shift), 10);
    }
}
