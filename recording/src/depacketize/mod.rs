//! Assembles RTP payloads into frames for containers.

mod av1;
mod h264;
mod opus;
mod vp8;
mod vp9;

use sfu::codec::Codec;

pub use av1::SequenceHeader;
pub use h264::ParameterSets;
pub(crate) use opus::{SILENCE, SILENCE_TICKS, duration_ticks};
pub use vp9::Vp9Format;

/// A payload with the fields of its RTP header. Payloads are passed in order and without gaps; after a gap,
/// [`Depacketizer::reset`] is called.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The marker bit, which is set on the last packet of a picture.
    pub marker: bool,
    /// The payload bytes.
    pub bytes: &'a [u8],
}

/// A complete picture or audio packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The encoded data. In H.264, each NAL unit is preceded by a length of four bytes; in AV1,
    /// each OBU has a size field.
    pub data: Vec<u8>,
    /// The format with which a decoder can start at this frame; `None` if it cannot start here.
    pub format: Option<Format>,
}

/// The parameters that a decoder needs before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Opus audio; a decoder can start at every frame.
    Opus,
    /// VP8.
    Vp8 {
        /// The width and height in pixels.
        size: (u16, u16),
    },
    /// VP9.
    Vp9(Vp9Format),
    /// H.264.
    H264(ParameterSets),
    /// AV1.
    Av1(SequenceHeader),
}

impl Format {
    /// The width and height in pixels; zero for audio.
    pub fn size(&self) -> (u16, u16) {
        match self {
            Self::Opus => (0, 0),
            Self::Vp8 { size } => *size,
            Self::Vp9(format) => format.size,
            Self::H264(sets) => sets.size,
            Self::Av1(header) => header.size,
        }
    }

    /// The name of the codec.
    pub fn codec(&self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 { .. } => "vp8",
            Self::Vp9(_) => "vp9",
            Self::H264(_) => "h264",
            Self::Av1(_) => "av1",
        }
    }
}

/// Assembles the frames of one track.
#[derive(Debug)]
pub enum Depacketizer {
    /// Opus: each packet is a frame.
    Opus,
    /// Opus with earlier packets repeated in later ones (RFC 2198).
    Red,
    /// VP8 (RFC 7741).
    Vp8(vp8::Vp8),
    /// VP9 (RFC 9628).
    Vp9(vp9::Vp9),
    /// H.264 (RFC 6184).
    H264(h264::H264),
    /// AV1 (RTP Payload Format For AV1).
    Av1(av1::Av1),
}

impl Depacketizer {
    /// Creates a depacketizer for this codec.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Opus => Self::Opus,
            Codec::Red => Self::Red,
            Codec::Vp8 => Self::Vp8(vp8::Vp8::default()),
            Codec::Vp9 { .. } => Self::Vp9(vp9::Vp9::default()),
            Codec::H264 { .. } => Self::H264(h264::H264::default()),
            Codec::Av1 { .. } => Self::Av1(av1::Av1::default()),
        }
    }

    /// Processes the next payload and appends the frames that it completes. Malformed payloads are dropped.
    pub fn push(&mut self, payload: Payload<'_>, frames: &mut Vec<Frame>) {
        match self {
            Self::Opus => frames.extend(opus::frame(payload.timestamp, payload.bytes)),
            Self::Red => opus::red(&payload, frames),
            Self::Vp8(vp8) => vp8.push(&payload, frames),
            Self::Vp9(vp9) => vp9.push(&payload, frames),
            Self::H264(h264) => h264.push(&payload, frames),
            Self::Av1(av1) => av1.push(&payload, frames),
        }
    }

    /// Discards the incomplete frame after a gap.
    pub fn reset(&mut self) {
        match self {
            Self::Opus | Self::Red => {}
            Self::Vp8(vp8) => vp8.reset(),
            Self::Vp9(vp9) => vp9.reset(),
            Self::H264(h264) => h264.reset(),
            Self::Av1(av1) => av1.reset(),
        }
    }
}

/// A frame that is being assembled. Packets before the first one of a picture are dropped.
#[derive(Clone, Debug, Default)]
struct Assembly {
    timestamp: u32,
    data: Vec<u8>,
    begun: bool,
}

/// The largest frame that is assembled; a larger one is an attack or an error.
const MAX_FRAME: usize = 8 << 20;

impl Assembly {
    fn begin(&mut self, timestamp: u32) {
        self.data.clear();
        self.timestamp = timestamp;
        self.begun = true;
    }

    fn is_at(&self, timestamp: u32) -> bool {
        self.begun && self.timestamp == timestamp
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.data.len() + bytes.len() > MAX_FRAME {
            self.reset();
        } else {
            self.data.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self) -> Option<Vec<u8>> {
        let is_whole = std::mem::take(&mut self.begun) && !self.data.is_empty();
        is_whole.then(|| std::mem::take(&mut self.data))
    }

    fn reset(&mut self) {
        self.begun = false;
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODECS: [Codec; 6] = [
        Codec::Opus,
        Codec::Red,
        Codec::Vp8,
        Codec::Vp9 { profile: 0 },
        Codec::H264 { profile: 0x42, constraints: 0xe0 },
        Codec::Av1 { profile: 0 },
    ];

    proptest! {
        #[test]
        fn nothing_from_the_network_panics_or_grows(
            codec in 0_usize..6,
            payloads in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..64)), 0..32),
        ) {
            let mut depacketizer = Depacketizer::new(CODECS[codec]);
            let mut frames = Vec::new();
            let mut total = 0;
            for (timestamp, marker, bytes) in &payloads {
                total += bytes.len();
                depacketizer.push(Payload { timestamp: *timestamp, marker: *marker, bytes }, &mut frames);
            }
            let out: usize = frames.iter().map(|frame| frame.data.len()).sum();
            // Length and size fields are rewritten: a few bytes for each unit of at least one byte.
            prop_assert!(out <= total * 8 + 64);
        }
    }
}
