//! Chooses the layer of each subscription, by what the subscriber asks for, what the publisher sends, and what the path
//! can carry. It is chosen anew when one of these changes, not per packet.

use std::sync::Arc;

use signaling_core::MediaEvent;
use signaling_core::message::{Attention, QualityReason};
use smallvec::SmallVec;

use super::Shard;
use super::message::Note;
use super::tracks::Tracks;
use crate::allocate::{Choice, Wish, allocate};
use crate::codec::MediaKind;
use crate::keys::{PublicationKey, SubscriptionKey, TransportKey};
use crate::layer::{LayerState, MAX_LAYERS};
use crate::publication::{Origin, Publication};
use crate::subscription::FULL_QUALITY;
use crate::time::Micros;

/// A layer whose bitrate is not known yet requires at least this multiple of the next lesser one's, and so much for a pixel
/// in a second.
const UNKNOWN_FACTOR: u64 = 3;
const UNKNOWN_PIXEL_MILLIBITS: u64 = 1_500;

/// A video section whose layer is chosen.
struct Candidate {
    section: SubscriptionKey,
    priority: i32,
    /// The layers that may be sent, from the least to the best, with what they are.
    layers: SmallVec<[usize; MAX_LAYERS]>,
    choices: SmallVec<[Choice; MAX_LAYERS]>,
    /// The number of layers that the subscriber would be sent on a path without limits.
    wanted: usize,
    current: Option<usize>,
}

impl Shard {
    /// Chooses anew for the subscribers of all tracks whose layers have changed.
    pub(super) fn select_pending(&mut self, now: Micros) {
        while !self.tracks.changed.is_empty() {
            let mut changed = std::mem::take(&mut self.tracks.changed);
            changed.sort_unstable();
            changed.dedup();
            // Each connection once: a newcomer to a large room changes the tracks of all.
            let mut receivers = Vec::new();
            for key in &changed {
                self.tell_annexes(*key);
                self.select_for_recorder(now, *key);
                receivers.extend(self.tracks.receivers(*key));
            }
            receivers.sort_unstable();
            receivers.dedup();
            for transport in receivers {
                self.select(now, transport);
            }
            for key in changed {
                self.update_mirrored(key);
                self.note_watched(now, key);
            }
        }
        while let Some(key) = self.tracks.switched.pop() {
            self.update_mirrored(key);
            self.note_watched(now, key);
        }
    }

    /// Detects which layers of a publisher have started, stopped or changed places.
    pub(super) fn note_layers(&mut self, now: Micros, key: TransportKey) {
        let Some(transport) = self.connections.get(key) else { return };
        for key in transport.receives().collect::<Vec<_>>() {
            let Some(publication) = self.tracks.publications.get_mut(key) else { continue };
            if !publication.is_simulcast() {
                continue;
            }
            self.note_watched(now, key);
            let Some(publication) = self.tracks.publications.get_mut(key) else { continue };
            let before = publication.ranked();
            for layer in &mut publication.layers {
                layer.refresh(now);
            }
            if publication.ranked() == before {
                self.tell_annexes(key);
            } else {
                self.tracks.changed.push(key);
            }
        }
    }

    /// Tells the shards that mirror a track what its layers are.
    fn tell_annexes(&mut self, key: PublicationKey) {
        let Some(publication) = self.tracks.publication(key).filter(|track| track.is_simulcast()) else {
            return;
        };
        let states: SmallVec<[LayerState; MAX_LAYERS]> =
            publication.layers.iter().map(|layer| layer.state).collect();
        for annex in publication.annexes.clone() {
            self.note(annex, Note::Layers(key, states.clone()));
        }
    }

    /// The recorder is given the best layer.
    fn select_for_recorder(&mut self, now: Micros, key: PublicationKey) {
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let Some(best) = publication.ranked().last().copied() else { return };
        if publication.tap.as_mut().is_some_and(|tap| tap.want(best)) {
            self.want_keyframe(now, key, best);
        }
    }

    /// Asks the home of a mirror for the layers that are sent or waited for here.
    fn update_mirrored(&mut self, key: PublicationKey) {
        let Some(publication) = self.tracks.publication(key).filter(|track| track.is_simulcast()) else {
            return;
        };
        let Origin::Home { shard, key: there } = publication.origin else { return };
        let sections = publication.subscriptions.iter().filter_map(|key| self.tracks.subscription(*key));
        let mut wanted = [false; MAX_LAYERS];
        for section in sections.filter(|section| section.flow.wanted) {
            for (at, wanted) in wanted.iter_mut().enumerate() {
                *wanted |= section.concerns(at);
            }
        }
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let known = std::mem::replace(&mut publication.mirrored, wanted);
        let changes = known.into_iter().zip(wanted).enumerate().filter(|(_, (was, is))| was != is);
        for (at, (_, wanted)) in changes {
            self.note(shard, Note::LayerWanted(there, at, wanted));
        }
    }

    /// Chooses the layers of all video sections of a connection; `true` if one of them is sent with less than before.
    pub(super) fn select(&mut self, now: Micros, key: TransportKey) -> bool {
        let candidates = self.competing(now, key);
        let bitrate = |it: &Candidate, at: Option<usize>| it.choices.get(at?).map(|choice| choice.bitrate);
        let sent = candidates.iter().filter_map(|it| bitrate(it, it.current)).sum();
        let least = candidates.iter().filter_map(|it| bitrate(it, Some(0))).sum();
        let budget = self.video_budget(now, key, sent, least);
        let wishes: Vec<_> = candidates
            .iter()
            .map(|it| Wish { priority: it.priority, choices: &it.choices, current: it.current })
            .collect();
        let chosen = allocate(budget, &wishes);
        let mut is_less = false;
        for (candidate, chosen) in candidates.iter().zip(chosen) {
            is_less |= chosen < candidate.current;
            self.apply(now, candidate, chosen);
        }
        is_less
    }

    /// The bitrate that the next better choice adds: the least one of all sections; `None` if everything is sent as wanted.
    pub(super) fn next_step(&mut self, now: Micros, key: TransportKey) -> Option<u64> {
        let candidates = self.competing(now, key);
        let steps = candidates.iter().filter_map(|candidate| {
            let bitrate = |at: usize| candidate.choices.get(at).map(|choice| choice.bitrate);
            match candidate.current {
                None => bitrate(0),
                Some(current) => Some(bitrate(current + 1)?.saturating_sub(bitrate(current)?)),
            }
        });
        steps.min()
    }

    /// The video sections that compete for a path.
    fn competing(&mut self, now: Micros, key: TransportKey) -> Vec<Candidate> {
        let Some(transport) = self.connections.get(key) else { return Vec::new() };
        let Some(peer) = self.rooms.peer(transport.peer) else { return Vec::new() };
        let sections = transport.sends();
        let repairable = transport.sender.repairable_bitrate(now);
        let mut candidates = Vec::new();
        for section in sections {
            let Some(subscription) = self.tracks.subscriptions.get(section) else { continue };
            if subscription.kind != MediaKind::Video || !subscription.flow.wanted {
                continue;
            }
            let Some(publication) =
                subscription.publication.and_then(|key| self.tracks.publications.get_mut(key))
            else {
                continue;
            };
            let attention = peer.attention.get(&publication.id).copied().unwrap_or_default();
            let mut layers = publication.layers_for(&attention);
            if !subscription.flow.negotiated {
                // Nothing is known of the path: the publisher need not start more for it.
                layers.truncate(1);
            }
            let wanted = layers.len();
            let mut choices = publication.choices(now, &layers);
            let sent = layers.iter().position(|at| *at == subscription.target);
            // A smaller picture that moves is better than a larger one that stops every few seconds. The layer that is sent may
            // have twice the bitrate, so that the choice does not change back and forth.
            let is_repairable = |at: usize, choice: &Choice| {
                at == 0 || choice.bitrate / (1 + u64::from(sent >= Some(at))) <= repairable
            };
            let most =
                choices.iter().enumerate().take_while(|(at, choice)| is_repairable(*at, choice)).count();
            choices.truncate(most);
            layers.truncate(most);
            let sent = sent.filter(|at| *at < most);
            // A better layer than the least counts once it is sent, since nothing has proved yet that it can be.
            let is_sent =
                |at: &usize| !subscription.flow.starved && (*at == 0 || subscription.rewrite.is_entered());
            candidates.push(Candidate {
                section,
                priority: attention.priority.unwrap_or(0),
                layers,
                choices,
                wanted,
                current: sent.filter(is_sent),
            });
        }
        // A track of which nothing flows keeps what it has.
        candidates.retain(|candidate| !candidate.layers.is_empty());
        candidates
    }

    /// The bitrate of the sound that a connection is sent.
    pub(super) fn sound_rate(&mut self, now: Micros, key: TransportKey) -> u64 {
        let sections = self.connections.sends(key);
        let is_sound = |section: &SubscriptionKey| {
            self.tracks
                .subscription(*section)
                .is_some_and(|it| it.kind == MediaKind::Audio && it.flow.is_open())
        };
        let sound: Vec<_> = sections.into_iter().filter(is_sound).collect();
        sound.into_iter().map(|section| self.tracks.rate_of(now, section)).sum()
    }

    /// Sends a section in the chosen layer, or pauses it.
    fn apply(&mut self, now: Micros, candidate: &Candidate, chosen: Option<usize>) {
        let section = candidate.section;
        let Tracks { subscriptions, switched, .. } = &mut self.tracks;
        let Some(subscription) = subscriptions.get_mut(section) else { return };
        let layer = chosen.and_then(|chosen| candidate.layers.get(chosen).copied());
        let was_starved = std::mem::replace(&mut subscription.flow.starved, layer.is_none());
        if was_starved != layer.is_none() || layer.is_some_and(|layer| subscription.target != layer) {
            switched.extend(subscription.publication);
        }
        let Some(layer) = layer else {
            self.tell_quality(section, 0, None);
            return;
        };
        let is_change = subscription.target != layer;
        subscription.aim_at(layer);
        if was_starved {
            subscription.leave();
            subscription.aim_at(layer);
        }
        let (publication, waits) = (subscription.publication, !subscription.rewrite.is_entered());
        let is_open = subscription.flow.is_open();
        if was_starved || is_change && waits {
            self.tracks.start(section);
        } else if let Some(publication) = publication.filter(|_| is_change && is_open) {
            self.want_keyframe(now, publication, layer);
        }
        let below = candidate.wanted.saturating_sub(chosen.map_or(0, |chosen| chosen + 1));
        let level = FULL_QUALITY.saturating_sub(u8::try_from(below).unwrap_or(FULL_QUALITY)).max(1);
        self.tell_quality(section, level, Some(layer));
    }

    /// Tells a subscriber the quality at which a section is sent, and why it is not better, if that has changed.
    fn tell_quality(&mut self, section: SubscriptionKey, level: u8, layer: Option<usize>) {
        let Some(subscription) = self.tracks.subscriptions.get_mut(section) else { return };
        let before = std::mem::replace(&mut subscription.told, (level, layer.unwrap_or(0)));
        if before.0 == level && (level == FULL_QUALITY || before == subscription.told) {
            return;
        }
        let publication = subscription.publication.and_then(|key| self.tracks.publications.get(key));
        let subscriber = self.connections.get(subscription.transport).map(|transport| transport.peer);
        let (Some(publication), Some(subscriber)) = (publication, subscriber) else { return };
        let Some(publisher) = self.rooms.peer(publication.peer).map(|peer| peer.id) else { return };
        let track = Some(Arc::clone(&publication.id));
        let layer = layer.and_then(|at| publication.layer(at)?.rid.clone());
        let reason = (level < FULL_QUALITY).then_some(QualityReason::OwnNetwork);
        let event = |to| MediaEvent::Quality { peer: publisher, level, track, layer, reason, to: Some(to) };
        self.tell(subscriber, event);
    }
}

impl Publication {
    /// The layers that may be sent to a subscriber with these wishes, from the least to the best: those that flow and are
    /// no larger than it asks for, or the least one.
    fn layers_for(&self, attention: &Attention) -> SmallVec<[usize; MAX_LAYERS]> {
        if !self.is_simulcast() {
            return SmallVec::from_slice(&[0]);
        }
        let mut layers = self.ranked();
        let exceeds = |side: u16, most: Option<u32>| most.is_some_and(|most| u32::from(side) > most);
        let is_larger = |at: usize| {
            let size = self.layer(at).and_then(|layer| layer.state.size);
            size.is_some_and(|(width, height)| {
                exceeds(width, attention.max_width) || exceeds(height, attention.max_height)
            })
        };
        while layers.len() > 1 && layers.last().is_some_and(|best| is_larger(*best)) {
            layers.pop();
        }
        layers
    }

    /// What these layers require and show; they are given from the least to the best.
    fn choices(&mut self, now: Micros, layers: &[usize]) -> SmallVec<[Choice; MAX_LAYERS]> {
        let mut lesser = 0;
        let choice = |at: &usize| {
            let measured = self.bits_per_second(now, *at);
            let state = self.layer(*at).map(|layer| layer.state).unwrap_or_default();
            let expected = (lesser * UNKNOWN_FACTOR).max(state.pixels() * UNKNOWN_PIXEL_MILLIBITS / 1_000);
            let bitrate = if state.is_known { measured } else { measured.max(expected) };
            lesser = bitrate;
            Choice { bitrate, pixels: state.pixels() }
        };
        layers.iter().map(choice).collect()
    }
}
