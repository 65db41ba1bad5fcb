//! The parameter sets of H.264.

use super::bits::Bits;

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

/// Appends a NAL unit preceded by its length in four bytes.
pub(crate) fn append_unit(out: &mut Vec<u8>, unit: &[u8]) {
    out.extend(u32::try_from(unit.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(unit);
}

/// The id of a sequence parameter set (H.264 section 7.3.2.1.1).
pub(crate) fn sps_id(unit: &[u8]) -> Option<u32> {
    let plain = without_emulation(unit.get(4..)?);
    Bits::new(&plain).golomb()
}

/// The id of a picture parameter set (H.264 section 7.3.2.2).
pub(crate) fn pps_id(unit: &[u8]) -> Option<u32> {
    Bits::new(unit.get(1..)?).golomb()
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
pub(crate) fn read_sps(unit: &[u8]) -> Option<((u16, u16), (u8, u8, u8))> {
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
pub(crate) mod testing {
    /// Constrained Baseline, 640x360: 23 rows of macroblocks, cropped by 8.
    pub(crate) const SPS_640X360: [u8; 15] =
        [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00];
}

#[cfg(test)]
mod tests {
    use super::testing::SPS_640X360;
    use super::*;

    #[test]
    fn reads_the_size() {
        let (size, samples) = read_sps(&SPS_640X360).unwrap();
        assert_eq!((size, samples), ((640, 360), (1, 8, 8)));
        for len in 0..8 {
            assert_eq!(read_sps(&SPS_640X360[..len]), None);
        }
    }
}
