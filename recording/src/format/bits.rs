//! Reads the bits of codec headers, most significant bit first.

/// Reads bits from a slice. Every read beyond its end returns `None`.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Reads at most 32 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// An unsigned Exp-Golomb number (H.264 section 9.1), also AV1's `uvlc`.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        Some((1_u32 << zeros) - 1 + rest)
    }

    /// A signed Exp-Golomb number (H.264 section 9.1.1).
    pub(crate) fn signed_golomb(&mut self) -> Option<i32> {
        let coded = i64::from(self.golomb()?);
        let magnitude = (coded + 1) / 2;
        i32::try_from(if coded % 2 == 0 { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_of_all_kinds() {
        // 1 | 010 | 011 | 00100 | 1010 | end
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_1010]);
        assert_eq!(
            (bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()),
            (Some(0), Some(1), Some(2), Some(3))
        );
        assert_eq!(bits.take(4), Some(0b1010));
        assert_eq!(bits.bit(), None);
        let signed: Vec<_> = (0..5)
            .scan(Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]), |bits, _| bits.signed_golomb())
            .collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
        assert_eq!(Bits::new(&[0; 20]).golomb(), None);
    }
}
