//! Detection of the peers that speak.

use signaling_core::MediaEvent;
use signaling_core::message::PeerLevel;

use super::Shard;
use super::choice::MAX_MICROPHONES;
use super::rooms::{Peer, home_of};
use super::tracks::Tracks;
use crate::codec::MediaKind;
use crate::time::Micros;

/// The interval between two reports of speakers.
const SPEAKERS_INTERVAL_MICROS: u64 = 500_000;
/// The level from which a peer counts as speaking.
const SPEAKING: f32 = 0.3;
const MAX_SPEAKERS: usize = 5;

impl Shard {
    /// Reports to each room which of its peers speak, and chooses whose sound is sent in large ones.
    pub(super) fn tell_speakers(&mut self, now: Micros) {
        if now < self.next_speakers {
            return;
        }
        self.next_speakers = now + SPEAKERS_INTERVAL_MICROS;
        let (shards, index) = (self.config.shards, self.index);
        let (rooms, peers) = self.rooms.split_mut();
        let mut large = Vec::new();
        // All publishers are connected to the home shard of their room.
        for (id, room) in rooms.filter(|(id, _)| home_of(id, shards) == index) {
            if room.members().len() > MAX_MICROPHONES || !room.chosen.is_empty() {
                large.push(id.clone());
            }
            let mut speakers: Vec<PeerLevel> = room
                .members()
                .iter()
                .filter_map(|key| {
                    let peer = peers.get(*key)?;
                    let level = self.tracks.level_of(now, peer);
                    (level >= SPEAKING).then_some(PeerLevel { peer: peer.id, level: level.min(1.0) })
                })
                .collect();
            speakers.sort_by(|a, b| b.level.total_cmp(&a.level));
            speakers.truncate(MAX_SPEAKERS);
            if !speakers.is_empty() || room.is_speaking {
                room.is_speaking = !speakers.is_empty();
                self.events.push_back((id.clone(), MediaEvent::Speakers(speakers)));
            }
        }
        for room in large {
            self.refresh_chosen(now, &room);
        }
    }
}

impl Tracks {
    /// The audio level of a peer.
    fn level_of(&self, now: Micros, peer: &Peer) -> f32 {
        let publications = peer.publications.iter().filter_map(|key| self.publication(*key));
        publications
            .filter(|track| track.kind == MediaKind::Audio && !peer.silences(track.kind))
            // A peer that has stopped sending is silent, whatever level its last packets reported.
            .filter(|track| track.last_packet.is_some_and(|at| at + SPEAKERS_INTERVAL_MICROS > now))
            .map(|track| track.loudness.level)
            .fold(0.0, f32::max)
    }
}
