//! Measures an unfinished file: its duration, and the length of its complete fragments.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use mp4_atom::{Decode, Moof};

use super::ebml::read_vint;
use super::webm::{CLUSTER, PIXEL_HEIGHT, PIXEL_WIDTH, SEGMENT, SIMPLE_BLOCK, TIMESTAMP, TRACKS, VIDEO};
use super::{Container, HEAD_LEN, Lane};

/// The largest fragment that is accepted as one of this crate.
const MAX_FRAGMENT: u64 = 256 << 20;

/// The measurements of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The end of the last frame in a complete fragment.
    pub duration: Duration,
    /// The number of bytes up to the end of the last complete fragment.
    pub whole: u64,
}

/// Reads the headers of all fragments of a file written by this crate.
pub fn measure(container: Container, file: &mut (impl Read + Seek)) -> io::Result<Measured> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut at = HEAD_LEN as u64;
    let mut measured = Measured { duration: Duration::ZERO, whole: at.min(len) };
    while at < len {
        let fragment = match container {
            Container::Mp4 => mp4_fragment(file, at)?,
            Container::WebM => cluster(file, at)?,
        };
        let Some((end, until)) = fragment.filter(|(end, _)| *end <= len) else { break };
        measured.duration = measured.duration.max(until);
        measured.whole = end;
        at = end;
    }
    Ok(measured)
}

/// The width and height of the largest picture in a WebM file of this crate, from its head.
pub fn picture_size(file: &mut (impl Read + Seek)) -> io::Result<Option<(u16, u16)>> {
    let Some(head) = read_at(file, 0, HEAD_LEN as u64)? else { return Ok(None) };
    let within =
        |bytes, id| children(bytes).find(|(known, _)| *known == u64::from(id)).map(|(_, content)| content);
    let number = |bytes: &[u8]| {
        bytes.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte)).try_into().ok()
    };
    let found = within(&head, SEGMENT).and_then(|segment| within(segment, TRACKS)).and_then(|tracks| {
        let video = children(tracks).find_map(|(_, entry)| within(entry, VIDEO))?;
        Some((number(within(video, PIXEL_WIDTH)?)?, number(within(video, PIXEL_HEIGHT)?)?))
    });
    Ok(found)
}

/// Iterates over the sibling elements in `bytes` with their content, as far as that is present.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let (id, id_len) = read_vint(bytes, true)?;
        let rest = bytes.get(id_len..)?;
        let (size, size_len) = read_vint(rest, false)?;
        let content = rest.get(size_len..)?;
        let len = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX).min(content.len());
        let (content, tail) = content.split_at(len);
        bytes = tail;
        Some((id?, content))
    })
}

/// The end of the fragment at `at`, in bytes and in time.
fn mp4_fragment(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<(u64, Duration)>> {
    let Some((kind, moof_len)) = box_header(file, at)? else { return Ok(None) };
    if &kind != b"moof" {
        return Ok(None);
    }
    let Some(moof) = read_at(file, at, moof_len)? else { return Ok(None) };
    let Some((kind, mdat_len)) = box_header(file, at + moof_len)? else { return Ok(None) };
    let Ok(moof) = Moof::decode(&mut moof.as_slice()) else { return Ok(None) };
    if &kind != b"mdat" {
        return Ok(None);
    }
    let until = moof.traf.iter().filter_map(|traf| {
        let lane = [Lane::Video, Lane::Audio].into_iter().find(|lane| lane.number() == traf.tfhd.track_id)?;
        let samples = traf.trun.iter().flat_map(|trun| trun.samples.iter());
        let ticks: u64 = samples.map(|sample| u64::from(sample.duration.unwrap_or(0))).sum();
        Some(ticks_to_duration(lane, traf.tfdt.as_ref()?.base_media_decode_time + ticks))
    });
    Ok(Some((at + moof_len + mdat_len, until.max().unwrap_or_default())))
}

fn ticks_to_duration(lane: Lane, ticks: u64) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(lane.timescale());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn box_header(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<([u8; 4], u64)>> {
    let Some(header) = read_at(file, at, 8)? else { return Ok(None) };
    let Some((len, kind)) = header.split_first_chunk::<4>() else { return Ok(None) };
    let len = u64::from(u32::from_be_bytes(*len));
    Ok(kind.try_into().ok().filter(|_| len >= 8).map(|kind| (kind, len)))
}

/// Reads `len` bytes; `None` if the file ends before, or if `len` exceeds the largest fragment.
fn read_at(file: &mut (impl Read + Seek), at: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    if len > MAX_FRAGMENT {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.by_ref().take(len).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == len).then_some(bytes))
}

/// The end of the cluster at `at`, in bytes and in time.
fn cluster(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<(u64, Duration)>> {
    file.seek(SeekFrom::Start(at))?;
    let mut head = Vec::new();
    file.by_ref().take(12).read_to_end(&mut head)?;
    let Some((id, size, head_len)) = element_head(&head) else { return Ok(None) };
    if id != u64::from(CLUSTER) {
        return Ok(None);
    }
    let Some(body) = read_at(file, at + head_len as u64, size)? else { return Ok(None) };
    let (mut start, mut last) = (0, 0);
    let mut rest = body.as_slice();
    while let Some((id, size, head_len)) = element_head(rest) {
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(content) = rest.get(head_len..).and_then(|rest| rest.get(..len)) else { break };
        if id == u64::from(TIMESTAMP) {
            start = content.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        } else if id == u64::from(SIMPLE_BLOCK)
            && let &[_, high, low, ..] = content
        {
            last = last.max(u64::from(u16::from_be_bytes([high, low])));
        }
        rest = rest.get(head_len + len..).unwrap_or_default();
    }
    // A block has no duration; 20 ms is about that of an audio packet or a picture.
    let until = Duration::from_millis(start.saturating_add(last).saturating_add(20));
    Ok(Some((at + head_len as u64 + size, until)))
}

/// The id, the size, and the length of both.
fn element_head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (id, id_len) = read_vint(bytes, true)?;
    let (size, size_len) = read_vint(bytes.get(id_len..)?, false)?;
    Some((id?, size?, id_len + size_len))
}
