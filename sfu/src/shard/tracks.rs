//! What peers publish: from the first packet of a track to its end.

use signaling_core::message::{PublishTrack, TrackKind};
use signaling_core::{HttpSession, MediaEvent};

use super::{PeerKey, PublicationKey, SubscriptionKey, TransportKey, Worker};
use crate::codec::MediaKind;
use crate::publication::Origin;
use crate::tap::TapEvent;

/// A publisher that sends nothing for so long has stopped.
const SILENCE_MICROS: u64 = 5_000_000;

impl Worker {
    /// The first packet of a track, or one of another codec than before.
    pub(super) fn on_first_media(&mut self, key: PublicationKey, codec_changed: bool) {
        let Some(publication) = self.publications.get(key) else { return };
        let peer = publication.peer;
        if codec_changed {
            self.tell_tracks(peer);
            let subscribers = self.subscribers_of(key);
            self.renegotiate.extend(subscribers);
        }
        self.set_flowing(peer, true);
    }

    /// Notices that a publisher sends nothing any more.
    pub(super) fn note_silence(&mut self, now_micros: u64, key: TransportKey) {
        let Some(owner) = self.transports.get(key).map(|transport| transport.peer) else { return };
        let Some(peer) = self.peers.get(owner).filter(|peer| peer.flowing) else { return };
        let mut last =
            peer.publications.iter().filter_map(|track| self.publications.get(*track)?.last_packet);
        if !last.any(|at| at.saturating_add(SILENCE_MICROS) > now_micros) {
            self.stop_flowing(owner);
        }
    }

    /// Nothing flows; the next packet counts as the first.
    pub(super) fn stop_flowing(&mut self, key: PeerKey) {
        let tracks = self.peers.get(key).map(|peer| peer.publications.clone()).unwrap_or_default();
        for track in tracks {
            if let Some(publication) = self.publications.get_mut(track) {
                publication.last_packet = None;
            }
        }
        self.set_flowing(key, false);
    }

    pub(super) fn set_flowing(&mut self, key: PeerKey, flowing: bool) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.flowing != flowing {
            peer.flowing = flowing;
            self.events.push_back((peer.room.clone(), MediaEvent::Flowing { peer: peer.id, flowing }));
        }
    }

    /// Tells the room what the peer publishes now.
    pub(super) fn tell_tracks(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let tracks = peer
            .publications
            .iter()
            .filter_map(|publication| {
                self.publications.get(*publication).map(super::super::publication::Publication::describe)
            })
            .collect();
        self.events.push_back((peer.room.clone(), MediaEvent::Tracks { peer: peer.id, tracks }));
    }

    /// What the client said the track in this section is.
    pub(super) fn announced(&self, peer: PeerKey, mid: &str, kind: MediaKind) -> Option<PublishTrack> {
        let kind = match kind {
            MediaKind::Audio => TrackKind::Audio,
            MediaKind::Video => TrackKind::Video,
        };
        self.peers.get(peer)?.announced.iter().find(|track| track.mid == mid && track.kind == kind).cloned()
    }

    /// Offers a new track to everybody who should get it.
    pub(super) fn on_published(&mut self, now_micros: u64, key: PublicationKey) {
        let Some(publication) = self.publications.get(key) else { return };
        let Some(room) = self.peers.get(publication.peer).and_then(|peer| self.rooms.get(&peer.room)) else {
            return;
        };
        let publisher = publication.peer;
        let others: Vec<_> = room.order.iter().copied().filter(|peer| *peer != publisher).collect();
        for peer in others {
            match self.peers.get(peer).and_then(|peer| peer.http) {
                None => self.renegotiate.push(peer),
                Some(HttpSession::Play { .. }) => self.fill_player(now_micros, peer),
                Some(HttpSession::Publish) => {}
            }
        }
    }

    /// Ends a track.
    pub(super) fn unpublish(&mut self, key: PublicationKey) {
        let subscribers = self.subscribers_of(key);
        let Some(publication) = self.publications.remove(key) else { return };
        if let Some(tap) = &publication.tap {
            tap.take(TapEvent::Unpublished(&publication.id));
        }
        self.retract(key, &publication);
        for subscription in &publication.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                subscription.attach(None);
            }
        }
        if let Origin::Transport(transport) = publication.origin
            && let Some(transport) = self.transports.get_mut(transport)
        {
            transport.routes.retain(|_, route| {
                let (crate::transport::Route::Media(to) | crate::transport::Route::Retransmission(to)) =
                    route;
                *to != key
            });
        }
        if let Some(peer) = self.peers.get_mut(publication.peer) {
            peer.publications.retain(|other| *other != key);
            if peer.publications.is_empty() {
                self.set_flowing(publication.peer, false);
            }
        }
        self.dirty.retain(|other| *other != key);
        self.served = super::fanout::Served::default();
        self.renegotiate.extend(subscribers);
    }

    pub(super) fn subscribers_of(&self, key: PublicationKey) -> Vec<PeerKey> {
        let Some(publication) = self.publications.get(key) else { return Vec::new() };
        let transport = |key: &SubscriptionKey| Some(self.subscriptions.get(*key)?.transport);
        let subscribers = publication.subscriptions.iter().filter_map(transport);
        subscribers.filter_map(|transport| Some(self.transports.get(transport)?.peer)).collect()
    }
}
