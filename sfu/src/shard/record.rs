//! Recorders of rooms.

use std::sync::Arc;

use signaling_core::RoomId;

use super::{PeerKey, PublicationKey, Worker};
use crate::codec::Codec;
use crate::sdp::WrittenCodec;
use crate::tap::{Tap, TapEvent, TapTrack};

impl Worker {
    /// Records the room from now on, or no more.
    pub(super) fn on_record(&mut self, now_micros: u64, room: &RoomId, tap: Option<Arc<dyn Tap>>) {
        let is_over = tap.is_none();
        let state = self.rooms.entry(room.clone()).or_default();
        state.tap = tap;
        let peers = state.order.clone();
        if is_over && peers.is_empty() {
            self.rooms.remove(room);
        }
        let tracks: Vec<_> = peers
            .iter()
            .filter_map(|peer| self.peers.get(*peer))
            .flat_map(|peer| peer.publications.iter().copied())
            .collect();
        for track in tracks {
            self.tap_publication(track);
            if !is_over && !self.start_tap(now_micros, track) {
                self.want_keyframe(now_micros, track);
            }
        }
    }

    /// A recorder misses a picture to start with.
    pub(super) fn on_recorder_wish(&mut self, now_micros: u64, room: &RoomId, track: &str) {
        let Some(room) = self.rooms.get(room) else { return };
        let mut tracks =
            room.order.iter().filter_map(|peer| self.peers.get(*peer)).flat_map(|p| &p.publications);
        let found = tracks.find(|key| self.publications.get(**key).is_some_and(|p| *p.id == *track)).copied();
        if let Some(key) = found {
            self.want_keyframe(now_micros, key);
        }
    }

    /// Gives a publication to the recorder of its room, if there is one, or takes it away from one that is gone.
    pub(super) fn tap_publication(&mut self, key: PublicationKey) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let Some(peer) = self.peers.get(publication.peer) else { return };
        publication.tap = self.rooms.get(&peer.room).and_then(|room| room.tap.clone());
        let Some(tap) = &publication.tap else { return };
        tap.take(TapEvent::Published(&TapTrack {
            track: Arc::clone(&publication.id),
            peer: peer.id,
            kind: publication.kind,
            source: publication.source,
        }));
        if let Some(clock) = publication.clock {
            tap.take(TapEvent::Report(&publication.id, clock.into()));
        }
    }

    /// Whether the peer's room is recorded.
    pub(super) fn is_recorded(&self, peer: PeerKey) -> bool {
        let room = self.peers.get(peer).and_then(|peer| self.rooms.get(&peer.room));
        room.is_some_and(|room| room.tap.is_some())
    }
}

/// Puts codecs first that need no transcoding to be in a file that plays everywhere: H.264 in the profiles that every
/// decoder has, the most common one first, then VP9.
pub(super) fn prefer_recordable(codecs: &mut [WrittenCodec]) {
    codecs.sort_by_key(|written| match written.codec {
        // Constrained Baseline, then Baseline and Main, then the others.
        Codec::H264 { profile: 0x42, constraints } if constraints & 0x40 != 0 => 0,
        Codec::H264 { profile: 0x42 | 0x4d, .. } => 1,
        Codec::H264 { .. } => 2,
        Codec::Vp9 { profile: 0 } => 3,
        _ => 4,
    });
}
