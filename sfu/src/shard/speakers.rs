//! Who speaks.

use signaling_core::MediaEvent;
use signaling_core::message::PeerLevel;

use super::Worker;
use super::mirror::home_of;
use crate::codec::MediaKind;

/// Who speaks is told this often, while somebody does.
const SPEAKERS_INTERVAL_MICROS: u64 = 500_000;
/// The level from which somebody counts as speaking.
const SPEAKING: f32 = 0.3;
const MAX_SPEAKERS: usize = 5;

impl Worker {
    /// Tells each room who speaks.
    pub(super) fn tell_speakers(&mut self, now_micros: u64) {
        if now_micros < self.next_speakers {
            return;
        }
        self.next_speakers = now_micros + SPEAKERS_INTERVAL_MICROS;
        let (workers, index) = (self.shared.config.workers, self.index);
        // All who publish do so at the home of their room.
        for (id, room) in self.rooms.iter_mut().filter(|(id, _)| home_of(id, workers) == index) {
            let mut speakers: Vec<PeerLevel> = room
                .order
                .iter()
                .filter_map(|key| {
                    let peer = self.peers.get(*key)?;
                    let level = peer
                        .publications
                        .iter()
                        .filter_map(|publication| self.publications.get(*publication))
                        .filter(|p| p.kind == MediaKind::Audio && !peer.silences(p.kind))
                        // Who stopped sending is silent, whatever the last packets said.
                        .filter(|p| {
                            p.last_packet.is_some_and(|at| at + SPEAKERS_INTERVAL_MICROS > now_micros)
                        })
                        .map(|p| p.loudness.level)
                        .fold(0.0_f32, f32::max);
                    (level >= SPEAKING).then_some(PeerLevel { peer: peer.id, level: level.min(1.0) })
                })
                .collect();
            speakers.sort_by(|a, b| b.level.total_cmp(&a.level));
            speakers.truncate(MAX_SPEAKERS);
            if !speakers.is_empty() || room.speaking {
                room.speaking = !speakers.is_empty();
                self.events.push_back((id.clone(), MediaEvent::Speakers(speakers)));
            }
        }
    }
}
