//! AV1 (RTP Payload Format For AV1).

use super::{Format, Frame, MAX_FRAME, Payload};
use crate::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// A sequence header and its parsed fields (AV1 bitstream section 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// The complete OBU, including its size field.
    pub obu: Vec<u8>,
    /// `seq_profile`
    pub profile: u8,
    /// `seq_level_idx[0]`
    pub level: u8,
    /// `seq_tier[0]`
    pub high_tier: bool,
    /// The bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Whether there are no chroma planes.
    pub monochrome: bool,
    /// Whether chroma is halved horizontally and vertically.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`
    pub chroma_position: u8,
    /// The maximum width and height in pixels.
    pub size: (u16, u16),
}

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
                _ => read_sequence_header(body, obu)?,
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

fn read_sequence_header(body: &[u8], obu: Vec<u8>) -> Option<SequenceHeader> {
    let mut bits = Bits::new(body);
    let profile = u8::try_from(bits.take(3)?).ok()?;
    bits.skip(1)?;
    let reduced = bits.bit()?;
    let (mut level, mut high_tier) = (0, false);
    if reduced {
        level = u8::try_from(bits.take(5)?).ok()?;
    } else {
        let mut delay_bits = None;
        if bits.bit()? {
            // Timing information.
            bits.skip(64)?;
            if bits.bit()? {
                bits.golomb()?;
            }
            if bits.bit()? {
                delay_bits = Some(bits.take(5)? + 1);
                bits.skip(32 + 5 + 5)?;
            }
        }
        let has_display_delay = bits.bit()?;
        for point in 0..=bits.take(5)? {
            bits.skip(12)?;
            let point_level = u8::try_from(bits.take(5)?).ok()?;
            let point_tier = point_level > 7 && bits.bit()?;
            if point == 0 {
                (level, high_tier) = (point_level, point_tier);
            }
            if let Some(delay_bits) = delay_bits
                && bits.bit()?
            {
                bits.skip(2 * delay_bits + 1)?;
            }
            if has_display_delay && bits.bit()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    let size =
        (u16::try_from(bits.take(width_bits)? + 1).ok()?, u16::try_from(bits.take(height_bits)? + 1).ok()?);
    if !reduced && bits.bit()? {
        // Frame ids.
        bits.skip(4 + 3)?;
    }
    bits.skip(3)?;
    if !reduced {
        bits.skip(4)?;
        let order_hint = bits.bit()?;
        if order_hint {
            bits.skip(2)?;
        }
        let screen_content = if bits.bit()? { 2 } else { bits.take(1)? };
        if screen_content > 0 && !bits.bit()? {
            bits.skip(1)?;
        }
        if order_hint {
            bits.skip(3)?;
        }
    }
    bits.skip(3)?;
    // Color configuration (section 5.5.2).
    let high = bits.bit()?;
    let bit_depth = match high {
        true if profile == 2 && bits.bit()? => 12,
        true => 10,
        false => 8,
    };
    let monochrome = profile != 1 && bits.bit()?;
    let mut is_rgb = false;
    if bits.bit()? {
        let (primaries, transfer, matrix) = (bits.take(8)?, bits.take(8)?, bits.take(8)?);
        is_rgb = (primaries, transfer, matrix) == (1, 13, 0);
    }
    let (mut subsampling, mut chroma_position) = ((true, true), 0);
    if is_rgb {
        subsampling = (false, false);
    } else if !monochrome {
        bits.skip(1)?;
        subsampling = match profile {
            0 => (true, true),
            1 => (false, false),
            _ if bit_depth == 12 => {
                let x = bits.bit()?;
                (x, x && bits.bit()?)
            }
            _ => (true, false),
        };
        if subsampling == (true, true) {
            chroma_position = u8::try_from(bits.take(2)?).ok()?;
        }
    }
    Some(SequenceHeader {
        obu,
        profile,
        level,
        high_tier,
        bit_depth,
        monochrome,
        subsampling,
        chroma_position,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(av1: &mut Av1, timestamp: u32, marker: bool, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        av1.push(&Payload { timestamp, marker, bytes }, &mut frames);
        frames
    }

    /// Writes a full (not reduced) header bit by bit, so that the parser is tested against the
    /// order in the specification.
    fn sequence(width: u32, height: u32) -> Vec<u8> {
        let mut text = String::new();
        let mut put = |value: u32, bits: usize| text = format!("{text}{value:0bits$b}");
        // Profile, still, reduced; no timing, no display delay, one point, its idc, level 8 (with a tier).
        for (value, bits) in [(0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), (0, 12), (8, 5), (1, 1)] {
            put(value, bits);
        }
        // Widths, no ids, three tools, four tools, order hint with two, screen content chosen, integer
        // vectors chosen, three bits.
        for (value, bits) in [
            (15, 4),
            (15, 4),
            (width - 1, 16),
            (height - 1, 16),
            (0, 1),
            (0, 3),
            (0, 4),
            (1, 1),
            (0, 2),
            (1, 1),
            (1, 1),
            (6, 3),
        ] {
            put(value, bits);
        }
        // Three tools; 8 bits, color, no description, range, chroma position 2, no separate delta, no grain, end.
        for (value, bits) in [(0, 3), (0, 1), (0, 1), (0, 1), (1, 1), (2, 2), (0, 1), (0, 1), (1, 1)] {
            put(value, bits);
        }
        text.as_bytes()
            .chunks(8)
            .map(|byte| {
                u8::from_str_radix(&format!("{:0<8}", std::str::from_utf8(byte).unwrap()), 2).unwrap()
            })
            .collect()
    }

    #[test]
    fn reads_a_sequence_header() {
        let header = read_sequence_header(&sequence(1_280, 720), vec![]).unwrap();
        assert_eq!((header.size, header.level, header.high_tier), ((1_280, 720), 8, true));
        assert_eq!((header.bit_depth, header.subsampling, header.chroma_position), (8, (true, true), 2));
        for len in 0..10 {
            assert_eq!(read_sequence_header(&sequence(1_280, 720)[..len], vec![]), None);
        }
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
