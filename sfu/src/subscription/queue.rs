//! The packets of a subscription that wait for its connection's pacer.
//!
//! They wait in the ring of their layer, where they are kept anyway: the queue is the part of the ring behind the newest
//! packet sent. Packets of this part stay there; one that fills a gap before it is late already, and leaves at once.
//! Each is therefore sent once, and in order.
//!
//! A queue is bounded by the time that its pictures cover. At [`LATE_MICROS`] it goes on at the newest key frame, if that is
//! in it; at [`TOO_LATE_MICROS`] it is given up. A change of layer drops what waits of the layer left, after the picture
//! that has been begun.

use super::Subscription;
use crate::codec::MediaKind;
use crate::layer::Layer;
use crate::publication::Publication;
use crate::ring::{PacketInfo, StoredPacket};

const LATE_MICROS: u64 = 250_000;
const TOO_LATE_MICROS: u64 = 1_000_000;

/// What to do with a queue next.
pub(crate) enum Queued<'a> {
    /// Send this packet.
    Packet(StoredPacket<'a>),
    /// Nothing waits any more.
    Empty,
    /// The queue is too long, or has lost its beginning: it is given up, and a key frame takes its place.
    Lost,
}

impl Subscription {
    /// Whether packets of this section wait for the pacer, rather than leave whatever it says.
    #[inline]
    pub(crate) fn is_paced(&self) -> bool {
        self.kind == MediaKind::Video && self.has_path_feedback()
    }

    /// Records a key frame of the target, to change to when the current picture has been sent.
    pub(crate) fn enter_later(&mut self, layer: &Layer) {
        if let Some(entry) = layer.entry.filter(|entry| entry.generation == layer.generation) {
            self.entry = Some(entry.position);
        }
    }

    /// Whether a key frame of the target waits in its ring.
    pub(crate) fn enters_later(&self) -> bool {
        self.entry.is_some()
    }

    /// Whether the packets that wait cover so much time that their ring has to keep them for longer.
    pub(crate) fn is_late(&self, layer: &Layer, clock_rate: u32) -> bool {
        let next = self.rewrite.next_position().filter(|_| self.is_queued);
        let first = next.and_then(|next| layer.ring.since(next).next());
        first.is_some_and(|first| layer.wait_of(&first.info, clock_rate) > LATE_MICROS)
    }

    /// The next packet that waits. All packets in the rings must have been fanned out. The second value tells whether the
    /// layer was changed.
    pub(crate) fn next_queued<'a>(&mut self, publication: &'a Publication) -> (Queued<'a>, bool) {
        let Some((layer, next)) = publication.layer(self.layer).zip(self.rewrite.next_position()) else {
            return (Queued::Empty, false);
        };
        self.note_length(layer, next, publication.codec.clock_rate());
        let Some(entry) = self.entry.filter(|_| layer.is_picture_end(next - 1)) else {
            return (self.waiting_in(layer, next, publication.codec.clock_rate()), false);
        };
        let is_change = self.layer != self.target;
        let offset = if is_change {
            publication.offsets_from(self.target).get(self.layer).copied().flatten()
        } else {
            Some(0)
        };
        self.change_layer(offset);
        let packet = publication.layer(self.layer).and_then(|layer| layer.ring.packet(entry));
        (packet.map_or(Queued::Lost, Queued::Packet), is_change)
    }

    /// Goes on at the newest key frame if the queue has become long.
    fn note_length(&mut self, layer: &Layer, next: u64, clock_rate: u32) {
        let newest =
            layer.entry.filter(|entry| entry.generation == layer.generation && entry.position > next);
        if self.entry.is_none()
            && self.target == self.layer
            && let Some(entry) = newest
            && layer
                .ring
                .since(next)
                .next()
                .is_some_and(|first| layer.wait_of(&first.info, clock_rate) > LATE_MICROS)
        {
            self.entry = Some(entry.position);
        }
    }

    fn waiting_in<'a>(&self, layer: &'a Layer, next: u64, clock_rate: u32) -> Queued<'a> {
        let first = layer.ring.since(next).find(|packet| self.rewrite.is_ahead(&packet.info));
        match first {
            _ if layer.ring.has_overwritten(next) => Queued::Lost,
            Some(first) if layer.wait_of(&first.info, clock_rate) > TOO_LATE_MICROS => Queued::Lost,
            Some(first) => Queued::Packet(first),
            None => Queued::Empty,
        }
    }
}

impl Layer {
    /// Whether a picture ends at this position. A packet that is not in the ring begins no picture that could be completed.
    fn is_picture_end(&self, position: u64) -> bool {
        self.ring.packet(position).is_none_or(|packet| packet.info.marker)
    }

    /// The time that the pictures from this packet on cover.
    fn wait_of(&self, first: &PacketInfo, clock_rate: u32) -> u64 {
        let newest = self.ring.newest().and_then(|newest| self.ring.packet(newest));
        let ticks = newest
            .filter(|newest| newest.info.generation == first.generation)
            .map_or(0, |newest| newest.info.timestamp.wrapping_sub(first.timestamp));
        // A negative difference is that of a picture sent out of order.
        if ticks > 1 << 31 { 0 } else { u64::from(ticks) * 1_000_000 / u64::from(clock_rate.max(1)) }
    }
}
