//! The tracks of a shard: its publications and subscriptions.

use std::time::Duration;

use slotmap::SlotMap;

use crate::codec::MediaKind;
use crate::keys::{FastMap, PublicationKey, SubscriptionKey, TransportKey};
use crate::publication::{Audience, Origin, Publication, codec_in};
use crate::subscription::Subscription;
use crate::time::{Clock, Micros};

/// The tables of publications and subscriptions, and the queues of pending work on them.
#[derive(Default)]
pub(super) struct Tracks {
    pub(super) publications: SlotMap<PublicationKey, Publication>,
    pub(super) subscriptions: SlotMap<SubscriptionKey, Subscription>,
    /// Mirrors of tracks whose home is another shard, indexed by that shard and its key.
    mirrors: FastMap<(u16, PublicationKey), PublicationKey>,
    /// The layers with packets to fan out.
    pub(super) dirty: Vec<(PublicationKey, usize)>,
    /// Tracks whose subscribers' layers have to be chosen anew.
    pub(super) changed: Vec<PublicationKey>,
    /// Tracks of which a subscriber's layer has changed, or its target.
    pub(super) switched: Vec<PublicationKey>,
    pub(super) served: Served,
    /// Sections that have become able to send since the last fan-out.
    pub(super) starting: Vec<SubscriptionKey>,
    /// Connections whose pacer may let pictures leave.
    pub(super) opening: Vec<TransportKey>,
}

/// The progress of the fan-out of the layer at the end of `dirty`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// Packets that all subscribers have been sent.
    pub(super) packets: usize,
    /// Subscribers that have been sent the next chunk, too.
    pub(super) subscriptions: usize,
}

impl Tracks {
    pub(super) fn publication(&self, key: PublicationKey) -> Option<&Publication> {
        self.publications.get(key)
    }

    pub(super) fn publication_mut(&mut self, key: PublicationKey) -> Option<&mut Publication> {
        self.publications.get_mut(key)
    }

    pub(super) fn subscription(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.subscriptions.get(key)
    }

    pub(super) fn subscription_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(key)
    }

    /// The track that a section sends.
    pub(super) fn sent_in(&self, key: SubscriptionKey) -> Option<PublicationKey> {
        self.subscriptions.get(key)?.publication
    }

    /// The mirror of the track with this key of the shard `home`.
    pub(super) fn mirror(&self, home: u16, key: PublicationKey) -> Option<PublicationKey> {
        self.mirrors.get(&(home, key)).copied()
    }

    /// Adds a track.
    pub(super) fn publish(&mut self, publication: Publication) -> PublicationKey {
        let origin = publication.origin;
        let key = self.publications.insert(publication);
        if let Origin::Home { shard, key: there } = origin {
            self.mirrors.insert((shard, there), key);
        }
        key
    }

    /// Removes a track; the sections that sent it become free.
    pub(super) fn unpublish(&mut self, key: PublicationKey) -> Option<Publication> {
        let publication = self.publications.remove(key)?;
        if let Origin::Home { shard, key } = publication.origin {
            self.mirrors.remove(&(shard, key));
        }
        for subscription in &publication.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                subscription.attach(None);
            }
        }
        self.dirty.retain(|(other, _)| *other != key);
        self.served = Served::default();
        Some(publication)
    }

    /// Assigns the track to this section.
    pub(super) fn attach(&mut self, key: SubscriptionKey, publication_key: PublicationKey) {
        self.detach(key);
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        subscription.attach(Some(publication_key));
        if let Some(publication) = self.publications.get_mut(publication_key) {
            if let Some(least) = publication.ranked().first() {
                subscription.aim_at(*least);
            }
            publication.add(key);
            if publication.is_simulcast() {
                self.changed.push(publication_key);
            }
        }
        self.choose_for(key);
        self.start(key);
    }

    /// Removes the track from this section.
    pub(super) fn detach(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let publication = subscription.publication;
        subscription.attach(None);
        let Some(publication_key) = publication else { return };
        if let Some(publication) = self.publications.get_mut(publication_key) {
            publication.remove(key);
            if publication.is_simulcast() {
                self.changed.push(publication_key);
            }
        }
    }

    /// Removes a section.
    pub(super) fn unsubscribe(&mut self, key: SubscriptionKey) {
        self.detach(key);
        self.subscriptions.remove(key);
    }

    /// Determines whether a section's track is wanted, and its sound is not left out for that of louder ones.
    pub(super) fn choose_for(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let Some(publication) = subscription.publication.and_then(|key| self.publications.get_mut(key))
        else {
            return;
        };
        subscription.flow.chosen = subscription.is_pinned || publication.audience == Audience::All;
        let is_active = subscription.flow.wanted && subscription.flow.chosen;
        publication.set_active(key, is_active);
        if !is_active {
            subscription.leave();
            subscription.waits_since = None;
        }
    }

    /// Queues a section that can send from now on: its video starts with the next fan-out.
    pub(super) fn start(&mut self, key: SubscriptionKey) {
        if self.subscriptions.get(key).is_some_and(|subscription| subscription.kind == MediaKind::Video) {
            self.starting.push(key);
        }
    }

    /// The connections that receive a track.
    pub(super) fn receivers(&self, key: PublicationKey) -> Vec<TransportKey> {
        let subscriptions = self.publications.get(key).map(|track| track.subscriptions.as_slice());
        let transport = |key: &SubscriptionKey| Some(self.subscriptions.get(*key)?.transport);
        subscriptions.unwrap_or_default().iter().filter_map(transport).collect()
    }

    /// The bitrate of the track in this section, in bits per second.
    pub(super) fn rate_of(&mut self, now: Micros, section: SubscriptionKey) -> u64 {
        let Some(subscription) = self.subscriptions.get(section) else { return 0 };
        let Some(publication) = subscription.publication.and_then(|key| self.publications.get_mut(key))
        else {
            return 0;
        };
        publication.bits_per_second(now, subscription.target)
    }

    /// Whether this section sends packets.
    pub(super) fn is_open(&self, section: SubscriptionKey) -> bool {
        self.subscriptions.get(section).is_some_and(|subscription| subscription.flow.is_open())
    }

    /// Passes the ring, from a fresh key frame on, to a recorder that has just been attached;
    /// returns whether there was one.
    pub(super) fn start_tap(&mut self, now: Micros, clock: Clock, key: PublicationKey) -> bool {
        let Some(publication) = self.publications.get_mut(key) else { return false };
        if publication.kind == MediaKind::Audio {
            return true;
        }
        let Publication { layers, codecs, tap: Some(tap), .. } = publication else { return false };
        let at = tap.wanted();
        let Some(layer) = layers.get(at) else { return false };
        let Some(entry) = layer.fresh_entry(now) else { return false };
        let Some(newest) = layer.ring.newest().and_then(|at| layer.ring.packet(at)) else {
            return false;
        };
        let now = clock.instant(now);
        for packet in layer.ring.since(entry.position) {
            let Some(codec) = codec_in(codecs, packet.info.payload_type) else { continue };
            // Approximates the arrival time, by which the recorder aligns audio and video until the
            // publisher reports its clocks.
            let ticks = newest.info.timestamp.wrapping_sub(packet.info.timestamp);
            let age = Duration::from_secs(1) * ticks.min(codec.clock_rate()) / codec.clock_rate();
            tap.packet(now.checked_sub(age).unwrap_or(now), at, layer.current_clock(), codec, packet);
        }
        true
    }
}
