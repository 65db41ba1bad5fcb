//! The sequence header of AV1.

use super::bits::Bits;

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

impl SequenceHeader {
    /// Parses the body of a sequence header OBU; `obu` is the complete OBU. `None` if the bytes end early.
    pub(crate) fn parse(body: &[u8], obu: Vec<u8>) -> Option<Self> {
        let mut bits = Bits::new(body);
        let profile = u8::try_from(bits.take(3)?).ok()?;
        bits.skip(1)?;
        let is_reduced = bits.bit()?;
        let (level, high_tier) = if is_reduced {
            (u8::try_from(bits.take(5)?).ok()?, false)
        } else {
            first_operating_point(&mut bits)?
        };
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let width = u16::try_from(bits.take(width_bits)? + 1).ok()?;
        let height = u16::try_from(bits.take(height_bits)? + 1).ok()?;
        if !is_reduced && bits.bit()? {
            // Frame ids.
            bits.skip(4 + 3)?;
        }
        bits.skip(3)?;
        if !is_reduced {
            skip_tools(&mut bits)?;
        }
        bits.skip(3)?;
        let color = ColorConfig::parse(&mut bits, profile)?;
        Some(Self {
            obu,
            profile,
            level,
            high_tier,
            bit_depth: color.bit_depth,
            monochrome: color.monochrome,
            subsampling: color.subsampling,
            chroma_position: color.chroma_position,
            size: (width, height),
        })
    }
}

/// Reads the timing information and the operating points, and returns the level and the tier of the first point.
fn first_operating_point(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
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
    let mut first = (0, false);
    for point in 0..=bits.take(5)? {
        bits.skip(12)?;
        let level = u8::try_from(bits.take(5)?).ok()?;
        let high_tier = level > 7 && bits.bit()?;
        if point == 0 {
            first = (level, high_tier);
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
    Some(first)
}

/// Skips the coding tools that a reduced header leaves out.
fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
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
    Some(())
}

/// The color configuration (section 5.5.2).
struct ColorConfig {
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    chroma_position: u8,
}

impl ColorConfig {
    fn parse(bits: &mut Bits<'_>, profile: u8) -> Option<Self> {
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
        Some(Self { bit_depth, monochrome, subsampling, chroma_position })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    /// Writes a full (not reduced) header bit by bit, so that the parser is tested against the
    /// order in the specification.
    pub(crate) fn sequence(width: u32, height: u32) -> Vec<u8> {
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
}

#[cfg(test)]
mod tests {
    use super::testing::sequence;
    use super::*;

    #[test]
    fn reads_a_sequence_header() {
        let header = SequenceHeader::parse(&sequence(1_280, 720), vec![]).unwrap();
        assert_eq!((header.size, header.level, header.high_tier), ((1_280, 720), 8, true));
        assert_eq!((header.bit_depth, header.subsampling, header.chroma_position), (8, (true, true), 2));
        for len in 0..10 {
            assert_eq!(SequenceHeader::parse(&sequence(1_280, 720)[..len], vec![]), None);
        }
    }
}
