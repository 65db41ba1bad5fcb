//! The parameters that a decoder needs before its first frame, read from the headers of codecs.

mod av1;
mod bits;
mod h264;
mod vp9;

pub use av1::SequenceHeader;
pub use h264::ParameterSets;
pub(crate) use h264::{append_unit, pps_id, read_sps, sps_id};
pub use vp9::Vp9Format;

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

#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::av1::testing::sequence;
    pub(crate) use super::h264::testing::SPS_640X360;
    pub(crate) use super::vp9::testing::VP9_KEY;
}
