//! The stream parameters of VP9.

use super::bits::Bits;

/// The stream parameters in a VP9 key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Format {
    /// The profile, 0 to 3.
    pub profile: u8,
    /// The bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// The chroma subsampling as in `vpcC`: 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4.
    pub subsampling: u8,
    /// Whether samples use the full range.
    pub full_range: bool,
    /// The width and height in pixels.
    pub size: (u16, u16),
}

impl Vp9Format {
    /// Parses the uncompressed header of a key frame (VP9 bitstream, section 6.2).
    pub(crate) fn of_key_frame(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        (bits.take(2)? == 2).then_some(())?;
        let low = bits.take(1)?;
        let profile = u8::try_from(bits.take(1)? << 1 | low).ok()?;
        if profile == 3 {
            bits.skip(1)?;
        }
        let shows_existing = bits.bit()?;
        let is_inter = bits.bit()?;
        bits.skip(2)?;
        if shows_existing || is_inter || bits.take(24)? != 0x49_8342 {
            return None;
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if bits.bit()? => 12,
            _ => 10,
        };
        let color_space = bits.take(3)?;
        let (full_range, subsampling) = if color_space == 7 {
            // RGB.
            (true, 3)
        } else {
            let full_range = bits.bit()?;
            let subsampling = if profile & 1 == 1 {
                let (x, y) = (bits.bit()?, bits.bit()?);
                bits.skip(1)?;
                match (x, y) {
                    (true, true) => 1,
                    (true, false) => 2,
                    _ => 3,
                }
            } else {
                1
            };
            (full_range, subsampling)
        };
        if color_space == 7 && profile & 1 == 1 {
            bits.skip(1)?;
        }
        let width = u16::try_from(bits.take(16)? + 1).ok()?;
        let height = u16::try_from(bits.take(16)? + 1).ok()?;
        Some(Self { profile, bit_depth, subsampling, full_range, size: (width, height) })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    /// Profile 0, key frame, 640x360.
    pub(crate) const VP9_KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70, 0x00];
}

#[cfg(test)]
mod tests {
    use super::testing::VP9_KEY;
    use super::*;

    #[test]
    fn reads_a_key_frame() {
        let format = Vp9Format::of_key_frame(&VP9_KEY).unwrap();
        assert_eq!(
            (format.profile, format.bit_depth, format.subsampling, format.size),
            (0, 8, 1, (640, 360))
        );
        assert_eq!(Vp9Format::of_key_frame(&[0x86, 0, 0, 0]), None, "an inter frame");
    }
}
