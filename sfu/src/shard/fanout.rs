//! Packets on their way from the rings to the subscribers.

use std::sync::Arc;
use std::time::Instant;

use signaling_core::MediaEvent;
use signaling_core::message::QualityReason;

use super::{PublicationKey, SubscriptionKey, Worker};
use crate::codec::Codec;
use crate::path::MAX_DATAGRAM;
use crate::ring::StoredPacket;

/// How far the fan-out of the publication at the end of the list is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// Packets that all subscribers have.
    packets: usize,
    /// Subscribers who have the next ones, too.
    subscriptions: usize,
}

/// The slab is sent when it holds so much: it stays in the processor's cache between sealing and sending, and the first
/// subscriber does not wait for the last.
pub(super) const SLAB_BYTES: usize = 256 * 1024;
/// Packets that are taken from a ring at a time, and so the longest run of one track.
const CHUNK: usize = 32;

impl Worker {
    /// Sends what came since the last call to everybody who receives it. Subscriber by subscriber, so that each one's
    /// packets stand side by side in the slab and its state is touched once.
    ///
    /// `false` when the slab is full before everybody was served: send what is in [`Worker::egress_mut`], clear it, and
    /// call again, before anything else.
    #[must_use = "when the slab is full there is more to send"]
    pub fn fan_out(&mut self, now: Instant) -> bool {
        let now_micros = self.micros(now);
        while let Some(key) = self.dirty.last().copied() {
            if !self.fan_out_one(now_micros, key) {
                return false;
            }
            self.dirty.pop();
            self.served = Served::default();
        }
        self.start_pending(now_micros)
    }

    /// The same for one publication.
    fn fan_out_one(&mut self, now_micros: u64, key: PublicationKey) -> bool {
        let Some(publication) = self.publications.get_mut(key) else { return true };
        let muted = self.peers.get(publication.peer).is_some_and(|peer| peer.silences(publication.kind));
        let fresh = publication.fresh_entry(now_micros);
        while self.served.packets < publication.pending.len() {
            let positions = publication.pending.get(self.served.packets..).unwrap_or_default();
            let mut packets: [Option<(StoredPacket<'_>, Codec)>; CHUNK] = [None; CHUNK];
            for (place, position) in packets.iter_mut().zip(positions) {
                *place = publication
                    .ring
                    .packet(*position)
                    .and_then(|packet| Some((packet, publication.codec_of(packet.info.payload_type)?)));
            }
            for key in publication.subscriptions.iter().skip(self.served.subscriptions) {
                if self.egress.len() >= SLAB_BYTES {
                    return false;
                }
                self.served.subscriptions += 1;
                let Some(subscription) = self.subscriptions.get_mut(*key) else { continue };
                if muted || !subscription.flow.is_open() {
                    subscription.rewrite.leave();
                    subscription.waits_since = None;
                    continue;
                }
                let Some(transport) = self.transports.get_mut(subscription.transport) else { continue };
                let (Some(destination), Some(keys)) = (transport.destination(), transport.keys.as_ref())
                else {
                    continue;
                };
                for (packet, codec) in packets.iter().flatten() {
                    let Some(rewritten) = subscription.admit(packet, *codec, now_micros) else { continue };
                    let departure = transport.sender.departure(now_micros);
                    let len = self.egress.push_with(destination, MAX_DATAGRAM, |buf| {
                        subscription.write(packet, *codec, rewritten, departure, &keys.sealer, buf)
                    });
                    if let Some(len) = len {
                        transport.sender.sent(now_micros, len);
                    }
                }
                // What has not been negotiated yet could not use one.
                let waits = subscription.rewrite.waits(publication.generation)
                    && subscription.takes(publication.codec);
                if subscription.note_wait(now_micros, waits)
                    && let (Some(peer), Some(publisher)) =
                        (self.peers.get(transport.peer), self.peers.get(publication.peer))
                {
                    let event = MediaEvent::Quality {
                        peer: publisher.id,
                        level: 0,
                        track: Some(Arc::clone(&publication.id)),
                        reason: Some(QualityReason::Sender),
                        to: Some(peer.id),
                    };
                    self.events.push_back((peer.room.clone(), event));
                }
                if waits {
                    if fresh.is_some() {
                        self.starting.push(*key);
                    } else {
                        publication.keyframe.want();
                    }
                }
            }
            self.served.packets += CHUNK;
            self.served.subscriptions = 0;
        }
        publication.pending.clear();
        publication.handed_on = 0;
        self.request_keyframe(now_micros, key);
        true
    }

    /// Sends the packets again that a subscriber misses, from the ring.
    pub(super) fn retransmit(
        &mut self,
        now_micros: u64,
        key: SubscriptionKey,
        sequences: impl Iterator<Item = u16>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let Some(publication) = subscription.publication.and_then(|key| self.publications.get(key)) else {
            return;
        };
        let Some(transport) = self.transports.get_mut(subscription.transport) else { return };
        let (Some(destination), Some(keys)) = (transport.destination(), transport.keys.as_ref()) else {
            return;
        };
        if !subscription.flow.is_open() || !subscription.has_rtx() {
            return;
        }
        for sequence in sequences {
            let Some(packet) = subscription
                .rewrite
                .position_of(sequence)
                .and_then(|position| publication.ring.packet(position))
            else {
                continue;
            };
            let Some(rewritten) = subscription.rewrite.at(&packet.info) else { continue };
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            let departure = transport.sender.departure(now_micros);
            let len = self.egress.push_with(destination, MAX_DATAGRAM, |buf| {
                subscription.write_rtx(&packet, codec, rewritten, departure, &keys.sealer, buf)
            });
            if let Some(len) = len {
                transport.sender.sent(now_micros, len);
            }
        }
    }
}
