//! AV1 (RTP Payload Format For AV1).

use super::frame::{Frame, MAX_FRAME, Payload};
use crate::format::{Format, SequenceHeader};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Assembles temporal units.
#[derive(Debug, Default)]
pub struct Av1 {
    timestamp: u32,
    data: Vec<u8>,
    header: Option<SequenceHeader>,
    /// The beginning of an OBU that continues in the next packet.
    fragment: Option<Vec<u8>>,
    begun: bool,
    is_broken: bool,
    /// The newest sequence header.
    known: Option<SequenceHeader>,
}

impl Av1 {
    pub(super) fn push(&mut self, payload: &Payload<'_>, frames: &mut Vec<Frame>) {
        if !self.begun || self.timestamp != payload.timestamp {
            self.finish(frames);
            self.begin(payload.timestamp);
        }
        if self.units(payload.bytes).is_none() {
            self.is_broken = true;
            self.fragment = None;
        }
        if payload.marker {
            self.finish(frames);
        }
    }

    pub(super) fn reset(&mut self) {
        self.fragment = None;
        self.is_broken = true;
    }

    fn begin(&mut self, timestamp: u32) {
        self.timestamp = timestamp;
        self.data.clear();
        self.header = None;
        self.fragment = None;
        self.begun = true;
        self.is_broken = false;
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) {
        let is_whole = std::mem::take(&mut self.begun) && !self.is_broken && self.fragment.is_none();
        if is_whole && !self.data.is_empty() {
            let format = self.header.take().map(Format::Av1);
            frames.push(Frame { timestamp: self.timestamp, data: std::mem::take(&mut self.data), format });
        }
    }

    /// Processes the OBU elements of a payload (section 4.3); `None` if the payload is malformed.
    fn units(&mut self, payload: &[u8]) -> Option<()> {
        let (&aggregation, mut rest) = payload.split_first()?;
        let (continues, is_continued) = (aggregation & 0x80 != 0, aggregation & 0x40 != 0);
        let count = usize::from(aggregation >> 4 & 3);
        let mut at = 0;
        if !continues && self.fragment.is_some() {
            return None;
        }
        while !rest.is_empty() {
            at += 1;
            // With an element count, the last element has no length.
            let (element, tail) = if at == count {
                (rest, [].as_slice())
            } else {
                let (len, tail) = leb128(rest)?;
                tail.split_at_checked(len)?
            };
            rest = tail;
            let mut unit = if at == 1 && continues { self.fragment.take()? } else { Vec::new() };
            (unit.len() + element.len() <= MAX_FRAME).then_some(())?;
            unit.extend_from_slice(element);
            if rest.is_empty() && is_continued {
                self.fragment = Some(unit);
            } else {
                self.unit(&unit)?;
            }
        }
        Some(())
    }

    /// Appends an OBU with a size field, as containers require.
    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        let (&header, mut rest) = unit.split_first()?;
        let extension = if header & 0x04 != 0 {
            let (&extension, tail) = rest.split_first()?;
            rest = tail;
            Some(extension)
        } else {
            None
        };
        let body = if header & 0x02 != 0 {
            let (len, tail) = leb128(rest)?;
            tail.get(..len)?
        } else {
            rest
        };
        let kind = header >> 3 & 0x0f;
        if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            return Some(());
        }
        (self.data.len() + body.len() + 12 <= MAX_FRAME).then_some(())?;
        let from = self.data.len();
        self.data.push(header | 0x02);
        self.data.extend(extension);
        write_leb128(&mut self.data, body.len());
        self.data.extend_from_slice(body);
        if kind == SEQUENCE_HEADER {
            let obu = self.data.get(from..)?.to_vec();
            // An unchanged sequence header is not parsed again for each key frame.
            let header = match &self.known {
                Some(known) if known.obu == obu => known.clone(),
                _ => SequenceHeader::parse(body, obu)?,
            };
            self.known = Some(header.clone());
            self.header = Some(header);
        }
        Some(())
    }
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (at, &byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

fn write_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::sequence;

    fn push(av1: &mut Av1, timestamp: u32, marker: bool, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        av1.push(&Payload { timestamp, marker, bytes }, &mut frames);
        frames
    }

    #[test]
    fn units_get_their_sizes() {
        let mut av1 = Av1::default();
        let sequence = sequence(640, 360);
        // A delimiter, a sequence header with a length before it, and the last unit without one.
        let mut packet = vec![0x08 | 3 << 4, 1, 0x10, u8::try_from(sequence.len() + 1).unwrap(), 0x08];
        packet.extend(&sequence);
        packet.extend([0x30, 1, 2]);
        let frames = push(&mut av1, 9, true, &packet);
        let mut expected = vec![0x0a, u8::try_from(sequence.len()).unwrap()];
        expected.extend(&sequence);
        assert_eq!(frames[0].format.as_ref().map(Format::size), Some((640, 360)));
        let Some(Format::Av1(header)) = &frames[0].format else { panic!("{frames:?}") };
        assert_eq!(header.obu, expected);
        expected.extend([0x32, 2, 1, 2]);
        assert_eq!(frames[0].data, expected);
    }

    #[test]
    fn a_unit_over_three_packets() {
        let mut av1 = Av1::default();
        assert_eq!(push(&mut av1, 1, false, &[0x50, 0x30, 1]), []);
        assert_eq!(push(&mut av1, 1, false, &[0xd0, 2]), []);
        let frames = push(&mut av1, 1, true, &[0x90, 3]);
        assert_eq!(frames, [Frame { timestamp: 1, data: vec![0x32, 3, 1, 2, 3], format: None }]);
    }

    #[test]
    fn what_is_incomplete_is_left_out() {
        let mut av1 = Av1::default();
        assert_eq!(push(&mut av1, 1, true, &[0x90, 3]), [], "a continuation of nothing");
        push(&mut av1, 2, false, &[0x50, 0x30, 1]);
        assert_eq!(push(&mut av1, 2, true, &[0x10, 0x30, 3]), [], "an end is missing");
        push(&mut av1, 3, false, &[0x10, 0x30, 1]);
        av1.reset();
        assert_eq!(push(&mut av1, 3, true, &[0x10, 0x30, 1]), [], "a hole");
        assert_eq!(push(&mut av1, 4, true, &[0x10, 0x30, 1]).len(), 1);
    }
}
