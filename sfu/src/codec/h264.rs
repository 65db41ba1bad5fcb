//! H.264 payloads (RFC 6184 section 5).

use crate::wire::{u8_at, u16_at};

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether a decoder can start here: at a sequence parameter set, or, for senders that do not repeat parameter sets, at
/// the first packet of an IDR picture.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(unit) = unit_type(payload) else { return false };
    match unit {
        SPS | IDR => true,
        STAP_A => aggregated(payload).any(|unit| unit == SPS || unit == IDR),
        FU_A => u8_at(payload, 1).is_some_and(|header| header & 0x80 != 0 && header & 0x1f == IDR),
        _ => false,
    }
}

fn unit_type(unit: &[u8]) -> Option<u8> {
    u8_at(unit, 0).map(|header| header & 0x1f)
}

fn aggregated(payload: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = payload.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let unit = unit_type(rest.get(2..2 + len)?)?;
        rest = rest.get(2 + len..)?;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_where_a_decoder_can_start() {
        assert!(starts_keyframe(&[0x67, 1, 2]), "SPS");
        assert!(starts_keyframe(&[0x65, 1, 2]), "IDR");
        assert!(!starts_keyframe(&[0x61, 1, 2]), "a slice");
        assert!(starts_keyframe(&[0x78, 0, 1, 0x67, 0, 2, 0x68, 9]), "STAP-A with SPS");
        assert!(!starts_keyframe(&[0x78, 0, 1, 0x61]));
        assert!(!starts_keyframe(&[0x78, 0, 9, 0x67]), "a length that runs over");
        assert!(!starts_keyframe(&[0x78, 0, 0, 0, 0]), "an empty unit");
        assert!(starts_keyframe(&[0x7c, 0x85, 1]), "first fragment of an IDR picture");
        assert!(!starts_keyframe(&[0x7c, 0x05, 1]), "a later fragment");
        assert!(!starts_keyframe(&[0x7c]));
        assert!(!starts_keyframe(&[]));
    }
}
