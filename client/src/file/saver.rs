//! Files that received media is saved into.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use rtc::media::io::Writer as _;
use rtc::media::io::h26x_writer::H26xWriter;
use rtc::media::io::ivf_reader::IVFFileHeader;
use rtc::media::io::ivf_writer::IVFWriter;
use rtc::media::io::ogg_writer::OggWriter;

use super::Codec;
use crate::{Error, Received};

/// Writes one track into a file: IVF for VP8, VP9 and AV1, Ogg for Opus, a byte stream for H.264. A file of video begins
/// with a key picture.
pub struct Saver {
    codec: Codec,
    writer: Writer,
    /// Whether a key picture has come.
    has_begun: bool,
    frames: usize,
}

enum Writer {
    Ivf(IVFWriter<BufWriter<File>>),
    Ogg(Box<OggWriter<BufWriter<File>>>),
    AnnexB(H26xWriter<BufWriter<File>>),
}

impl Saver {
    /// Creates the file.
    pub fn create(path: impl AsRef<Path>, codec: Codec) -> Result<Self, Error> {
        let file = BufWriter::new(File::create(path).map_err(Error::File)?);
        let writer = match codec {
            Codec::Opus => Writer::Ogg(Box::new(OggWriter::new(file, 48_000, 2).map_err(written)?)),
            Codec::H264 => Writer::AnnexB(H26xWriter::new(file, false)),
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {
                let four_cc = match codec {
                    Codec::Vp9 => *b"VP90",
                    Codec::Av1 => *b"AV01",
                    _ => *b"VP80",
                };
                let header = IVFFileHeader {
                    signature: *b"DKIF",
                    header_size: 32,
                    four_cc,
                    timebase_denominator: 30,
                    timebase_numerator: 1,
                    ..Default::default()
                };
                Writer::Ivf(IVFWriter::new(file, &header).map_err(written)?)
            }
        };
        Ok(Self { codec, writer, has_begun: false, frames: 0 })
    }

    /// Writes a packet, unless it is of another codec. Packets must come in their order.
    pub fn write(&mut self, received: &Received) -> Result<(), Error> {
        if received.codec != self.codec {
            return Ok(());
        }
        match &mut self.writer {
            Writer::Ivf(writer) => writer.write_rtp(&received.packet).map_err(written)?,
            Writer::Ogg(writer) => writer.write_rtp(&received.packet).map_err(written)?,
            Writer::AnnexB(writer) => writer.write_rtp(&received.packet).map_err(written)?,
        }
        let is_sound = self.codec == Codec::Opus;
        self.has_begun |= is_sound || received.begins_key_picture();
        self.frames += usize::from(self.has_begun && (is_sound || received.packet.header.marker));
        Ok(())
    }

    /// The number of pictures, or packets of sound, that were written.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Completes the file.
    pub fn finish(mut self) -> Result<(), Error> {
        match &mut self.writer {
            Writer::Ivf(writer) => writer.close(),
            Writer::Ogg(writer) => writer.close(),
            Writer::AnnexB(writer) => writer.close(),
        }
        .map_err(written)
    }
}

fn written(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::File(std::io::Error::other(error))
}
