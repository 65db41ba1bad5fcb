//! Lets pictures leave that wait for the pacer of their connection, see [`Queued`].
//!
//! A connection serves its sections in turn. Sound, repairs and probes do not wait, but count: pictures leave with what they
//! leave over.

use super::Shard;
use super::fanout::{SLAB_BYTES, forward};
use super::tracks::Tracks;
use crate::keys::{SubscriptionKey, TransportKey};
use crate::subscription::Queued;
use crate::time::Micros;
use crate::transport::Transport;

/// The packets of a section that leave before the next section's.
const TURN: usize = 4;

impl Shard {
    /// Sets the pace of a connection by what is sent to it.
    pub(super) fn pace(&mut self, now: Micros, key: TransportKey) {
        let demand = self.demand(now, key);
        if let Some(transport) = self.connections.get_mut(key) {
            transport.sender.set_chosen(demand);
        }
    }

    /// Lets pictures leave until the slab is full. It runs when no packet is pending: everything in the rings has been
    /// fanned out, so no packet is sent twice.
    pub(super) fn pace_pending(&mut self, now: Micros) {
        while let Some(key) = self.tracks.opening.last().copied() {
            while self.connections.get_mut(key).is_some_and(|transport| transport.sender.is_open(now)) {
                if self.egress.len() >= SLAB_BYTES {
                    return;
                }
                let transport = self.connections.get_mut(key);
                let Some(section) = transport.and_then(|transport| transport.sender.next_waiting()) else {
                    break;
                };
                self.serve(now, section);
            }
            self.tracks.opening.pop();
            let transport = self.connections.get(key);
            if let Some(at) = transport.and_then(|transport| transport.sender.opens_at(now)) {
                self.connections.schedule(key, at);
            }
        }
    }

    /// Sends some packets of a section. If more wait, its next turn comes after those of the other sections.
    fn serve(&mut self, now: Micros, key: SubscriptionKey) {
        let Tracks { publications, subscriptions, switched, .. } = &mut self.tracks;
        let Some(subscription) = subscriptions.get_mut(key).filter(|section| section.is_queued) else {
            return;
        };
        let sent = subscription
            .publication
            .filter(|_| subscription.flow.is_open())
            .and_then(|key| Some((key, publications.get(key)?)));
        let outlet = self.connections.get_mut(subscription.transport).and_then(Transport::outlet);
        let (Some((publication_key, publication)), Some(mut outlet)) = (sent, outlet) else {
            subscription.leave();
            return;
        };
        for _ in 0..TURN {
            if !outlet.is_open(now) {
                break;
            }
            let (queued, is_switched) = subscription.next_queued(publication);
            if is_switched {
                switched.push(publication_key);
            }
            match queued {
                Queued::Packet(packet) => {
                    let codec = publication.codec_of(packet.info.payload_type);
                    let next = subscription.rewrite.next_position();
                    if let Some(codec) = codec {
                        forward(now, &mut self.egress, &mut outlet, subscription, &packet, codec);
                    }
                    if subscription.rewrite.next_position() == next {
                        // It is not for this subscriber, nor is what follows.
                        subscription.leave();
                        return;
                    }
                }
                Queued::Empty => {
                    subscription.is_queued = false;
                    return;
                }
                Queued::Lost => {
                    subscription.leave();
                    let layer = subscription.target;
                    subscription.aim_at(layer);
                    self.want_keyframe(now, publication_key, layer);
                    return;
                }
            }
        }
        outlet.wait(key);
    }
}
