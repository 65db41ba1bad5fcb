//! One track that a peer publishes.

use std::sync::Arc;

use signaling_core::message::{Track, TrackSource};

use crate::codec::{Codec, MediaKind};
use crate::keyframe::{Entry, KeyframeRequest};
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::rate::RateMeter;
use crate::receive::Receiver;
use crate::ring::{PacketInfo, Ring, RingSize};
use crate::rtcp::NtpTime;
use crate::sdp::{ExtensionMap, WrittenCodec};
use crate::tap::Tap;
use crate::time::Micros;

/// A published track: the source of its packets, its ring of recent packets, and its subscriptions.
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
    pub(crate) ring: Ring,
    /// The receiver state of the current SSRC.
    pub(crate) receiver: Option<Receiver>,
    pub(crate) generation: u32,
    /// The newest report of the publisher's clocks.
    pub(crate) clock: Option<SenderClock>,
    pub(crate) subscriptions: Vec<SubscriptionKey>,
    /// The positions received since the last fan-out.
    pub(crate) pending: Vec<u64>,
    /// The shards that mirror the track; `mirrored` counts the pending packets already copied to them.
    pub(crate) annexes: Vec<u16>,
    pub(crate) mirrored: usize,
    /// The newest position at which a decoder can start.
    pub(crate) entry: Option<Entry>,
    pub(crate) keyframe: KeyframeRequest,
    pub(crate) last_packet: Option<Micros>,
    pub(crate) loudness: Loudness,
    pub(crate) rate: RateMeter,
    /// The recorder of the track.
    pub(crate) tap: Option<Arc<dyn Tap>>,
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
}

/// The clocks in a sender report, with the time of its arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderClock {
    pub(crate) ntp: NtpTime,
    pub(crate) rtp_timestamp: u32,
    pub(crate) at: Micros,
    pub(crate) generation: u32,
}

/// A smoothed audio level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loudness {
    /// From 0 (silent) to 1, a moving average over about 20 packets.
    pub(crate) level: f32,
}

impl Loudness {
    /// Adds the level of a packet in -dBov, where 127 is silence (RFC 6464).
    pub(crate) fn sample(&mut self, minus_dbov: u8) {
        // Speech lies between about 10 and 60 dB below full scale.
        let level = (1.0 - f32::from(minus_dbov.min(127)) / 70.0).max(0.0);
        self.level += (level - self.level) * 0.1;
    }
}

impl Publication {
    /// Creates a track that has not received a packet yet.
    pub(crate) fn new(peer: PeerKey, origin: Origin, described: Described) -> Self {
        let Described { id, mid, kind, source, codecs, codec, extensions } = described;
        let kept = match kind {
            MediaKind::Audio => RingSize::AUDIO,
            MediaKind::Video => RingSize::VIDEO,
        };
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
            ring: Ring::new(kept),
            receiver: None,
            generation: 0,
            clock: None,
            subscriptions: Vec::new(),
            pending: Vec::new(),
            annexes: Vec::new(),
            mirrored: 0,
            entry: None,
            keyframe: KeyframeRequest::default(),
            last_packet: None,
            loudness: Loudness::default(),
            rate: RateMeter::default(),
            tap: None,
        }
    }

    /// The entry at which a subscriber that can receive now starts; `None` if a new key frame is preferable.
    pub(crate) fn fresh_entry(&self, now: Micros) -> Option<Entry> {
        self.entry.filter(|entry| entry.generation == self.generation && entry.is_fresh(now))
    }

    /// Records a packet at which a decoder can start, with its time of arrival.
    pub(crate) fn on_entry(&mut self, info: &PacketInfo, at: Micros) {
        self.entry = Some(Entry::after(self.entry, info, at));
        self.keyframe.satisfied(at);
    }

    /// The time at which a key frame has to be requested, if any.
    pub(crate) fn keyframe_due(&self) -> Option<Micros> {
        self.keyframe.due_at(self.receiver.as_ref().map_or(0, Receiver::rtt_micros))
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
        }
    }

    /// The codec of a payload type.
    pub(crate) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().find(|written| written.payload_type == payload_type).map(|written| written.codec)
    }

    /// The payload type of the codec whose retransmissions have the payload type `rtx`.
    pub(crate) fn payload_type_of_rtx(&self, rtx: u8) -> Option<u8> {
        self.codecs.iter().find(|written| written.rtx == Some(rtx)).map(|written| written.payload_type)
    }

    /// Whether lost packets are requested again with NACK.
    pub(crate) fn wants_nack(&self) -> bool {
        self.codecs.iter().any(|written| written.codec == self.codec && written.feedback.nack)
    }

    /// The description sent to clients.
    pub(crate) fn describe(&self) -> Track {
        Track {
            track: self.id.to_string(),
            kind: self.kind.into(),
            source: self.source,
            simulcast: false,
            codec: self.codec.name().to_owned(),
        }
    }
}
