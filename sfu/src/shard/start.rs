//! How a picture begins: for a subscriber whose path opens, and for a recorder.
//!
//! A key frame is asked for as soon as somebody will need one, and what comes is kept: whoever can receive up to half a second after
//! it is sent the ring from there on. Everybody else has one asked for at that moment, when it can be used.

use std::time::Duration;

use super::fanout::SLAB_BYTES;
use super::{PublicationKey, SubscriptionKey, TransportKey, Worker};
use crate::codec::MediaKind;
use crate::path::MAX_DATAGRAM;
use crate::publication::Publication;
use crate::ring::StoredPacket;
use crate::tap::{TapEvent, TapPacket};

impl Worker {
    /// This section can send from now on: its picture begins with the next [`Worker::fan_out`].
    pub(super) fn start(&mut self, key: SubscriptionKey) {
        if self.subscriptions.get(key).is_some_and(|subscription| subscription.kind == MediaKind::Video) {
            self.starting.push(key);
        }
    }

    /// The same for all sections of a transport.
    pub(super) fn start_all(&mut self, key: TransportKey) {
        for section in self.sections_to_send(key) {
            self.start(section);
        }
    }

    /// Somebody is about to receive this track: a key frame that comes before the path is open lies in the ring then.
    pub(super) fn ask_early(&mut self, now_micros: u64, key: PublicationKey) {
        let entry = self.publications.get(key).and_then(|publication| publication.fresh_entry(now_micros));
        if !entry.is_some_and(|entry| entry.serves_early(now_micros)) {
            self.want_keyframe(now_micros, key);
        }
    }

    /// Sends those who can receive since the last call what lies in the rings from the newest key frame on. Nothing is pending:
    /// each packet of the ring has been fanned out, so that none is sent twice.
    ///
    /// `false` when the slab is full before everybody was served.
    pub(super) fn start_pending(&mut self, now_micros: u64) -> bool {
        while let Some(key) = self.starting.last().copied() {
            if self.egress.len() >= SLAB_BYTES {
                return false;
            }
            self.starting.pop();
            if let Some(publication) = self.start_one(now_micros, key) {
                self.want_keyframe(now_micros, publication);
            }
        }
        true
    }

    /// The answer is the track of which a key frame has to be asked for.
    fn start_one(&mut self, now_micros: u64, key: SubscriptionKey) -> Option<PublicationKey> {
        let subscription = self.subscriptions.get_mut(key)?;
        let publication_key = subscription.publication?;
        let publication = self.publications.get(publication_key)?;
        let transport = self.transports.get_mut(subscription.transport)?;
        let (Some(destination), Some(keys)) = (transport.destination(), transport.keys.as_ref()) else {
            return None;
        };
        if !subscription.flow.is_open()
            || !subscription.takes(publication.codec)
            || !subscription.rewrite.waits(publication.generation)
        {
            return None;
        }
        let Some(entry) = publication.fresh_entry(now_micros) else { return Some(publication_key) };
        let packets = || publication.since(entry.position);
        let bytes: usize = packets().map(|packet| packet.payload.len()).sum();
        // A new key frame is less than so much.
        if bytes > SLAB_BYTES || packets().next().is_none_or(|first| first.info.position != entry.position) {
            return Some(publication_key);
        }
        for packet in packets() {
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            let Some(rewritten) = subscription.admit(&packet, codec, now_micros) else { continue };
            let departure = transport.sender.departure(now_micros);
            let len = self.egress.push_with(destination, MAX_DATAGRAM, |buf| {
                subscription.write(&packet, codec, rewritten, departure, &keys.sealer, buf)
            });
            if let Some(len) = len {
                transport.sender.sent(now_micros, len);
            }
        }
        None
    }

    /// Gives a recorder that has just come what lies in the ring from a fresh key frame on; whether there was one.
    pub(super) fn start_tap(&self, now_micros: u64, key: PublicationKey) -> bool {
        let Some(publication) = self.publications.get(key) else { return false };
        if publication.kind == MediaKind::Audio {
            return true;
        }
        let (Some(tap), Some(entry)) = (&publication.tap, publication.fresh_entry(now_micros)) else {
            return false;
        };
        let Some(newest) = publication.ring.newest().and_then(|at| publication.ring.packet(at)) else {
            return false;
        };
        for packet in publication.since(entry.position) {
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            // About when it arrived: the recorder aligns sound and picture by that until the publisher reports its clocks.
            let ticks = newest.info.timestamp.wrapping_sub(packet.info.timestamp);
            let age = Duration::from_secs(1) * ticks.min(codec.clock_rate()) / codec.clock_rate();
            let now = self.epoch + Duration::from_micros(now_micros);
            let at = now.checked_sub(age).unwrap_or(now);
            let packet = TapPacket::new(at, codec, packet);
            tap.take(TapEvent::Packet(&publication.id, packet));
        }
        true
    }
}

impl Publication {
    /// What the ring holds from this position on, in order.
    pub(crate) fn since(&self, position: u64) -> impl Iterator<Item = StoredPacket<'_>> {
        let end = self.ring.newest().map_or(position, |newest| newest + 1);
        (position..end).filter_map(|position| self.ring.packet(position))
    }
}
