//! Sections that send: whose track stands in which.

use std::sync::Arc;

use signaling_core::HttpSession;
use signaling_core::message::Attention;

use super::{PeerKey, PublicationKey, SubscriptionKey, TransportKey, Worker};
use crate::transport::Section;

impl Worker {
    /// Gives a WHEP client's waiting sections the tracks of the publisher that it watches.
    pub(super) fn fill_player(&mut self, now_micros: u64, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let (Some(HttpSession::Play { publisher }), Some(transport)) = (peer.http, peer.subscribe) else {
            return;
        };
        let Some(room) = self.rooms.get(&peer.room) else { return };
        let waiting: Vec<_> = self.sections_to_send(transport);
        let watched = waiting.iter().find_map(|subscription| {
            let publication = self.subscriptions.get(*subscription)?.publication?;
            Some(self.publications.get(publication)?.peer)
        });
        let publishes =
            |peer: &PeerKey| self.peers.get(*peer).is_some_and(|peer| !peer.publications.is_empty());
        let chosen = match publisher {
            Some(id) => room.peers.get(&id).copied(),
            // Whoever is being watched stays; only a newcomer chooses the first.
            None => {
                watched.or_else(|| room.order.iter().copied().find(|peer| *peer != key && publishes(peer)))
            }
        };
        let Some(tracks) = chosen.and_then(|peer| self.peers.get(peer)).map(|peer| peer.publications.clone())
        else {
            return;
        };
        for subscription in waiting {
            let Some(state) = self.subscriptions.get(subscription) else { continue };
            if state.publication.is_some() {
                continue;
            }
            let taken = |track: &PublicationKey| {
                self.publications.get(*track).is_some_and(|p| {
                    p.subscriptions.iter().any(|other| {
                        self.subscriptions.get(*other).is_some_and(|other| other.transport == state.transport)
                    })
                })
            };
            let fitting = tracks.iter().copied().find(|track| {
                self.publications.get(*track).is_some_and(|p| p.kind == state.kind) && !taken(track)
            });
            if let Some(publication) = fitting {
                self.attach(now_micros, subscription, publication);
            }
        }
    }

    pub(super) fn sections_to_send(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let sections =
            self.transports.get(key).map(|transport| transport.sections.as_slice()).unwrap_or_default();
        sections
            .iter()
            .filter_map(|section| match section {
                Section::Send { subscription, .. } => Some(*subscription),
                _ => None,
            })
            .collect()
    }

    /// Sends this track in this section from now on.
    pub(super) fn attach(&mut self, now_micros: u64, key: SubscriptionKey, publication: PublicationKey) {
        self.detach(key, false);
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        subscription.attach(Some(publication));
        if let Some(publication) = self.publications.get_mut(publication) {
            publication.subscriptions.push(key);
        }
        self.ask_early(now_micros, publication);
        self.start(key);
    }

    /// Sends nothing in this section any more, and forgets it for good when `forget` says so.
    pub(super) fn detach(&mut self, key: SubscriptionKey, forget: bool) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let publication = subscription.publication;
        subscription.attach(None);
        if let Some(publication) = publication.and_then(|key| self.publications.get_mut(key)) {
            publication.subscriptions.retain(|other| *other != key);
        }
        if forget {
            self.subscriptions.remove(key);
        }
    }

    pub(super) fn on_attention(&mut self, key: PeerKey, track: Arc<str>, attention: Attention) {
        let known =
            self.publications.iter().find(|(_, publication)| publication.id == track).map(|(key, _)| key);
        let (Some(publication), Some(peer)) = (known, self.peers.get_mut(key)) else { return };
        peer.attention.insert(track, attention);
        let wanted = attention.enabled.unwrap_or(true);
        let subscriptions =
            peer.subscribe.map(|transport| self.sections_to_send(transport)).unwrap_or_default();
        for subscription in subscriptions {
            let Some(state) = self.subscriptions.get_mut(subscription) else { continue };
            if state.publication == Some(publication) && state.flow.wanted != wanted {
                state.flow.wanted = wanted;
                state.rewrite.leave();
                if wanted {
                    self.start(subscription);
                }
            }
        }
    }
}
