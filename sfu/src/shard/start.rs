//! Starts video for a subscriber whose path opens, and the sound of a track that has been chosen.
//!
//! A key frame is requested as soon as a subscriber is going to need one, and is kept in the ring: a subscriber that
//! can receive within half a second of it is sent the ring from there on. For all others, a key frame is requested at
//! the moment when it can be used.

use super::Shard;
use super::fanout::{SLAB_BYTES, forward};
use super::message::Note;
use super::tracks::Tracks;
use crate::codec::MediaKind;
use crate::keys::{PublicationKey, SubscriptionKey, TransportKey};
use crate::publication::Origin;
use crate::ring::StoredPacket;
use crate::time::Micros;
use crate::transport::Transport;

impl Shard {
    /// Starts all sections of a transport.
    pub(super) fn start_all(&mut self, now: Micros, key: TransportKey) {
        for section in self.connections.sends(key) {
            self.tracks.start(section);
        }
        self.pace(now, key);
    }

    /// Requests a key frame for a subscriber that is about to receive this track, so that the ring
    /// has one when the path opens.
    pub(super) fn ask_early(&mut self, now: Micros, key: PublicationKey, layer: usize) {
        let entry = self.tracks.publication(key).and_then(|track| track.layer(layer)?.fresh_entry(now));
        if !entry.is_some_and(|entry| entry.serves_early(now)) {
            self.want_keyframe(now, key, layer);
        }
    }

    /// Queues the rings, from the newest key frame on, for the subscribers that can receive since the last
    /// call, until the slab is full. It runs when no packet is pending: everything in the ring has been fanned
    /// out, so no packet is sent twice.
    pub(super) fn start_pending(&mut self, now: Micros) {
        while self.egress.len() < SLAB_BYTES {
            let Some(key) = self.tracks.starting.pop() else { return };
            if self.tracks.subscription(key).is_some_and(|section| section.kind == MediaKind::Audio) {
                self.start_sound(now, key);
                continue;
            }
            if let Some((publication, layer)) = self.start_section(now, key) {
                self.want_keyframe(now, publication, layer);
            }
        }
    }

    /// Sends the sound of a track that has been chosen, from the beginning of the utterance.
    fn start_sound(&mut self, now: Micros, key: SubscriptionKey) {
        self.tracks.choose_for(key);
        let Tracks { publications, subscriptions, .. } = &mut self.tracks;
        let Some(subscription) = subscriptions.get_mut(key).filter(|section| section.flow.is_open()) else {
            return;
        };
        let Some(publication) = subscription.publication.and_then(|key| publications.get(key)) else {
            return;
        };
        let Some(layer) = publication.layer(0) else { return };
        let silenced = self.rooms.peer(publication.peer).is_none_or(|peer| peer.silences(publication.kind));
        let outlet = self.connections.get_mut(subscription.transport).and_then(Transport::outlet);
        let newest = layer.ring.newest().and_then(|at| layer.ring.packet(at));
        let (Some(mut outlet), Some(newest)) = (outlet, newest) else { return };
        if silenced || !subscription.rewrite.waits(layer.generation) {
            return;
        }
        let ticks = publication.lead_micros * u64::from(publication.codec.clock_rate()) / 1_000_000;
        let is_lead = |packet: &StoredPacket<'_>| {
            let age = newest.info.timestamp.wrapping_sub(packet.info.timestamp);
            packet.info.generation == layer.generation && u64::from(age) <= ticks
        };
        for packet in layer.ring.since(0).filter(is_lead) {
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            forward(now, &mut self.egress, &mut outlet, subscription, &packet, codec);
        }
    }

    /// Sends the ring to a section. Returns the track and its layer if a key frame has to be requested instead.
    fn start_section(&mut self, now: Micros, key: SubscriptionKey) -> Option<(PublicationKey, usize)> {
        let Tracks { publications, subscriptions, opening, .. } = &mut self.tracks;
        let subscription = subscriptions.get_mut(key)?;
        let publication_key = subscription.publication?;
        let publication = publications.get(publication_key)?;
        let wanted = (publication_key, subscription.layer);
        let layer = publication.layer(subscription.layer)?;
        let transport = subscription.transport;
        let mut outlet = self.connections.get_mut(transport)?.outlet()?;
        if !subscription.flow.is_open()
            || !subscription.takes(publication.codec)
            || !subscription.rewrite.waits(layer.generation)
        {
            return None;
        }
        let Some(entry) = layer.fresh_entry(now) else { return Some(wanted) };
        let packets = || layer.ring.since(entry.position);
        let bytes: usize = packets().map(|packet| packet.payload.len()).sum();
        // A new key frame is smaller than this.
        if bytes > SLAB_BYTES || packets().next().is_none_or(|first| first.info.position != entry.position) {
            return Some(wanted);
        }
        for packet in packets() {
            let Some(codec) = publication.codec_of(packet.info.payload_type) else { continue };
            if outlet.holds(now, subscription, &packet.info) {
                subscription.is_queued = true;
                outlet.wait(key);
                opening.push(transport);
                break;
            }
            forward(now, &mut self.egress, &mut outlet, subscription, &packet, codec);
        }
        None
    }

    pub(super) fn want_keyframe(&mut self, now: Micros, key: PublicationKey, at: usize) {
        let video = self.tracks.publication_mut(key).filter(|track| track.kind == MediaKind::Video);
        if let Some(layer) = video.and_then(|track| track.layer_mut(at)) {
            layer.keyframe.want();
            self.request_keyframe(now, key, at);
        }
    }

    /// Requests a key frame if one is due, from the publisher or from the home of the track.
    pub(super) fn request_keyframe(&mut self, now: Micros, key: PublicationKey, at: usize) {
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let origin = publication.origin;
        let Some(layer) = publication.layer_mut(at) else { return };
        let Some(due) = layer.keyframe_due() else { return };
        match origin {
            Origin::Transport(transport) => self.connections.schedule(transport, due.max(now)),
            Origin::Home { shard, key } if due <= now => {
                layer.keyframe.sent(now);
                self.note(shard, Note::KeyframeWanted(key, at));
            }
            // A request was sent a moment ago. The next packet that a waiting subscriber cannot
            // use triggers another one.
            Origin::Home { .. } => {}
        }
    }
}
