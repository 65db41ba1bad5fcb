//! One track that a peer publishes.

use std::sync::Arc;

use signaling_core::message::{Track, TrackSource};
use smallvec::SmallVec;

use crate::codec::{Codec, MediaKind};
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::layer::{Layer, LayerState, MAX_LAYERS};
use crate::loudness::Loudness;
use crate::rtcp::NtpTime;
use crate::sdp::{ExtensionMap, WrittenCodec};
use crate::tap::TappedTrack;
use crate::time::Micros;

/// A published track: its layers and its subscriptions.
pub(crate) struct Publication {
    pub(crate) id: Arc<str>,
    pub(crate) peer: PeerKey,
    pub(crate) origin: Origin,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) source: TrackSource,
    /// The negotiated codecs.
    pub(crate) codecs: Vec<WrittenCodec>,
    pub(crate) extensions: ExtensionMap,
    /// The codec of the newest packet; before the first packet, the preferred codec.
    pub(crate) codec: Codec,
    /// At least one; several for a simulcast publisher.
    pub(crate) layers: Vec<Layer>,
    /// The number of streams so far, each of which is a generation.
    streams: u32,
    /// The sections with the track: first those whose subscribers want it, then those that are paused.
    pub(crate) subscriptions: Vec<SubscriptionKey>,
    /// The number of the former, so that a packet costs nothing for the others.
    pub(crate) active: usize,
    /// The shards that mirror the track.
    pub(crate) annexes: Vec<u16>,
    /// Of a mirror: the layers that the home was asked for.
    pub(crate) mirrored: [bool; MAX_LAYERS],
    pub(crate) last_packet: Option<Micros>,
    pub(crate) loudness: Loudness,
    pub(crate) audience: Audience,
    /// The time of the last change of the audience.
    pub(crate) audience_since: Micros,
    /// Whether the room is so large that the audience depends on the loudness.
    pub(crate) is_selected: bool,
    /// How much of the sound before it is sent from now on belongs to what is being said.
    pub(crate) lead_micros: u64,
    /// The recorder of the track.
    pub(crate) tap: Option<TappedTrack>,
}

/// The source of a track's packets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// The publisher's connection.
    Transport(TransportKey),
    /// The room's home on another shard; this publication is a mirror.
    Home {
        /// The home shard.
        shard: u16,
        /// The home shard's key of the track.
        key: PublicationKey,
    },
}

/// The description of a publication.
pub(crate) struct Described {
    pub(crate) id: Arc<str>,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) source: TrackSource,
    pub(crate) codecs: Vec<WrittenCodec>,
    /// The codec in use, or the one that is expected to be used.
    pub(crate) codec: Codec,
    pub(crate) extensions: ExtensionMap,
    /// The names of the layers, if they have any.
    pub(crate) rids: Vec<Arc<str>>,
}

/// The clocks in a sender report, with the time of its arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderClock {
    pub(crate) ntp: NtpTime,
    pub(crate) rtp_timestamp: u32,
    pub(crate) at: Micros,
    pub(crate) generation: u32,
}

/// Who is sent the sound of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody who wants it.
    All,
    /// Those who have asked for it by its name: others are louder.
    Few,
}

impl Publication {
    /// Creates a track that has not received a packet yet.
    pub(crate) fn new(peer: PeerKey, origin: Origin, described: Described) -> Self {
        let Described { id, mid, kind, source, codecs, codec, extensions, rids } = described;
        let count = rids.len().clamp(1, MAX_LAYERS);
        let names = rids.into_iter().map(Some).chain(std::iter::once(None));
        let layers = names.take(count).map(|rid| Layer::new(kind, rid)).collect();
        Self {
            id,
            peer,
            origin,
            mid,
            kind,
            source,
            codecs,
            extensions,
            codec,
            layers,
            streams: 0,
            subscriptions: Vec::new(),
            active: 0,
            annexes: Vec::new(),
            mirrored: [false; MAX_LAYERS],
            last_packet: None,
            loudness: Loudness::default(),
            audience: Audience::All,
            audience_since: Micros::default(),
            is_selected: false,
            lead_micros: 0,
            tap: None,
        }
    }

    /// Whether the track has several layers.
    pub(crate) fn is_simulcast(&self) -> bool {
        self.layers.len() > 1
    }

    pub(crate) fn layer(&self, at: usize) -> Option<&Layer> {
        self.layers.get(at)
    }

    pub(crate) fn layer_mut(&mut self, at: usize) -> Option<&mut Layer> {
        self.layers.get_mut(at)
    }

    /// The layer with this name.
    pub(crate) fn layer_named(&self, rid: &[u8]) -> Option<usize> {
        self.layers.iter().position(|layer| layer.rid.as_ref().is_some_and(|known| known.as_bytes() == rid))
    }

    /// The number of a stream that starts.
    pub(crate) fn next_generation(&mut self) -> u32 {
        let generation = self.streams;
        self.streams = self.streams.wrapping_add(1);
        generation
    }

    /// The bitrate that a layer has when it is sent. Of several layers, the publisher may have stopped this one, so that
    /// what flows at the moment says little.
    pub(crate) fn bits_per_second(&mut self, now: Micros, at: usize) -> u64 {
        let is_simulcast = self.is_simulcast();
        let Some(layer) = self.layer_mut(at) else { return 0 };
        if is_simulcast && layer.state.bitrate > 0 {
            layer.state.bitrate
        } else {
            layer.rate.bits_per_second(now)
        }
    }

    /// The layers that flow, from the least to the best.
    pub(crate) fn ranked(&self) -> SmallVec<[usize; MAX_LAYERS]> {
        rank(self.layers.iter().map(|layer| layer.state))
    }

    /// What to add to the timestamps of a layer to get those of each other one.
    pub(crate) fn offsets_from(&self, from: usize) -> [Option<u32>; MAX_LAYERS] {
        let mut offsets = [None; MAX_LAYERS];
        if self.is_simulcast() {
            for (to, offset) in offsets.iter_mut().enumerate() {
                *offset = self.timestamp_offset(from, to);
            }
        }
        offsets
    }

    /// What to add to a timestamp of one layer to get that of the same instant in another, by the reports of both.
    fn timestamp_offset(&self, from: usize, to: usize) -> Option<u32> {
        let clock = |at: usize| self.layer(at)?.current_clock();
        let (from, to) = (clock(from)?, clock(to)?);
        let apart = i128::from(from.ntp.0) - i128::from(to.ntp.0);
        let ticks = (apart * i128::from(self.codec.clock_rate())) >> 32;
        let ticks = u32::try_from(ticks.rem_euclid(1 << 32)).unwrap_or(0);
        Some(to.rtp_timestamp.wrapping_sub(from.rtp_timestamp).wrapping_add(ticks))
    }

    /// The description sent to annexes.
    pub(crate) fn described(&self) -> Described {
        Described {
            id: Arc::clone(&self.id),
            mid: self.mid.clone(),
            kind: self.kind,
            source: self.source,
            codecs: self.codecs.clone(),
            codec: self.codec,
            extensions: self.extensions,
            rids: self.layers.iter().filter_map(|layer| layer.rid.clone()).collect(),
        }
    }

    /// Ends the streams that a new offer no longer announces, so that their successors take over at once.
    pub(crate) fn release_streams(&mut self, announced: &[(u32, Option<u32>)]) {
        let is_announced = |ssrc: u32| announced.iter().any(|(known, _)| *known == ssrc);
        for layer in self.layers.iter_mut().filter(|_| !announced.is_empty()) {
            if layer.receiver.as_ref().is_some_and(|receiver| !is_announced(receiver.ssrc)) {
                layer.last_packet = None;
            }
        }
    }

    /// Adds a section, which is paused.
    pub(crate) fn add(&mut self, key: SubscriptionKey) {
        self.subscriptions.push(key);
    }

    /// Removes a section.
    pub(crate) fn remove(&mut self, key: SubscriptionKey) {
        self.set_active(key, false);
        self.subscriptions.retain(|other| *other != key);
    }

    /// Moves a section to those whose subscribers want the track, or to those that are paused.
    pub(crate) fn set_active(&mut self, key: SubscriptionKey, is_active: bool) {
        let Some(at) = self.subscriptions.iter().position(|other| *other == key) else { return };
        if is_active && at >= self.active {
            self.subscriptions.swap(at, self.active);
            self.active += 1;
        } else if !is_active && at < self.active {
            self.active -= 1;
            self.subscriptions.swap(at, self.active);
        }
    }

    /// Whether it may have to be decided who is sent the sound.
    pub(crate) fn may_be_chosen(&self) -> bool {
        self.is_selected
            && self.loudness.is_known
            && (self.audience == Audience::All || self.loudness.speaks())
    }

    /// The codec of a payload type.
    pub(crate) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        codec_in(&self.codecs, payload_type)
    }

    /// The payload type of the codec whose retransmissions have the payload type `rtx`.
    pub(crate) fn payload_type_of_rtx(&self, rtx: u8) -> Option<u8> {
        self.codecs.iter().find(|written| written.rtx == Some(rtx)).map(|written| written.payload_type)
    }

    /// Whether lost packets are requested again with NACK.
    pub(crate) fn wants_nack(&self) -> bool {
        // Browsers know the feedback of Opus, which is that of redundant audio as well.
        let is_used = |codec: Codec| codec == self.codec || self.codec == Codec::Red && codec == Codec::Opus;
        self.codecs.iter().any(|written| is_used(written.codec) && written.feedback.nack)
    }

    /// The description sent to clients.
    pub(crate) fn describe(&self) -> Track {
        Track {
            track: self.id.to_string(),
            kind: self.kind.into(),
            source: self.source,
            simulcast: self.is_simulcast(),
            codec: self.codec.name().to_owned(),
        }
    }
}

/// The codec of a payload type.
pub(crate) fn codec_in(codecs: &[WrittenCodec], payload_type: u8) -> Option<Codec> {
    codecs.iter().find(|written| written.payload_type == payload_type).map(|written| written.codec)
}

/// The layers that flow, from the least to the best: by size where all sizes are known, otherwise by bitrate.
fn rank(layers: impl Iterator<Item = LayerState>) -> SmallVec<[usize; MAX_LAYERS]> {
    let flowing: SmallVec<[(usize, LayerState); MAX_LAYERS]> =
        layers.enumerate().filter(|(_, layer)| layer.flows).collect();
    let by_size = flowing.iter().all(|(_, layer)| layer.size.is_some());
    let mut ranked: SmallVec<[usize; MAX_LAYERS]> = flowing.iter().map(|(at, _)| *at).collect();
    let state = |at: usize| flowing.iter().find(|(known, _)| *known == at).map(|(_, layer)| *layer);
    ranked.sort_by_key(|at| {
        let layer = state(*at).unwrap_or_default();
        (if by_size { layer.pixels() } else { 0 }, layer.bitrate)
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(flows: bool, bitrate: u64, size: Option<(u16, u16)>) -> LayerState {
        LayerState { flows, bitrate, is_known: true, size }
    }

    #[test]
    fn layers_are_ordered_by_what_they_are() {
        let (small, large) = (Some((320, 180)), Some((1_280, 720)));
        let ranked = |layers: &[LayerState]| rank(layers.iter().copied()).to_vec();
        assert_eq!(
            ranked(&[layer(true, 900, large), layer(true, 1_000, small)]),
            [1, 0],
            "whatever their rate"
        );
        assert_eq!(ranked(&[layer(true, 900, large), layer(true, 150, None)]), [1, 0], "by rate");
        assert_eq!(ranked(&[layer(true, 900, small), layer(true, 150, small)]), [1, 0], "of the same size");
        assert_eq!(ranked(&[layer(true, 150, small), layer(false, 900, large)]), [0], "that one has stopped");
    }

    #[test]
    fn those_who_want_the_track_come_before_those_who_have_paused_it() {
        let mut keys = slotmap::SlotMap::<SubscriptionKey, bool>::with_key();
        let described = Described {
            id: "track".into(),
            mid: String::new(),
            kind: MediaKind::Video,
            source: TrackSource::Camera,
            codecs: Vec::new(),
            codec: Codec::Vp8,
            extensions: ExtensionMap::default(),
            rids: Vec::new(),
        };
        let origin = Origin::Transport(TransportKey::default());
        let mut track = Publication::new(PeerKey::default(), origin, described);
        for step in 0..1_000_usize {
            let chosen = keys.keys().nth(step * 7 % keys.len().max(1));
            match (step % 5, chosen) {
                (0, _) | (_, None) => track.add(keys.insert(false)),
                (1, Some(key)) if step % 3 == 0 => {
                    track.remove(key);
                    keys.remove(key);
                }
                (_, Some(key)) => {
                    let is_active = step % 2 == 0;
                    track.set_active(key, is_active);
                    keys[key] = is_active;
                }
            }
            let (active, paused) = track.subscriptions.split_at(track.active);
            assert!(active.iter().all(|key| keys[*key]) && paused.iter().all(|key| !keys[*key]), "{step}");
            assert_eq!(track.subscriptions.len(), keys.len());
        }
    }
}
