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
use crate::publication::{Publication, codec_in};
use crate::ring::StoredPacket;
use crate::subscription::Answer;
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
        self.select_pending(now);
        while let Some((key, layer)) = self.tracks.dirty.last().copied() {
            if !self.fan_out_layer(now, key, layer) {
                return;
            }
            self.tracks.dirty.pop();
            self.tracks.served = Served::default();
        }
        self.start_pending(now);
        self.pace_pending(now);
    }

    /// Fans out one layer of a publication; `false` if the slab is full before all subscribers are served.
    fn fan_out_layer(&mut self, now: Micros, key: PublicationKey, at: usize) -> bool {
        let Self { rooms, connections, tracks, egress, events, .. } = self;
        let Tracks { publications, subscriptions, served, starting, opening, switched, .. } = tracks;
        let Some(publication) = publications.get_mut(key) else { return true };
        let publisher = rooms.peer(publication.peer);
        let muted = publisher.is_some_and(|peer| peer.silences(publication.kind));
        let offsets = publication.offsets_from(at);
        let active = publication.subscriptions.get(..publication.active).unwrap_or_default();
        let Publication { layers, codecs, codec: newest_codec, id, .. } = publication;
        let Some(layer) = layers.get_mut(at) else { return true };
        let has_fresh_entry = layer.fresh_entry(now).is_some();
        let (mut has_switched, mut is_behind) = (false, false);
        while served.packets < layer.pending.len() {
            let positions = layer.pending.get(served.packets..).unwrap_or_default();
            let mut packets: [Option<(StoredPacket<'_>, Codec)>; CHUNK] = [None; CHUNK];
            for (place, position) in packets.iter_mut().zip(positions) {
                *place = layer
                    .ring
                    .packet(*position)
                    .and_then(|packet| Some((packet, codec_in(codecs, packet.info.payload_type)?)));
            }
            let has_entry = packets.iter().flatten().any(|(packet, _)| packet.info.starts_picture);
            for key in active.iter().skip(served.subscriptions) {
                if egress.len() >= SLAB_BYTES {
                    return false;
                }
                served.subscriptions += 1;
                let Some(subscription) = subscriptions.get_mut(*key) else { continue };
                if !subscription.concerns(at) {
                    continue;
                }
                if muted || !subscription.flow.is_open() {
                    subscription.leave();
                    subscription.waits_since = None;
                    continue;
                }
                let Some(transport) = connections.get_mut(subscription.transport) else { continue };
                let subscriber = transport.peer;
                let Some(mut outlet) = transport.outlet() else { continue };
                if subscription.layer != at {
                    if !has_entry {
                        if !subscription.enters_later() {
                            layer.keyframe.want();
                        }
                        continue;
                    }
                    if subscription.is_queued {
                        subscription.enter_later(layer);
                        is_behind = true;
                        continue;
                    }
                    let offset = offsets.get(subscription.layer).copied().flatten();
                    subscription.change_layer(offset);
                    has_switched = true;
                }
                let was_queued = subscription.is_queued;
                for (packet, codec) in packets.iter().flatten() {
                    if outlet.holds(now, subscription, &packet.info) {
                        subscription.is_queued = true;
                    } else {
                        forward(now, egress, &mut outlet, subscription, packet, *codec);
                    }
                }
                is_behind |= subscription.is_late(layer, newest_codec.clock_rate());
                if subscription.is_queued && !was_queued {
                    outlet.wait(*key);
                    opening.push(subscription.transport);
                }
                // A subscription that has not been negotiated yet cannot use a key frame.
                let waits = subscription.rewrite.waits(layer.generation) && subscription.takes(*newest_codec);
                if subscription.note_wait(now, waits)
                    && let (Some(subscriber), Some(publisher)) = (rooms.peer(subscriber), publisher)
                {
                    events.push_back(no_picture(&subscriber.room, publisher.id, id, subscriber.id));
                }
                if waits && has_fresh_entry {
                    starting.push(*key);
                } else if waits {
                    layer.keyframe.want();
                }
            }
            served.packets += CHUNK;
            served.subscriptions = 0;
        }
        if is_behind {
            layer.ring.keep_longer(now);
        }
        layer.pending.clear();
        layer.mirrored = 0;
        if has_switched {
            switched.push(key);
        }
        self.request_keyframe(now, key, at);
        true
    }

    /// Queues retransmissions, from the ring, of the packets that a subscriber reports missing; `true` if one of them is
    /// given up.
    pub(super) fn retransmit(
        &mut self,
        now: Micros,
        key: SubscriptionKey,
        sequences: impl Iterator<Item = u16>,
    ) -> bool {
        let Tracks { publications, subscriptions, .. } = &mut self.tracks;
        let Some(subscription) = subscriptions.get_mut(key) else { return false };
        let Some(publication) = subscription.publication.and_then(|key| publications.get_mut(key)) else {
            return false;
        };
        let Some(transport) = self.connections.get_mut(subscription.transport) else { return false };
        let rtt_micros = transport.rtt_micros();
        let Some(mut outlet) = transport.outlet() else { return false };
        if !subscription.flow.is_open() || !subscription.has_rtx() {
            return false;
        }
        let Publication { layers, codecs, .. } = publication;
        let Some(layer) = layers.get_mut(subscription.layer) else { return false };
        layer.ring.keep_longer(now);
        let mut is_given_up = false;
        for sequence in sequences {
            let Some(position) = subscription.rewrite.position_of(sequence) else { continue };
            let Some(packet) = layer.ring.packet(position) else {
                // If it is not overwritten, it is still missing here, too.
                is_given_up |= layer.ring.has_overwritten(position)
                    && layer.needs(position)
                    && subscription.gives_up(position);
                continue;
            };
            let Some(rewritten) = subscription.rewrite.at(&packet.info) else { continue };
            let Some(codec) = codec_in(codecs, packet.info.payload_type) else { continue };
            match subscription.answer_nack(now, rtt_micros, rewritten.index, packet.payload.len()) {
                Answer::Send => {}
                Answer::Ignore => continue,
                Answer::GiveUp => {
                    is_given_up = true;
                    continue;
                }
            }
            let is_reported = subscription.has_path_feedback();
            outlet.send(now, &mut self.egress, is_reported, |departure, sealer, buf| {
                subscription.write_rtx(&packet, codec, rewritten, departure, sealer, buf)
            });
        }
        is_given_up
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
    outlet.send(now, egress, subscription.has_path_feedback(), |departure, sealer, buf| {
        subscription.write(packet, codec, rewritten, departure, sealer, buf)
    });
}

/// The event that tells a subscriber that the publisher's video provides no picture to start with.
fn no_picture(room: &RoomId, publisher: PeerId, track: &Arc<str>, to: PeerId) -> (RoomId, MediaEvent) {
    let event = MediaEvent::Quality {
        peer: publisher,
        level: 0,
        track: Some(Arc::clone(track)),
        layer: None,
        reason: Some(QualityReason::Sender),
        to: Some(to),
    };
    (room.clone(), event)
}
