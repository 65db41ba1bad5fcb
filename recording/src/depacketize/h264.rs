//! H.264 (RFC 6184), non-interleaved mode.

use super::{Format, Frame, MAX_FRAME, Payload};
use crate::bits::Bits;

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Maximum number of parameter sets kept of each kind.
const MAX_SETS: usize = 16;

/// The parameter sets of a key frame and their parsed fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    /// The sequence parameter sets, including the NAL header.
    pub sps: Vec<Vec<u8>>,
    /// The picture parameter sets, including the NAL header.
    pub pps: Vec<Vec<u8>>,
    /// The cropped width and height in pixels.
    pub size: (u16, u16),
    /// `chroma_format_idc`, and the bit depths of luma and chroma.
    pub samples: (u8, u8, u8),
}

impl ParameterSets {
    /// The parameter sets as part of a frame, each preceded by its length.
    pub fn in_band(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in self.sps.iter().chain(&self.pps) {
            append_unit(&mut out, unit);
        }
        out
    }
}

/// Assembles access units.
#[derive(Debug, Default)]
pub struct H264 {
    /// The newest parameter sets, by id.
    sps: Vec<(u32, Vec<u8>)>,
    pps: Vec<(u32, Vec<u8>)>,
    current: Option<AccessUnit>,
    /// The fragments of a NAL unit received so far.
    fragments: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct AccessUnit {
    timestamp: u32,
    data: Vec<u8>,
    is_key: bool,
    is_broken: bool,
}

impl H264 {
    pub(super) fn push(&mut self, payload: &Payload<'_>, frames: &mut Vec<Frame>) {
        // A picture whose last packet has no marker ends at the start of the next one.
        if self.current.as_ref().is_some_and(|unit| unit.timestamp != payload.timestamp) {
            self.finish(frames);
        }
        self.current
            .get_or_insert_with(|| AccessUnit { timestamp: payload.timestamp, ..AccessUnit::default() });
        if self.units(payload.bytes).is_none()
            && let Some(current) = &mut self.current
        {
            current.is_broken = true;
        }
        if payload.marker {
            self.finish(frames);
        }
    }

    pub(super) fn reset(&mut self) {
        self.fragments = None;
        // The rest of a picture with a gap cannot be decoded.
        if let Some(current) = &mut self.current {
            current.is_broken = true;
        }
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) {
        self.fragments = None;
        let Some(unit) = self.current.take() else { return };
        if unit.is_broken || unit.data.is_empty() {
            return;
        }
        let format = if unit.is_key { self.parameter_sets().map(Format::H264) } else { None };
        frames.push(Frame { timestamp: unit.timestamp, data: unit.data, format });
    }

    fn parameter_sets(&self) -> Option<ParameterSets> {
        let newest = &self.sps.last()?.1;
        let (size, samples) = read_sps(newest)?;
        let plain = |sets: &[(u32, Vec<u8>)]| sets.iter().map(|(_, set)| set.clone()).collect::<Vec<_>>();
        let (sps, pps) = (plain(&self.sps), plain(&self.pps));
        (!pps.is_empty()).then_some(ParameterSets { sps, pps, size, samples })
    }

    /// Processes the NAL units of a payload; `None` if the payload is malformed.
    fn units(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, rest) = payload.split_first()?;
        match header & 0x1f {
            1..=23 => self.unit(payload),
            STAP_A => {
                let mut rest = rest;
                while !rest.is_empty() {
                    let (len, tail) = rest.split_first_chunk::<2>()?;
                    let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                    self.unit(unit)?;
                    rest = tail;
                }
                Some(())
            }
            FU_A => {
                let (&fragment, data) = rest.split_first()?;
                if fragment & 0x80 != 0 {
                    self.fragments = Some(vec![header & 0xe0 | fragment & 0x1f]);
                }
                let unit = self.fragments.as_mut()?;
                (unit.len() + data.len() <= MAX_FRAME).then_some(())?;
                unit.extend_from_slice(data);
                if fragment & 0x40 != 0 {
                    let unit = self.fragments.take()?;
                    self.unit(&unit)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        let kind = unit.first()? & 0x1f;
        match kind {
            // Parameter sets are stored in the head of the file or before a key frame.
            SPS => {
                let id = sps_id(unit)?;
                keep(&mut self.sps, id, unit);
            }
            PPS => {
                let id = Bits::new(unit.get(1..)?).golomb()?;
                keep(&mut self.pps, id, unit);
            }
            // Containers delimit frames themselves.
            DELIMITER => {}
            _ => {
                let current = self.current.as_mut()?;
                (current.data.len() + unit.len() <= MAX_FRAME).then_some(())?;
                current.is_key |= kind == IDR;
                append_unit(&mut current.data, unit);
            }
        }
        Some(())
    }
}

fn append_unit(out: &mut Vec<u8>, unit: &[u8]) {
    out.extend(u32::try_from(unit.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(unit);
}

/// Stores a parameter set as the newest one, in place of the one with the same id.
fn keep(sets: &mut Vec<(u32, Vec<u8>)>, id: u32, set: &[u8]) {
    if sets.iter().any(|(known, kept)| *known == id && kept == set) {
        return;
    }
    sets.retain(|(known, _)| *known != id);
    if sets.len() >= MAX_SETS {
        sets.remove(0);
    }
    sets.push((id, set.to_vec()));
}

fn sps_id(unit: &[u8]) -> Option<u32> {
    let plain = without_emulation(unit.get(4..)?);
    Bits::new(&plain).golomb()
}

/// Removes the emulation prevention bytes (H.264 section 7.4.1).
fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The size in pixels, and the chroma format and bit depths, of a sequence parameter set (H.264 section 7.3.2.1.1).
#[allow(clippy::type_complexity, reason = "two facts of one header")]
fn read_sps(unit: &[u8]) -> Option<((u16, u16), (u8, u8, u8))> {
    let profile = *unit.get(1)?;
    let plain = without_emulation(unit.get(4..)?);
    let mut bits = Bits::new(&plain);
    bits.golomb()?;
    let mut samples = (1, 8, 8);
    let mut separate_planes = false;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        let chroma = bits.golomb()?;
        if chroma == 3 {
            separate_planes = bits.bit()?;
        }
        let (luma, other) = (bits.golomb()? + 8, bits.golomb()? + 8);
        samples = (u8::try_from(chroma).ok()?, u8::try_from(luma).ok()?, u8::try_from(other).ok()?);
        bits.skip(1)?;
        if bits.bit()? {
            for list in 0..(if chroma == 3 { 12 } else { 8 }) {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.skip(1)?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.golomb()?.checked_add(1)?, bits.golomb()?.checked_add(1)?);
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let crop = if bits.bit()? {
        (bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?)
    } else {
        (0, 0, 0, 0)
    };
    let chroma = if separate_planes { 0 } else { samples.0 };
    let (unit_x, unit_y) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let fields = if frames_only { 1 } else { 2 };
    let width = columns.checked_mul(16)?.checked_sub(crop.0.checked_add(crop.1)?.checked_mul(unit_x)?)?;
    let height = rows
        .checked_mul(16 * fields)?
        .checked_sub(crop.2.checked_add(crop.3)?.checked_mul(unit_y * fields)?)?;
    Some(((u16::try_from(width).ok()?, u16::try_from(height).ok()?), samples))
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.checked_add(bits.signed_golomb()?)?.rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constrained Baseline, 640x360: 23 rows of macroblocks, cropped by 8.
    const SPS_640X360: [u8; 15] =
        [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00];
    const PPS_0: [u8; 4] = [0x68, 0xce, 0x38, 0x80];

    fn push(h264: &mut H264, timestamp: u32, marker: bool, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        h264.push(&Payload { timestamp, marker, bytes }, &mut frames);
        frames
    }

    fn stap(units: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![0x78];
        for unit in units {
            out.extend(u16::try_from(unit.len()).unwrap().to_be_bytes());
            out.extend_from_slice(unit);
        }
        out
    }

    #[test]
    fn reads_the_size() {
        let (size, samples) = read_sps(&SPS_640X360).unwrap();
        assert_eq!((size, samples), ((640, 360), (1, 8, 8)));
        for len in 0..8 {
            assert_eq!(read_sps(&SPS_640X360[..len]), None);
        }
    }

    #[test]
    fn a_key_frame_of_aggregated_sets_and_fragments() {
        let mut h264 = H264::default();
        assert_eq!(push(&mut h264, 1, false, &stap(&[&SPS_640X360, &PPS_0])), []);
        assert_eq!(push(&mut h264, 1, false, &[0x7c, 0x85, 1, 2]), []);
        assert_eq!(push(&mut h264, 1, false, &[0x7c, 0x05, 3]), []);
        let frames = push(&mut h264, 1, true, &[0x7c, 0x45, 4]);
        assert_eq!(frames[0].data, [0, 0, 0, 5, 0x65, 1, 2, 3, 4]);
        let Some(Format::H264(sets)) = &frames[0].format else { panic!("{frames:?}") };
        assert_eq!(
            (sets.sps.as_slice(), sets.pps.as_slice()),
            ([SPS_640X360.to_vec()].as_slice(), [PPS_0.to_vec()].as_slice())
        );
        let frames = push(&mut h264, 2, true, &[0x41, 9]);
        assert_eq!(frames, [Frame { timestamp: 2, data: vec![0, 0, 0, 2, 0x41, 9], format: None }]);
    }

    #[test]
    fn a_changed_set_replaces_the_one_of_its_id() {
        let mut h264 = H264::default();
        let mut smaller = SPS_640X360;
        smaller[5] = 0x04;
        for sps in [SPS_640X360, smaller] {
            push(&mut h264, 1, false, &stap(&[&sps, &PPS_0]));
        }
        let frames = push(&mut h264, 1, true, &[0x65, 1]);
        let Some(Format::H264(sets)) = &frames[0].format else { panic!("{frames:?}") };
        assert_eq!(sets.sps, [smaller.to_vec()]);
    }

    #[test]
    fn what_is_incomplete_is_left_out() {
        let mut h264 = H264::default();
        assert_eq!(push(&mut h264, 1, true, &[0x7c, 0x45, 4]), [], "an end without a beginning");
        assert_eq!(push(&mut h264, 2, true, &[0x78, 0, 9, 0x41]), [], "a length that runs over");
        push(&mut h264, 3, false, &[0x41, 1]);
        h264.reset();
        assert_eq!(push(&mut h264, 3, true, &[0x41, 2]), [], "a hole in it");
        assert_eq!(push(&mut h264, 4, true, &[0x65, 2])[0].format, None, "no sets known");
    }

    #[test]
    fn a_picture_without_a_marker_ends_with_the_next() {
        let mut h264 = H264::default();
        push(&mut h264, 1, false, &[0x41, 1]);
        assert_eq!(push(&mut h264, 2, false, &[0x41, 2])[0].data, [0, 0, 0, 2, 0x41, 1]);
    }
}
