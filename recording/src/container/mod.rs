//! Container formats whose files can be played while they grow, and after an interruption.
//!
//! A file begins with a head of fixed length that has spare room. It is followed by fragments, each complete in itself
//! and appended in one piece. Only the head is overwritten in place: when a track is added, when a stream changes in a
//! way that the head describes, and when the duration has grown.

mod ebml;
pub mod measure;
mod mp4;
mod webm;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sfu::Rotation;

use crate::format::Format;

pub use mp4::Mp4;
pub use webm::WebM;

/// The length of a file's head, in bytes.
pub const HEAD_LEN: usize = 4_096;

/// A container format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Fragmented MP4: H.264, VP9 and AV1, with Opus.
    Mp4,
    /// WebM: VP8, with Opus.
    WebM,
}

impl Container {
    /// The container for video of this format. Audio alone is stored in MP4.
    pub fn of(format: &Format) -> Self {
        match format {
            Format::Vp8 { .. } => Self::WebM,
            _ => Self::Mp4,
        }
    }

    /// The extension of file names, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::WebM => "webm",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::WebM => "video/webm",
        }
    }
}

/// A track of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The video track.
    Video,
    /// The audio track.
    Audio,
}

impl Lane {
    /// The track's number in the file.
    pub fn number(self) -> u32 {
        match self {
            Self::Video => 1,
            Self::Audio => 2,
        }
    }

    /// The units of time per second.
    pub fn timescale(self) -> u32 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }
}

/// A frame with its position in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The start, in units of the lane since the start of the file.
    pub time: u64,
    /// The duration, in the same units.
    pub duration: u32,
    /// Whether a decoder can start here.
    pub is_key: bool,
    /// The encoded frame.
    pub data: Vec<u8>,
}

/// The contents of a file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The format of the largest picture so far. H.264 key frames also contain their own parameter sets.
    pub video: Option<Format>,
    /// The width and height of that picture.
    pub size: (u16, u16),
    /// The rotation of the pictures.
    pub rotation: Rotation,
    /// Whether some H.264 key frames have parameter sets other than those in the head.
    pub in_band: bool,
    /// Whether the file has audio.
    pub audio: bool,
    /// The start of the file, in seconds since 1970.
    pub began_at: u64,
    /// The duration, if it is known.
    pub duration: Option<Duration>,
}

/// Why data cannot be written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The head exceeds its fixed length, such as by large parameter sets.
    #[error("the head of the file does not fit into its place")]
    HeadTooLarge,
    /// A fragment is larger than the format allows.
    #[error("a fragment is too large")]
    FragmentTooLarge,
    /// The container library has rejected a value.
    #[error("a value does not fit into the container")]
    Value,
}

/// Writes one file.
#[derive(Debug)]
pub enum Writer {
    /// Fragmented MP4.
    Mp4(Mp4),
    /// WebM.
    WebM(WebM),
}

impl Writer {
    /// Creates the writer of a new file.
    pub fn new(container: Container) -> Self {
        match container {
            Container::Mp4 => Self::Mp4(Mp4::default()),
            Container::WebM => Self::WebM(WebM::default()),
        }
    }

    /// Writes the first [`HEAD_LEN`] bytes.
    pub fn head(&self, head: &Head) -> Result<Vec<u8>, ContainerError> {
        match self {
            Self::Mp4(_) => mp4::head(head),
            Self::WebM(webm) => webm.head(head),
        }
    }

    /// Writes a fragment of these samples, to be appended. At least one lane has samples.
    pub fn fragment(&mut self, video: &[Sample], audio: &[Sample]) -> Result<Vec<u8>, ContainerError> {
        match self {
            Self::Mp4(mp4) => mp4.fragment(video, audio),
            Self::WebM(webm) => Ok(webm.fragment(video, audio)),
        }
    }

    /// Writes the data after the last fragment of a complete file.
    pub fn tail(&mut self) -> Vec<u8> {
        match self {
            Self::Mp4(mp4) => mp4.tail(),
            Self::WebM(webm) => webm.tail(),
        }
    }
}
