//! The AV1 aggregation header (RTP Payload Format For AV1, section 4.4).

use crate::wire::u8_at;

/// Whether the packet is the first of a new coded video sequence: the N bit is set and the Z bit,
/// which excludes it, is not.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    payload.len() > 1 && u8_at(payload, 0).is_some_and(|header| header & 0x88 == 0x08)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_new_sequences() {
        assert!(starts_keyframe(&[0x18, 0x0a]));
        assert!(!starts_keyframe(&[0x10, 0x0a]));
        assert!(!starts_keyframe(&[0x98, 0x0a]), "a continued unit");
        assert!(!starts_keyframe(&[0x08]));
        assert!(!starts_keyframe(&[]));
    }
}
