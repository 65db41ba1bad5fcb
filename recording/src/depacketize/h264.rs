//! H.264 (RFC 6184), non-interleaved mode.

use super::frame::{Frame, MAX_FRAME, Payload};
use crate::format::{Format, ParameterSets, append_unit, pps_id, read_sps, sps_id};

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Maximum number of parameter sets kept of each kind.
const MAX_SETS: usize = 16;

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
                let id = pps_id(unit)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::SPS_640X360;

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
