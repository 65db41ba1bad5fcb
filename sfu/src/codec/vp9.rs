//! The VP9 payload descriptor (RFC 9628 section 4.2).

use crate::wire::u8_at;

/// Whether the packet starts a key picture: it is not inter-predicted, is the start of a frame, and is of the lowest
/// spatial layer if there are layers.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(first) = u8_at(payload, 0) else { return false };
    let (has_id, inter, layers, begins) =
        (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x08 != 0);
    if inter || !begins {
        return false;
    }
    let mut at = 1;
    if has_id {
        let Some(id) = u8_at(payload, at) else { return false };
        at += if id & 0x80 != 0 { 2 } else { 1 };
    }
    if layers {
        return u8_at(payload, at).is_some_and(|layer| (layer >> 1) % 8 == 0);
    }
    payload.len() > at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_key_pictures() {
        assert!(starts_keyframe(&[0x8a, 0x81, 0x02, 0x00]));
        assert!(!starts_keyframe(&[0xca, 0x81, 0x02, 0x00]), "inter-predicted");
        assert!(!starts_keyframe(&[0x82, 0x81, 0x02, 0x00]), "not the beginning of a frame");
        assert!(starts_keyframe(&[0xaa, 0x81, 0x02, 0x00, 0x00]));
        assert!(!starts_keyframe(&[0xaa, 0x81, 0x02, 0x02, 0x00]), "an upper spatial layer");
        assert!(!starts_keyframe(&[0x8a]));
        assert!(!starts_keyframe(&[]));
    }
}
