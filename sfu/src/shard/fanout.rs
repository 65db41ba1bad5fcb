//! Forwards packets from the rings to the subscribers.

use std::sync::Arc;

use datagrams::Batch;
use signaling_core::message::QualityReason;
use signaling_core::{MediaEvent, PeerId, RoomId};

use super::Shard;
use super::tracks::{Served, Tracks};
use crate::codec::Codec;
use crate::keys::{PublicationKey, SubscriptionKey};
use crate::path::Path;
use crate::publication::Publication;
use crate::ring::StoredPacket;
use crate::subscription::Subscription;
use crate::time::Micros;
use crate::transport::Outlet;

/// The fill level at which the slab is sent: the slab then stays in the processor's cache between encryption and
/// sending, and the first subscriber does not wait for the last.
pub(super) const SLAB_BYTES: usize = 256 * 1024;
/// Packets taken from a ring at a time, which also bounds a run of consecutive packets of one track.
const CHUNK: usize = 32;

impl Shard {
    /// Queues the packets received since the last call for all of their subscribers, until the slab is
    /// full. The loop is ordered by subscriber, so that each subscriber's packets are adjacent in the slab
    /// and its state is loaded once.
    pub(super) fn fan_out(&mut self, now: Micros) {
        while let Some(key) = self.tracks.dirty.last().copied() {
            if !self.fan_out_track(now, key) {
                return;
            }
            self.tracks.dirty.pop();
            self.tracks.served = Served::default();
        }
        self.start_pending(now);
    }

    /// Fans out one publication; `false` if the slab is full before all subscribers are served.
    fn fan_out_track(&mut self, now: Micros, key: PublicationKey) -> bool {
        let Self { rooms, connections, tracks, egress, events, .. } = self;
        let Tracks { publications, subscriptions, served, starting, .. } = tracks;
        let Some(publication) = publications.get_mut(key) else { return true };
        let publisher = rooms.peer(publication.peer);
        let muted = publisher.is_some_and(|peer| peer.silences(publication.kind));
        let has_fresh_entry = publication.fresh_entry(now).is_some();
        while served.packets < publication.pending.len() {
            let positions = publication.pending.get(served.packets..).unwrap_or_default();
            let mut packets: [Option<(StoredPacket<'_>, Codec)>; CHUNK] = [None; CHUNK];
            for (place, position) in packets.iter_mut().zip(positions) {
                *place = publication
                    .ring
                    .packet(*position)
                    .and_then(|packet| Some((packet, publication.codec_of(packet.info.payload_type)?)));
            }
            for key in publication.subscriptions.iter().skip(served.subscriptions) {
                if egress.len() >= SLAB_BYTES {
                    return false;
                }
                served.subscriptions += 1;
                let Some(subscription) = subscriptions.get_mut(*key) else { continue };
                if muted || !subscription.flow.is_open() {
                    subscription.rewrite.leave();
                    subscription.waits_since = None;
                    continue;
                }
                let Some(transport) = connections.get_mut(subscription.transport) else { continue };
                let subscriber = transport.peer;
                let Some(mut outlet) = transport.outlet() else { continue };
                for (packet, codec) in packets.iter().flatten() {
                    forward(now, egress, &mut outlet, subscription, packet, *codec);
                }
                // A subscription that has not been negotiated yet cannot use a key frame.
                let waits = subscription.rewrite.waits(publication.generation)
                    && subscription.takes(publication.codec);
                if subscription.note_wait(now, waits)
                    && let (Some(subscriber), Some(publisher)) = (rooms.peer(subscriber), publisher)
                {
                    events.push_back(no_picture(&subscriber.room, publisher.id, publication, subscriber.id));
                }
                if waits && has_fresh_entry {
                    starting.push(*key);
                } else if waits {
                    publication.keyframe.want();
                }
            }
            served.packets += CHUNK;
            served.subscriptions = 0;
        }
        publication.pending.clear();
        publication.mirrored = 0;
        self.request_keyframe(now, key);
        true
    }

    /// Queues retransmissions, from the ring, of the packets that a subscriber reports missing.
    pub(super) fn retransmit(
        &mut self,
        now: Micros,
        key: SubscriptionKey,
        sequences: impl Iterator<Item = u16>,
    ) {
        let Tracks { publications, subscriptions, .. } = &mut self.tracks;
        let Some(subscription) = subscriptions.get_mut(key) else { return };
        let Some(publication) = subscription.publication.and_then(|key| publications.get(key)) else {
            return;
        };
        let Some(transport) = self.connections.get_mut(subscription.transport) else { return };
        let rtt_micros = transport.rtt_micros();
        let Some(mut outlet) = transport.outlet() else { return };
        if !subscription.flow.is_open() || !subscription.has_rtx() {
            return;
        }
        for sequence in sequences {
            let position = subscription.rewrite.position_of(sequence);
            let Some(packet) = position.and_then(|position| publication.ring.packet(position)) else {
                continue;
            };
            let Some(rewritten) = subscription.rewrite.at(&packet.info) else { continue };
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            if !subscription.admit_again(now, rtt_micros, rewritten.index, packet.payload.len()) {
                continue;
            }
            outlet.send(now, &mut self.egress, |departure, sealer, buf| {
                subscription.write_rtx(&packet, codec, rewritten, departure, sealer, buf)
            });
        }
    }
}

/// Queues a packet for a subscriber if its subscription admits the packet.
pub(super) fn forward(
    now: Micros,
    egress: &mut Batch<Path>,
    outlet: &mut Outlet<'_>,
    subscription: &mut Subscription,
    packet: &StoredPacket<'_>,
    codec: Codec,
) {
    let Some(rewritten) = subscription.admit(packet, codec, now) else { return };
    outlet.send(now, egress, |departure, sealer, buf| {
        subscription.write(packet, codec, rewritten, departure, sealer, buf)
    });
}

/// The event that tells a subscriber that the publisher's video provides no picture to start with.
fn no_picture(
    room: &RoomId,
    publisher: PeerId,
    publication: &Publication,
    to: PeerId,
) -> (RoomId, MediaEvent) {
    let event = MediaEvent::Quality {
        peer: publisher,
        level: 0,
        track: Some(Arc::clone(&publication.id)),
        reason: Some(QualityReason::Sender),
        to: Some(to),
    };
    (room.clone(), event)
}
