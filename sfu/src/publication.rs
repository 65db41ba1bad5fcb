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

/// A published track: where its packets come from, what is kept of them, and who gets them.
pub(crate) struct Publication {
    pub(crate) id: Arc<str>,
    pub(crate) peer: PeerKey,
    pub(crate) origin: Origin,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) source: TrackSource,
    /// What was negotiated, by payload type.
    pub(crate) codecs: Vec<WrittenCodec>,
    pub(crate) extensions: ExtensionMap,
    /// The codec of the newest packet; before one, the codec that is preferred.
    pub(crate) codec: Codec,
    pub(crate) ring: Ring,
    /// The SSRC that packets come from now.
    pub(crate) receiver: Option<Receiver>,
    pub(crate) generation: u32,
    /// The publisher's clocks, and when they were told.
    pub(crate) clock: Option<SenderClock>,
    pub(crate) subscriptions: Vec<SubscriptionKey>,
    /// Positions that came since the last fan-out.
    pub(crate) pending: Vec<u64>,
    /// Shards that mirror the track, and how many of the pending packets they have.
    pub(crate) annexes: Vec<u16>,
    pub(crate) mirrored: usize,
    /// Where a newcomer can start.
    pub(crate) entry: Option<Entry>,
    pub(crate) keyframe: KeyframeRequest,
    pub(crate) last_packet: Option<Micros>,
    pub(crate) loudness: Loudness,
    pub(crate) rate: RateMeter,
    /// Takes the track for a recording.
    pub(crate) tap: Option<Arc<dyn Tap>>,
}

/// Where the packets of a track come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// The publisher's connection.
    Transport(TransportKey),
    /// The room's home on another shard, which knows the track by this key: this is a mirror.
    Home {
        /// The shard.
        shard: u16,
        /// Its key.
        key: PublicationKey,
    },
}

/// What a publication is about.
pub(crate) struct Described {
    pub(crate) id: Arc<str>,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) source: TrackSource,
    pub(crate) codecs: Vec<WrittenCodec>,
    /// The one that is used, or will probably be.
    pub(crate) codec: Codec,
    pub(crate) extensions: ExtensionMap,
}

/// What a sender report said.
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
    /// 0 (silent) to 1, a moving average over some 20 packets.
    pub(crate) level: f32,
}

impl Loudness {
    /// Notes the level of a packet in -dBov, 127 being silence (RFC 6464).
    pub(crate) fn sample(&mut self, minus_dbov: u8) {
        // Speech lies between some 10 and 60 below full scale.
        let level = (1.0 - f32::from(minus_dbov.min(127)) / 70.0).max(0.0);
        self.level += (level - self.level) * 0.1;
    }
}

impl Publication {
    /// A track of which nothing has come yet.
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

    /// The place to start for somebody who can receive now, unless it is better to ask for another.
    pub(crate) fn fresh_entry(&self, now: Micros) -> Option<Entry> {
        self.entry.filter(|entry| entry.generation == self.generation && entry.is_fresh(now))
    }

    /// Notes a packet where a decoder can start, which arrived then.
    pub(crate) fn on_entry(&mut self, info: &PacketInfo, at: Micros) {
        self.entry = Some(Entry::after(self.entry, info, at));
        self.keyframe.satisfied(at);
    }

    /// When to ask for a key frame.
    pub(crate) fn keyframe_due(&self) -> Option<Micros> {
        self.keyframe.due_at(self.receiver.as_ref().map_or(0, Receiver::rtt_micros))
    }

    /// How an annex is to know it.
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

    /// The codec that a payload type stands for.
    pub(crate) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().find(|written| written.payload_type == payload_type).map(|written| written.codec)
    }

    /// The payload type whose retransmissions come as `rtx`.
    pub(crate) fn payload_type_of_rtx(&self, rtx: u8) -> Option<u8> {
        self.codecs.iter().find(|written| written.rtx == Some(rtx)).map(|written| written.payload_type)
    }

    /// Whether lost packets are asked for again.
    pub(crate) fn wants_nack(&self) -> bool {
        self.codecs.iter().any(|written| written.codec == self.codec && written.feedback.nack)
    }

    /// As clients are told.
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
