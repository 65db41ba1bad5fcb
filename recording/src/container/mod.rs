//! Files that can be played while they grow, and after whatever ended them.
//!
//! A file begins with a head of fixed length that has room to spare. What follows are fragments, each whole in itself and
//! appended at once. The head alone is written anew in its place: when a track joins, when a stream changes in a way that
//! the head must tell, and at the end, when the duration is known.

mod ebml;
pub mod measure;
mod mp4;
mod webm;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sfu::Rotation;

use crate::depacketize::Format;

pub use mp4::Mp4;
pub use webm::WebM;

/// Bytes that the head of a file takes.
pub const HEAD_LEN: usize = 4_096;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Fragmented MP4: H.264, VP9 and AV1, with Opus.
    Mp4,
    /// WebM: VP8, with Opus.
    WebM,
}

impl Container {
    /// The one for video of this format. Sound alone goes into MP4.
    pub fn of(format: &Format) -> Self {
        match format {
            Format::Vp8 { .. } => Self::WebM,
            _ => Self::Mp4,
        }
    }

    /// What file names end in, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::WebM => "webm",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::WebM => "video/webm",
        }
    }
}

/// Which of a file's tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Pictures.
    Video,
    /// Sound.
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

    /// Units of time a second.
    pub fn timescale(self) -> u32 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }
}

/// A frame with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it begins, in units of its lane since the beginning of the file.
    pub time: u64,
    /// How long it lasts.
    pub duration: u32,
    /// A decoder can begin here.
    pub is_key: bool,
    /// The coded frame.
    pub data: Vec<u8>,
}

/// What the head tells of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Format of the largest picture there has been. H.264 has the sets that a key frame needs before it, too.
    pub video: Option<Format>,
    /// Width and height of that picture.
    pub size: (u16, u16),
    /// How the pictures are to be turned.
    pub rotation: Rotation,
    /// H.264 has other parameter sets before some of its key frames.
    pub in_band: bool,
    /// Whether there is sound.
    pub audio: bool,
    /// When the file began, in seconds since 1970.
    pub began_at: u64,
    /// How long it is, when that is known.
    pub duration: Option<Duration>,
}

/// Why something does not become part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The parameter sets take more than there is room for.
    #[error("the head of the file does not fit into its place")]
    HeadTooLarge,
    /// A fragment is larger than the format can say.
    #[error("a fragment is too large")]
    FragmentTooLarge,
    /// The container crate refused a value.
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
    /// For a new file.
    pub fn new(container: Container) -> Self {
        match container {
            Container::Mp4 => Self::Mp4(Mp4::default()),
            Container::WebM => Self::WebM(WebM::default()),
        }
    }

    /// The first [`HEAD_LEN`] bytes.
    pub fn head(&self, head: &Head) -> Result<Vec<u8>, ContainerError> {
        match self {
            Self::Mp4(_) => mp4::head(head),
            Self::WebM(webm) => webm.head(head),
        }
    }

    /// A fragment of these samples, to be appended. At least one lane has some.
    pub fn fragment(&mut self, video: &[Sample], audio: &[Sample]) -> Result<Vec<u8>, ContainerError> {
        match self {
            Self::Mp4(mp4) => mp4.fragment(video, audio),
            Self::WebM(webm) => Ok(webm.fragment(video, audio)),
        }
    }

    /// What stands after the last fragment of a file that ended well.
    pub fn tail(&mut self) -> Vec<u8> {
        match self {
            Self::Mp4(mp4) => mp4.tail(),
            Self::WebM(webm) => webm.tail(),
        }
    }
}
