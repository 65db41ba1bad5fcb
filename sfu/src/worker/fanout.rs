//! Packets on their way from the rings to the subscribers.

use std::time::Instant;

use super::{SubscriptionKey, Worker};

impl Worker {
    /// Sends what came since the last call to everybody who receives it. Subscriber by subscriber, so that each one's
    /// packets stand side by side in the slab and its state is touched once.
    pub fn fan_out(&mut self, now: Instant) {
        let now_micros = self.micros(now);
        for key in self.dirty.drain(..) {
            let Some(publication) = self.publications.get_mut(key) else { continue };
            let muted = self.peers.get(publication.peer).is_some_and(|peer| peer.silences(publication.kind));
            for subscription in &publication.subscriptions {
                let Some(subscription) = self.subscriptions.get_mut(*subscription) else { continue };
                if muted || !subscription.flow.is_open() {
                    subscription.rewrite.leave();
                    continue;
                }
                let Some(transport) = self.transports.get_mut(subscription.transport) else { continue };
                let (Some(destination), Some(keys)) = (transport.destination(), transport.keys.as_ref())
                else {
                    continue;
                };
                for position in &publication.pending {
                    let Some(packet) = publication.ring.packet(*position) else { continue };
                    let Some(codec) = publication
                        .codecs
                        .iter()
                        .find(|written| written.payload_type == packet.info.payload_type)
                        .map(|written| written.codec)
                    else {
                        continue;
                    };
                    let Some(rewritten) = subscription.admit(&packet, codec, now_micros) else { continue };
                    let departure = transport.sender.departure(now_micros);
                    let len = self.egress.push(destination, |buf| {
                        subscription.write(&packet, codec, rewritten, departure, &keys.sealer, buf)
                    });
                    if let Some(len) = len {
                        transport.sender.sent(now_micros, len);
                    }
                }
                if subscription.rewrite.waits(publication.generation) {
                    publication.keyframe.want();
                }
            }
            publication.pending.clear();
            if let Some(due) = publication.keyframe.due_at() {
                let (transport, at) = (publication.transport, due.max(now_micros));
                if let Some(transport_state) = self.transports.get_mut(transport)
                    && at < transport_state.scheduled
                {
                    transport_state.scheduled = at;
                    self.timers.push(std::cmp::Reverse((at, transport)));
                }
            }
        }
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
            let len = self.egress.push(destination, |buf| {
                subscription.write_rtx(&packet, codec, rewritten, departure, &keys.sealer, buf)
            });
            if let Some(len) = len {
                transport.sender.sent(now_micros, len);
            }
        }
    }
}
