//! What a recorder sees of a room: each publication's packets as they arrive, opened and stripped of their header, with
//! the publisher's clock. A recorder subscribes to every track and needs no keys, no pacing and no rewriting.

use std::sync::Arc;
use std::time::Instant;

use signaling_core::PeerId;
use signaling_core::message::TrackSource;

use crate::codec::{Codec, MediaKind};
use crate::publication::SenderClock;
use crate::ring::{PacketInfo, StoredPacket, stored_extensions};
use crate::rtcp::NtpTime;
use crate::sdp::Extension;

/// Takes what the publishers of a room send.
///
/// It is called on the thread that forwards media: it must neither block nor wait for a lock that others hold for long.
pub trait Tap: Send + Sync {
    /// Takes one event. What it needs beyond the call it copies.
    fn take(&self, event: TapEvent<'_>);
}

/// A track that a recorder can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapTrack {
    /// The track's id, as clients know it.
    pub track: Arc<str>,
    /// Whose it is.
    pub peer: PeerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// What it shows.
    pub source: TrackSource,
}

/// A packet of RTP, decrypted.
#[derive(Clone, Copy, Debug)]
pub struct TapPacket<'a> {
    /// When it arrived.
    pub at: Instant,
    /// Its place in the track: the sequence number extended, growing over changes of SSRC. What was lost may come later,
    /// with a lower one.
    pub position: u64,
    /// Which of the publisher's streams it belongs to: grows with each change of SSRC, at which timestamps begin anew.
    pub generation: u32,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// How the picture is to be turned, where the packet says so: it holds until another packet says otherwise.
    pub rotation: Option<Rotation>,
    /// What the payload is.
    pub codec: Codec,
    /// Without padding.
    pub payload: &'a [u8],
}

/// How far a picture is to be turned clockwise before it is shown: a phone held upright films lying (3GPP TS 26.114 section 7.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// Not at all.
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
    /// All, each a quarter further than the one before.
    pub const ALL: [Self; 4] = [Self::Upright, Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// Degrees, clockwise.
    pub fn degrees(self) -> u16 {
        match self {
            Self::Upright => 0,
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }

    /// By degrees, clockwise; upright for what is no quarter of a circle.
    pub fn from_degrees(degrees: u16) -> Self {
        Self::ALL.into_iter().find(|rotation| rotation.degrees() == degrees).unwrap_or_default()
    }

    /// Reads the header extension. The other bits say which camera it is, and what nobody sends.
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

impl From<SenderClock> for TapReport {
    fn from(clock: SenderClock) -> Self {
        Self { generation: clock.generation, ntp: clock.ntp, timestamp: clock.rtp_timestamp }
    }
}

/// What a sender report says of a track's clock (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapReport {
    /// Which of the publisher's streams it is about.
    pub generation: u32,
    /// The publisher's wall clock, shared by all its tracks.
    pub ntp: NtpTime,
    /// The same instant on the track's own clock.
    pub timestamp: u32,
}

/// What happens in a room that is recorded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TapEvent<'a> {
    /// A track is there. Told for each track at the beginning, too.
    Published(&'a TapTrack),
    /// A packet of a track.
    Packet(&'a Arc<str>, TapPacket<'a>),
    /// A track's clock.
    Report(&'a Arc<str>, TapReport),
    /// A track is over.
    Unpublished(&'a Arc<str>),
    /// A peer has left the media server. Its tracks are over already.
    Left(PeerId),
    /// The room is over.
    Ended,
}
