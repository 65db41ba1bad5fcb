//! A recorder's view of a room: the packets of each publication as they arrive, decrypted and without their headers,
//! with the publisher's clock. A recorder subscribes to every track and needs no keys, pacing or rewriting.

use std::sync::Arc;
use std::time::Instant;

use signaling_core::PeerId;
use signaling_core::message::TrackSource;

use crate::codec::{Codec, MediaKind};
use crate::publication::SenderClock;
use crate::ring::{PacketInfo, StoredPacket, stored_extensions};
use crate::rtcp::NtpTime;
use crate::sdp::Extension;

/// Receives the media that the publishers of a room send.
///
/// It is called on the thread that forwards media, so it must neither block nor wait for a lock that is held for long.
pub trait Tap: Send + Sync {
    /// Handles one event. Data that is needed after the call must be copied.
    fn take(&self, event: TapEvent<'_>);
}

/// A track that is available to a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapTrack {
    /// The track's id, as known to clients.
    pub track: Arc<str>,
    /// The peer that publishes the track.
    pub peer: PeerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The source of the track, such as a camera.
    pub source: TrackSource,
}

/// A decrypted RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct TapPacket<'a> {
    /// The time of arrival.
    pub at: Instant,
    /// The position in the track: the extended sequence number, which keeps growing over changes of SSRC. Lost packets
    /// may arrive later, with a lower position.
    pub position: u64,
    /// The generation of the publisher's stream, which grows with each change of SSRC; timestamps restart there.
    pub generation: u32,
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The rotation of the picture, if the packet contains it; it applies until another packet changes it.
    pub rotation: Option<Rotation>,
    /// The codec of the payload.
    pub codec: Codec,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// The clockwise rotation of a picture before it is shown: a phone held upright films sideways (3GPP
/// TS 26.114 section 7.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// No rotation.
    #[default]
    Upright,
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

impl Rotation {
    /// All rotations, each a quarter turn further than the one before.
    pub const ALL: [Self; 4] = [Self::Upright, Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// The clockwise rotation in degrees.
    pub fn degrees(self) -> u16 {
        match self {
            Self::Upright => 0,
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }

    /// The rotation by this many degrees clockwise; upright if that is none of 0, 90, 180 and 270.
    pub fn from_degrees(degrees: u16) -> Self {
        Self::ALL.into_iter().find(|rotation| rotation.degrees() == degrees).unwrap_or_default()
    }

    /// Reads the header extension. The other bits tell the camera and the flip, which is not used in practice.
    fn read(data: &[u8]) -> Option<Self> {
        Self::ALL.get(usize::from(data.first()? & 3)).copied()
    }
}

impl<'a> TapPacket<'a> {
    pub(crate) fn new(at: Instant, codec: Codec, packet: StoredPacket<'a>) -> Self {
        let StoredPacket { info, extensions, payload } = packet;
        let PacketInfo { position, timestamp, marker, generation, .. } = info;
        let mut extensions = stored_extensions(extensions);
        let orientation = extensions.find(|(kind, _)| *kind == Extension::VideoOrientation as u8);
        let rotation = orientation.and_then(|(_, data)| Rotation::read(data));
        Self { at, position, generation, timestamp, marker, rotation, codec, payload }
    }
}

/// The recorder of a track. It is given one layer: the best one, to which it changes at a key frame. Each change is a
/// new generation for it, and positions keep growing.
pub(crate) struct TappedTrack {
    tap: Arc<dyn Tap>,
    id: Arc<str>,
    /// The layer to give.
    wanted: usize,
    current: Option<TappedStream>,
    /// The highest position given.
    highest: u64,
}

/// The stream that a recorder is given.
#[derive(Clone, Copy)]
struct TappedStream {
    layer: usize,
    /// The generation in the track, and the one that the recorder is told.
    generation: u32,
    told: u32,
    /// The offset from positions of the layer to those that the recorder is told.
    shift: u64,
}

/// The distance between the positions of two streams.
const STREAM_GAP: u64 = 1 << 20;

impl TappedTrack {
    pub(crate) fn new(tap: Arc<dyn Tap>, id: Arc<str>) -> Self {
        Self { tap, id, wanted: 0, current: None, highest: 0 }
    }

    /// Changes the layer to give; `true` if that is a change.
    pub(crate) fn want(&mut self, layer: usize) -> bool {
        std::mem::replace(&mut self.wanted, layer) != layer
    }

    /// The layer to give.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Passes an event of the track.
    pub(crate) fn tell(&self, event: TapEvent<'_>) {
        self.tap.take(event);
    }

    /// Passes a packet that has arrived in a layer with this clock.
    pub(crate) fn packet(
        &mut self,
        at: Instant,
        layer: usize,
        clock: Option<SenderClock>,
        codec: Codec,
        mut stored: StoredPacket<'_>,
    ) {
        let Some(stream) = self.stream_of(layer, &stored.info) else { return };
        if self.current.is_none_or(|known| known.told != stream.told) {
            self.current = Some(stream);
            if let Some(clock) = clock {
                self.report(layer, clock);
            }
        }
        stored.info.generation = stream.told;
        stored.info.position = stored.info.position.wrapping_add(stream.shift);
        self.highest = self.highest.max(stored.info.position);
        self.tap.take(TapEvent::Packet(&self.id, TapPacket::new(at, codec, stored)));
    }

    /// The stream that a packet belongs to; `None` if it is not given to the recorder.
    fn stream_of(&self, layer: usize, info: &PacketInfo) -> Option<TappedStream> {
        let Some(current) = self.current else {
            let first = TappedStream { layer, generation: info.generation, told: 0, shift: 0 };
            return (layer == self.wanted).then_some(first);
        };
        if current.layer == layer && current.generation == info.generation {
            return Some(current);
        }
        let changes = layer == self.wanted && info.starts_picture;
        if layer != current.layer && !changes {
            return None;
        }
        let shift = (self.highest + STREAM_GAP).wrapping_sub(info.position);
        Some(TappedStream { layer, generation: info.generation, told: current.told.wrapping_add(1), shift })
    }

    /// Passes a report of a layer's clocks.
    pub(crate) fn report(&self, layer: usize, clock: SenderClock) {
        let Some(current) = self.current else { return };
        if current.layer == layer && current.generation == clock.generation {
            let report =
                TapReport { generation: current.told, ntp: clock.ntp, timestamp: clock.rtp_timestamp };
            self.tap.take(TapEvent::Report(&self.id, report));
        }
    }
}

/// The track's clock in a sender report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapReport {
    /// The generation of the publisher's stream that the report describes.
    pub generation: u32,
    /// The publisher's wall clock, which all of its tracks share.
    pub ntp: NtpTime,
    /// The RTP timestamp of the same instant.
    pub timestamp: u32,
}

/// An event in a recorded room.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TapEvent<'a> {
    /// A track is published. The existing tracks are announced at the start of a recording, too.
    Published(&'a TapTrack),
    /// A packet of a track.
    Packet(&'a Arc<str>, TapPacket<'a>),
    /// A report of a track's clock.
    Report(&'a Arc<str>, TapReport),
    /// A track has ended.
    Unpublished(&'a Arc<str>),
    /// A peer has left the media server. Its tracks have already ended.
    Left(PeerId),
    /// The room has ended.
    Ended,
}
