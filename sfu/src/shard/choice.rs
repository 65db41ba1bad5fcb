//! Whose sound is sent in large rooms: that of the loudest, and what a subscriber has asked for by name.
//!
//! The home of a room chooses, by the levels in the packets, and tells the annexes. Whoever has been chosen remains so until
//! somebody else needs the place; a microphone that starts to speak is sent at once, from the beginning of what is said: the
//! ring still has it. A microphone whose packets carry no level is always sent, and so is the sound of a screen.

use signaling_core::RoomId;
use signaling_core::message::TrackSource;

use super::Shard;
use super::message::Note;
use super::rooms::{Peer, Room, Rooms};
use super::tracks::Tracks;
use crate::codec::MediaKind;
use crate::keys::PublicationKey;
use crate::loudness::{Loudness, MAX_CHOSEN, who_gives_way};
use crate::publication::{Audience, Origin, Publication};
use crate::time::Micros;

/// With so many microphones, the sound of all is sent.
pub(super) const MAX_MICROPHONES: usize = 8;
/// A microphone that has sent nothing for this long gives its place to one that sends.
const STOPPED_MICROS: u64 = 500_000;

impl Shard {
    /// Chooses anew if microphones have come, gone or stopped, or have been silenced by a host.
    pub(super) fn refresh_chosen(&mut self, now: Micros, room: &RoomId) {
        let microphones = self.microphones(room);
        let is_large = microphones.len() > MAX_MICROPHONES;
        for key in &microphones {
            let Some(track) = self.tracks.publication_mut(*key) else { continue };
            track.is_selected = is_large;
            if !is_large {
                self.set_audience(now, *key, Audience::All);
            }
        }
        let Some(state) = self.rooms.room(room) else { return };
        let mut chosen = if is_large { state.chosen.clone() } else { Vec::new() };
        chosen.retain(|key| microphones.contains(key) && self.tracks.flows(now, &self.rooms, *key));
        let others = || microphones.iter().filter(|key| !chosen.contains(key));
        // Nobody's place is taken as long as nobody else could use it.
        let mut next: Vec<_> = others()
            .filter(|key| is_large && self.tracks.flows(now, &self.rooms, **key))
            .filter_map(|key| Some((*key, self.tracks.publication(*key)?.loudness)))
            .filter(|(_, loudness)| loudness.is_known)
            .collect();
        next.sort_by(|a, b| b.1.level.total_cmp(&a.1.level));
        chosen.extend(next.into_iter().map(|(key, _)| key).take(MAX_CHOSEN - chosen.len().min(MAX_CHOSEN)));
        self.set_chosen(now, room, chosen);
    }

    /// A microphone of a large room has begun to speak, or its level has become known.
    pub(super) fn choose(&mut self, now: Micros, key: PublicationKey) {
        let Some(peer) = self.tracks.publication(key).and_then(|track| self.rooms.peer(track.peer)) else {
            return;
        };
        let room = peer.room.clone();
        let Some(state) = self.rooms.room(&room) else { return };
        if state.chosen.contains(&key) {
            return;
        }
        let mut chosen = state.chosen.clone();
        let speaker = self.tracks.loudness(&self.rooms, key);
        if chosen.len() < MAX_CHOSEN {
            chosen.push(key);
        } else if speaker.speaks() {
            let known: Vec<_> = chosen.iter().map(|key| self.tracks.loudness(&self.rooms, *key)).collect();
            let place = who_gives_way(now, &speaker, &known).and_then(|at| chosen.get_mut(at));
            if let Some(place) = place {
                *place = key;
            }
        }
        let is_chosen = chosen.contains(&key);
        self.set_chosen(now, &room, chosen);
        if !is_chosen {
            self.set_audience(now, key, Audience::Few);
        }
    }

    fn set_chosen(&mut self, now: Micros, room: &RoomId, chosen: Vec<PublicationKey>) {
        let Some(state) = self.rooms.room_mut(room) else { return };
        let before = std::mem::replace(&mut state.chosen, chosen.clone());
        for key in before.iter().filter(|key| !chosen.contains(key)) {
            let is_selected = self.tracks.publication(*key).is_some_and(|track| track.is_selected);
            if is_selected {
                self.set_audience(now, *key, Audience::Few);
            }
        }
        for key in chosen {
            self.set_audience(now, key, Audience::All);
        }
    }

    /// Sends the sound of a track to everybody, or only to those who have asked for it, here and at the annexes.
    pub(super) fn set_audience(&mut self, now: Micros, key: PublicationKey, audience: Audience) {
        let Some(track) = self.tracks.publications.get_mut(key) else { return };
        if std::mem::replace(&mut track.audience, audience) == audience {
            return;
        }
        // What was sent before is not sent again.
        track.lead_micros = track.loudness.lead_micros(now).min(now - track.audience_since);
        track.audience_since = now;
        let (annexes, lead_micros) = (track.annexes.clone(), track.lead_micros);
        for annex in annexes {
            self.note(annex, Note::Audience(key, audience, lead_micros));
        }
        self.tracks.apply_audience(key);
    }

    /// What the home of a mirror has chosen.
    pub(super) fn on_audience(&mut self, key: PublicationKey, audience: Audience, lead_micros: u64) {
        let Some(track) = self.tracks.publications.get_mut(key) else { return };
        (track.audience, track.lead_micros) = (audience, lead_micros);
        self.tracks.apply_audience(key);
    }

    /// The microphones of a room.
    fn microphones(&self, room: &RoomId) -> Vec<PublicationKey> {
        let members = self.rooms.room(room).map(Room::members).unwrap_or_default();
        let tracks =
            members.iter().filter_map(|key| self.rooms.peer(*key)).flat_map(|peer| &peer.publications);
        let is_microphone = |key: &&PublicationKey| {
            self.tracks.publication(**key).is_some_and(|track| {
                track.kind == MediaKind::Audio
                    && track.source != TrackSource::ScreenAudio
                    && matches!(track.origin, Origin::Transport(_))
            })
        };
        tracks.filter(is_microphone).copied().collect()
    }
}

impl Tracks {
    /// The loudness of a track; nothing if a host has silenced it.
    fn loudness(&self, rooms: &Rooms, key: PublicationKey) -> Loudness {
        let track = self.publication(key).filter(|track| !is_silenced(rooms.peer(track.peer), track));
        track.map(|track| track.loudness).unwrap_or_default()
    }

    /// Whether a track sends, and may be heard.
    fn flows(&self, now: Micros, rooms: &Rooms, key: PublicationKey) -> bool {
        self.publication(key).is_some_and(|track| {
            track.last_packet.is_some_and(|at| now < at + STOPPED_MICROS)
                && !is_silenced(rooms.peer(track.peer), track)
        })
    }

    /// Stops the sections that are no longer sent a track, and queues those that are sent it from now on.
    fn apply_audience(&mut self, key: PublicationKey) {
        let Some(publication) = self.publications.get(key) else { return };
        if publication.audience == Audience::All {
            self.starting.extend(&publication.subscriptions);
            return;
        }
        for section in publication.subscriptions.clone() {
            self.choose_for(section);
        }
    }
}

fn is_silenced(peer: Option<&Peer>, track: &Publication) -> bool {
    peer.is_none_or(|peer| peer.silences(track.kind))
}
