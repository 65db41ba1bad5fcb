//! Assembles RTP payloads into frames for containers.

mod av1;
mod frame;
mod h264;
mod opus;
mod vp8;
mod vp9;

use sfu::codec::Codec;

pub use frame::{Frame, Payload};
pub(crate) use opus::{SILENCE, SILENCE_TICKS, duration_ticks};

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
