//! WebM: a segment of unknown size until the end of the recording, with one or more clusters per fragment.

use super::ebml::{UNKNOWN_SIZE, element, float, id, nested, uint, wide_size};
use super::{ContainerError, HEAD_LEN, Head, Lane, Sample};
use crate::format::{Format, SequenceHeader};

const EBML: u32 = 0x1a45_dfa3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const INFO: u32 = 0x1549_a966;
pub(super) const TRACKS: u32 = 0x1654_ae6b;
pub(super) const VIDEO: u32 = 0xe0;
pub(super) const PIXEL_WIDTH: u32 = 0xb0;
pub(super) const PIXEL_HEIGHT: u32 = 0xba;
pub(super) const CLUSTER: u32 = 0x1f43_b675;
pub(super) const TIMESTAMP: u32 = 0xe7;
pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
const CUES: u32 = 0x1c53_bb6b;
const VOID: u32 = 0xec;
/// The length of the segment's size field.
const SEGMENT_SIZE_LEN: usize = 8;

/// Writes the clusters of one file.
#[derive(Debug, Default)]
pub struct WebM {
    /// The number of bytes of the clusters so far.
    written: u64,
    /// The positions at which decoding can start: milliseconds, and the cluster's position in the file.
    cues: Vec<(u64, u64)>,
    /// The position of the cues in the file, once they are written, and the end of the segment.
    end: Option<(u64, u64)>,
}

impl WebM {
    pub(super) fn head(&self, head: &Head) -> Result<Vec<u8>, ContainerError> {
        let mut out = ebml_header();
        id(&mut out, SEGMENT);
        let content = (out.len() + SEGMENT_SIZE_LEN) as u64;
        match self.end {
            Some((_, end)) => out.extend(wide_size(end.saturating_sub(content))),
            None => out.extend(UNKNOWN_SIZE),
        }
        if let Some((cues, _)) = self.end {
            seek_head(&mut out, cues.saturating_sub(content));
        }
        nested(&mut out, INFO, |info| {
            uint(info, 0x2a_d7b1, 1_000_000);
            if let Some(duration) = head.duration {
                float(info, 0x4489, duration.as_secs_f64() * 1_000.0);
            }
            // Nanoseconds since 2001.
            let date = i64::try_from(head.began_at).unwrap_or(i64::MAX).saturating_sub(978_307_200);
            element(info, 0x4461, &date.saturating_mul(1_000_000_000).to_be_bytes());
            element(info, 0x4d80, b"visavis");
            element(info, 0x5741, b"visavis");
        });
        nested(&mut out, TRACKS, |tracks| {
            if let Some(format) = &head.video {
                nested(tracks, 0xae, |entry| video_entry(entry, format, head.size));
            }
            if head.audio {
                nested(tracks, 0xae, audio_entry);
            }
        });
        // The rest is a Void element: an id, a size of eight bytes, and zeros.
        let room = HEAD_LEN.checked_sub(out.len() + 9).ok_or(ContainerError::HeadTooLarge)?;
        id(&mut out, VOID);
        out.extend(wide_size(room as u64));
        out.resize(HEAD_LEN, 0);
        Ok(out)
    }

    pub(super) fn fragment(&mut self, video: &[Sample], audio: &[Sample]) -> Vec<u8> {
        let mut blocks: Vec<(u64, Lane, &Sample)> = video
            .iter()
            .map(|sample| (Lane::Video, sample))
            .chain(audio.iter().map(|sample| (Lane::Audio, sample)))
            .map(|(lane, sample)| (millis(lane, sample.time), lane, sample))
            .collect();
        blocks.sort_by_key(|(at, ..)| *at);
        let mut out = Vec::new();
        let mut rest = blocks.as_slice();
        // A block stores its offset from the cluster in 16 bits, so a long pause starts another cluster.
        while let Some((start, ..)) = rest.first() {
            let fitting = rest.iter().take_while(|(at, ..)| at - start <= 30_000).count();
            let (blocks, tail) = rest.split_at(fitting);
            rest = tail;
            let place = HEAD_LEN as u64 + self.written + out.len() as u64;
            if let Some((at, ..)) =
                blocks.iter().find(|(_, lane, sample)| *lane == Lane::Video && sample.is_key)
            {
                self.cues.push((*at, place));
            }
            nested(&mut out, CLUSTER, |cluster| {
                uint(cluster, TIMESTAMP, *start);
                for (at, lane, sample) in blocks {
                    simple_block(cluster, at - start, *lane, sample);
                }
            });
        }
        self.written += out.len() as u64;
        out
    }

    pub(super) fn tail(&mut self) -> Vec<u8> {
        let content = segment_content();
        let mut out = Vec::new();
        nested(&mut out, CUES, |cues| {
            for (at, place) in &self.cues {
                nested(cues, 0xbb, |point| {
                    uint(point, 0xb3, *at);
                    nested(point, 0xb7, |positions| {
                        uint(positions, 0xf7, u64::from(Lane::Video.number()));
                        uint(positions, 0xf1, place.saturating_sub(content));
                    });
                });
            }
        });
        if self.cues.is_empty() {
            out.clear();
        } else {
            let at = HEAD_LEN as u64 + self.written;
            self.end = Some((at, at + out.len() as u64));
        }
        out
    }
}

/// The position of the segment's content in the file, to which its positions are relative.
fn segment_content() -> u64 {
    (ebml_header().len() + 4 + SEGMENT_SIZE_LEN) as u64
}

fn ebml_header() -> Vec<u8> {
    let mut out = Vec::new();
    nested(&mut out, EBML, |header| {
        uint(header, 0x4286, 1);
        uint(header, 0x42f7, 1);
        uint(header, 0x42f2, 4);
        uint(header, 0x42f3, 8);
        element(header, 0x4282, b"webm");
        uint(header, 0x4287, 4);
        uint(header, 0x4285, 2);
    });
    out
}

fn seek_head(out: &mut Vec<u8>, cues: u64) {
    nested(out, SEEK_HEAD, |head| {
        nested(head, SEEK, |seek| {
            element(seek, 0x53ab, &CUES.to_be_bytes());
            element(seek, 0x53ac, &cues.to_be_bytes());
        });
    });
}

fn video_entry(entry: &mut Vec<u8>, format: &Format, (width, height): (u16, u16)) {
    entry_head(entry, Lane::Video, 1);
    let codec: &[u8] = match format {
        Format::Vp9(_) => b"V_VP9",
        Format::Av1(_) => b"V_AV1",
        _ => b"V_VP8",
    };
    element(entry, 0x86, codec);
    if let Format::Av1(header) = format {
        element(entry, 0x63a2, &av1_configuration(header));
    }
    nested(entry, VIDEO, |video| {
        uint(video, PIXEL_WIDTH, width.into());
        uint(video, PIXEL_HEIGHT, height.into());
    });
}

/// The `av1C` box of MP4, which Matroska uses unchanged.
fn av1_configuration(header: &SequenceHeader) -> Vec<u8> {
    let bit = |on: bool, place: u8| u8::from(on) << place;
    let samples = bit(header.high_tier, 7)
        | bit(header.bit_depth > 8, 6)
        | bit(header.bit_depth == 12, 5)
        | bit(header.monochrome, 4)
        | bit(header.subsampling.0, 3)
        | bit(header.subsampling.1, 2)
        | header.chroma_position & 3;
    let mut out = vec![0x81, header.profile << 5 | header.level & 0x1f, samples, 0];
    out.extend_from_slice(&header.obu);
    out
}

fn audio_entry(entry: &mut Vec<u8>) {
    entry_head(entry, Lane::Audio, 2);
    element(entry, 0x86, b"A_OPUS");
    // A player decodes from 80 ms before the position that it seeks to, so that the decoder has converged.
    uint(entry, 0x56aa, 0);
    uint(entry, 0x56bb, 80_000_000);
    // The identification header (RFC 7845 section 5.1): two channels, no pre-skip, 48 kHz, no gain, mapping family 0.
    let mut opus_head = b"OpusHead".to_vec();
    opus_head.extend([1, 2, 0, 0]);
    opus_head.extend(48_000_u32.to_le_bytes());
    opus_head.extend([0, 0, 0]);
    element(entry, 0x63a2, &opus_head);
    nested(entry, 0xe1, |audio| {
        float(audio, 0xb5, 48_000.0);
        uint(audio, 0x9f, 2);
    });
}

fn entry_head(entry: &mut Vec<u8>, lane: Lane, kind: u64) {
    uint(entry, 0xd7, lane.number().into());
    uint(entry, 0x73c5, lane.number().into());
    uint(entry, 0x83, kind);
    uint(entry, 0x9c, 0);
}

fn millis(lane: Lane, time: u64) -> u64 {
    let scale = u64::from(lane.timescale());
    (time * 1_000 + scale / 2) / scale
}

fn simple_block(cluster: &mut Vec<u8>, distance: u64, lane: Lane, sample: &Sample) {
    let mut block = Vec::with_capacity(sample.data.len() + 4);
    block.push(0x80 | u8::try_from(lane.number()).unwrap_or(0));
    block.extend(i16::try_from(distance).unwrap_or(i16::MAX).to_be_bytes());
    block.push(if sample.is_key { 0x80 } else { 0 });
    block.extend_from_slice(&sample.data);
    element(cluster, SIMPLE_BLOCK, &block);
}
