//! Redundant audio (RFC 2198): each packet repeats the sound of earlier ones, so that a lost packet is not heard. It
//! begins with a header of four bytes for each block of earlier sound and one of a single byte for its own sound, the
//! primary block, which comes last and fills the rest of the packet.

/// The bit of a header that another one follows.
const FOLLOWED: u8 = 0x80;

/// Writes `payload_type` into every block header, because the receiver may use another payload type
/// for Opus than the sender.
pub(crate) fn rename(payload: &mut [u8], payload_type: u8) {
    let mut at = 0;
    while let Some(header) = payload.get_mut(at) {
        let more = *header & FOLLOWED;
        *header = more | payload_type & 0x7f;
        if more == 0 {
            return;
        }
        at += 4;
    }
}

/// The sound of the packet itself, for a receiver without RFC 2198. `None` if the blocks do not fit into the payload or
/// nothing is left after them.
pub(crate) fn primary(payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut repeated = 0;
    loop {
        match rest {
            [first, _, high, low, tail @ ..] if first & FOLLOWED != 0 => {
                repeated += usize::from(high & 3) << 8 | usize::from(*low);
                rest = tail;
            }
            [first, tail @ ..] if first & FOLLOWED == 0 => {
                return tail.get(repeated..).filter(|primary| !primary.is_empty());
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::decimal_bitwise_operands,
        reason = "test code"
    )]

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// A payload of these blocks, of which the last one is the primary.
    fn payload(blocks: &[Vec<u8>]) -> Vec<u8> {
        let Some((primary, earlier)) = blocks.split_last() else { return Vec::new() };
        let mut payload = Vec::new();
        for (block, ago) in earlier.iter().zip((1..=earlier.len()).rev()) {
            let offset = (ago * 960) as u16;
            let len = block.len() as u16;
            payload.extend([
                0x80 | 111,
                (offset >> 6) as u8,
                (offset << 2) as u8 | (len >> 8) as u8,
                len as u8,
            ]);
        }
        payload.push(111);
        payload.extend(blocks.iter().take(earlier.len()).flatten());
        payload.extend(primary);
        payload
    }

    #[test]
    fn the_primary_block_is_what_was_not_repeated() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..20_000 {
            let count = 1 + rng.next_u32() % 5;
            let blocks: Vec<Vec<u8>> = (0..count)
                .map(|_| (0..=rng.next_u32() % 300).map(|_| rng.next_u32() as u8).collect())
                .collect();
            let whole = payload(&blocks);
            assert_eq!(primary(&whole), blocks.last().map(Vec::as_slice));
            let mut renamed = whole.clone();
            rename(&mut renamed, 96);
            assert_eq!(primary(&renamed), primary(&whole), "a renamed payload has the same sound");
        }
    }

    #[test]
    fn a_primary_block_is_the_end_of_any_payload_or_there_is_none() {
        let mut rng = StdRng::seed_from_u64(2);
        let (mut some, mut none) = (0, 0);
        for _ in 0..200_000 {
            let mut bytes: Vec<u8> = (0..rng.next_u32() % 64).map(|_| rng.next_u32() as u8).collect();
            // Lengths that fit are rare among random ones.
            for byte in bytes.iter_mut().skip(2).take(8) {
                *byte &= 0x8f;
            }
            match primary(&bytes) {
                Some(primary) => {
                    assert!(!primary.is_empty() && primary.len() < bytes.len() && bytes.ends_with(primary));
                    some += 1;
                }
                None => none += 1,
            }
            rename(&mut bytes, 96);
        }
        assert!(some > 1_000 && none > 1_000, "{some} {none}");
    }

    #[test]
    fn blocks_that_do_not_fit_have_no_primary() {
        assert_eq!(primary(&[]), None);
        assert_eq!(primary(&[111]), None, "a header alone");
        assert_eq!(primary(&[111, 7]), Some([7].as_slice()));
        assert_eq!(primary(&[0x80 | 111, 0, 0, 2, 111, 1, 2]), None, "all of it is repeated");
        assert_eq!(primary(&[0x80 | 111, 0, 0, 2, 111, 1, 2, 3]), Some([3].as_slice()));
        assert_eq!(primary(&[0x80 | 111, 0, 3, 0xff, 111, 1, 2, 3]), None, "longer than the packet");
        assert_eq!(primary(&[0x80 | 111, 0, 0]), None, "half a header");
        assert_eq!(primary(&[0xff; 1_500]), None, "headers only");
    }

    #[test]
    fn renames_every_block() {
        let mut payload = [0x80 | 111, 1, 2, 3, 0x80 | 111, 4, 5, 6, 111, 0xff, 0xff];
        rename(&mut payload, 96);
        assert_eq!(payload, [0x80 | 96, 1, 2, 3, 0x80 | 96, 4, 5, 6, 96, 0xff, 0xff]);
        rename(&mut [0x80; 3], 5);
        rename(&mut [], 5);
    }
}
