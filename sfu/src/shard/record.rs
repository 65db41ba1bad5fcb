//! Recorders of rooms.

use std::sync::Arc;

use signaling_core::RoomId;

use super::Shard;
use crate::codec::Codec;
use crate::keys::PublicationKey;
use crate::sdp::WrittenCodec;
use crate::tap::{Tap, TapEvent, TapTrack, TappedTrack};
use crate::time::Micros;

impl Shard {
    /// Starts or stops recording the room.
    pub(super) fn on_record(&mut self, now: Micros, room: &RoomId, tap: Option<Arc<dyn Tap>>) {
        let is_over = tap.is_none();
        self.rooms.set_tap(room, tap);
        for track in self.tracks_in(room) {
            self.tap_publication(track);
            if !is_over && !self.tracks.start_tap(now, self.clock, track) {
                let layer = self.tapped_layer(track);
                self.want_keyframe(now, track, layer);
            }
        }
    }

    /// Requests a key frame for a recorder that has none to start with.
    pub(super) fn on_recorder_wish(&mut self, now: Micros, room: &RoomId, track: &str) {
        let mut tracks = self.tracks_in(room).into_iter();
        let is_it = |key: &PublicationKey| self.tracks.publication(*key).is_some_and(|it| *it.id == *track);
        if let Some(key) = tracks.find(is_it) {
            let layer = self.tapped_layer(key);
            self.want_keyframe(now, key, layer);
        }
    }

    fn tapped_layer(&self, key: PublicationKey) -> usize {
        let tap = self.tracks.publication(key).and_then(|track| track.tap.as_ref());
        tap.map_or(0, TappedTrack::wanted)
    }

    fn tracks_in(&self, room: &RoomId) -> Vec<PublicationKey> {
        self.rooms.members(room).into_iter().flat_map(|peer| self.rooms.publications(peer)).collect()
    }

    /// Connects a publication to the recorder of its room, or disconnects it from a recorder that is gone.
    pub(super) fn tap_publication(&mut self, key: PublicationKey) {
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let Some(peer) = self.rooms.peer(publication.peer) else { return };
        let tap = self.rooms.room(&peer.room).and_then(|room| room.tap.clone());
        publication.tap = tap.map(|tap| TappedTrack::new(tap, Arc::clone(&publication.id)));
        let best = publication.ranked().last().copied();
        let Some(tap) = &mut publication.tap else { return };
        tap.want(best.unwrap_or(0));
        tap.tell(TapEvent::Published(&TapTrack {
            track: Arc::clone(&publication.id),
            peer: peer.id,
            kind: publication.kind,
            source: publication.source,
        }));
    }
}

/// Moves codecs to the front that need no transcoding for a file that plays everywhere: H.264 in the profiles that
/// every decoder supports, the most common one first, then VP9.
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
