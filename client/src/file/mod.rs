//! Media files: what is published from them, and what is saved into them.

mod annexb;
mod ivf;
mod ogg;
mod saver;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RtpCodecKind};

use crate::Error;

pub use saver::Saver;

/// How long a picture of an H.264 file lasts, since it does not say so itself.
const PICTURE: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// A codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Codec {
    Vp8,
    Vp9,
    Av1,
    H264,
    Opus,
}

impl Codec {
    const ALL: [Self; 5] = [Self::Vp8, Self::Vp9, Self::Av1, Self::H264, Self::Opus];

    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::H264 => "H264",
            Self::Opus => "opus",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Whether it is a codec of video, not of sound.
    pub fn is_video(self) -> bool {
        self != Self::Opus
    }

    pub(crate) fn kind(self) -> RtpCodecKind {
        if self.is_video() { RtpCodecKind::Video } else { RtpCodecKind::Audio }
    }

    pub(crate) fn parameters(self) -> RTCRtpCodec {
        let (media, clock_rate, channels) =
            if self == Self::Opus { ("audio", 48_000, 2) } else { ("video", 90_000, 0) };
        let mime_type = format!("{media}/{}", self.name());
        RTCRtpCodec { mime_type, clock_rate, channels, ..Default::default() }
    }
}

/// A picture, or a packet of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes; of H.264 with start codes (Annex B).
    pub data: Bytes,
    /// How long it lasts.
    pub duration: Duration,
}

/// A file to publish: IVF with VP8, VP9 or AV1, Ogg with Opus, or H.264 as a byte stream (Annex B). Its first bytes say
/// which. `ffmpeg -i FILM -an -c:v libvpx FILE.ivf`, `-vn -c:a libopus FILE.ogg`, `-an -c:v libx264 -bf 0 FILE.h264` make
/// them.
pub struct MediaFile {
    codec: Codec,
    reader: Reader,
}

enum Reader {
    Ivf(ivf::Reader<BufReader<File>>),
    Ogg(ogg::Reader<BufReader<File>>),
    AnnexB { reader: annexb::Reader<BufReader<File>>, picture: Duration },
}

impl MediaFile {
    /// Opens a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut file = BufReader::new(File::open(path).map_err(Error::File)?);
        let first = file.fill_buf().map_err(Error::File)?;
        if first.starts_with(b"DKIF") {
            let (reader, codec) = ivf::Reader::new(file)?;
            return Ok(Self { codec, reader: Reader::Ivf(reader) });
        }
        if first.starts_with(b"OggS") {
            return Ok(Self { codec: Codec::Opus, reader: Reader::Ogg(ogg::Reader::new(file)?) });
        }
        if first.starts_with(&[0, 0, 1]) || first.starts_with(&[0, 0, 0, 1]) {
            let reader = Reader::AnnexB { reader: annexb::Reader::new(file), picture: PICTURE };
            return Ok(Self { codec: Codec::H264, reader });
        }
        Err(Error::Format("neither IVF nor Ogg nor H.264"))
    }

    /// Sets how long each picture lasts, for H.264; 1/30 s by default.
    #[must_use]
    pub fn with_picture_time(mut self, time: Duration) -> Self {
        if let Reader::AnnexB { picture, .. } = &mut self.reader {
            *picture = time;
        }
        self
    }

    /// The codec of its contents.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The next picture or packet of sound; `None` at the end. What a file that is cut short has is returned.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        match &mut self.reader {
            Reader::Ivf(reader) => reader.next(),
            Reader::Ogg(reader) => reader.next(),
            Reader::AnnexB { reader, picture } => {
                let data = reader.next_picture()?;
                Ok(data.map(|data| Frame { data, duration: *picture }))
            }
        }
    }
}

/// Fills the buffer; `false` if the file ends before.
fn filled(reader: &mut impl std::io::Read, buffer: &mut [u8]) -> Result<bool, Error> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::File(error)),
    }
}
