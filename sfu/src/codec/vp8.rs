//! The VP8 payload descriptor (RFC 7741 section 4.2).

use crate::wire::{put, u8_at, u16_at};

/// The fields of a payload descriptor that a forwarder has to keep continuous, with their positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The picture id and its position.
    pub(crate) picture_id: Option<PictureId>,
    /// The position of TL0PICIDX and its value.
    pub(crate) tl0: Option<(usize, u8)>,
    /// The number of bytes before the VP8 payload header.
    len: usize,
    starts_partition: bool,
}

/// A picture id of 7 or 15 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PictureId {
    at: usize,
    pub(crate) value: u16,
    pub(crate) long: bool,
}

impl Descriptor {
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let first = u8_at(payload, 0)?;
        let mut at = 1;
        let mut descriptor = Self { starts_partition: first & 0x1f == 0x10, ..Self::default() };
        if first & 0x80 != 0 {
            let extended = u8_at(payload, 1)?;
            at = 2;
            if extended & 0x80 != 0 {
                let short = u8_at(payload, at)?;
                let long = short & 0x80 != 0;
                let value = if long { u16_at(payload, at)? & 0x7fff } else { u16::from(short) };
                descriptor.picture_id = Some(PictureId { at, value, long });
                at += 1 + usize::from(long);
            }
            if extended & 0x40 != 0 {
                descriptor.tl0 = Some((at, u8_at(payload, at)?));
                at += 1;
            }
            if extended & 0x30 != 0 {
                at += 1;
            }
        }
        descriptor.len = at;
        (payload.len() >= at).then_some(descriptor)
    }

    /// Adds these offsets to the picture id and TL0PICIDX in `payload`, from which this descriptor was parsed.
    pub(crate) fn shift(&self, payload: &mut [u8], picture_id: u16, tl0: u8) {
        if let Some(id) = self.picture_id {
            let moved = id.value.wrapping_add(picture_id);
            if id.long {
                put(payload, id.at, &(moved | 0x8000).to_be_bytes());
            } else {
                put(payload, id.at, &[moved.to_be_bytes()[1] & 0x7f]);
            }
        }
        if let Some((at, value)) = self.tl0 {
            put(payload, at, &[value.wrapping_add(tl0)]);
        }
    }
}

/// Whether the packet is the first of a key frame: the start of partition 0, with P = 0 in the frame header.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| {
        descriptor.starts_partition && u8_at(payload, descriptor.len).is_some_and(|header| header & 1 == 0)
    })
}

/// The width and height in the first packet of a key frame (RFC 6386 section 9.1).
pub(super) fn picture_size(payload: &[u8]) -> Option<(u16, u16)> {
    let header = payload.get(Descriptor::parse(payload)?.len..)?;
    let number = |at: usize| Some(u16::from_le_bytes([u8_at(header, at)?, u8_at(header, at + 1)?]) & 0x3fff);
    (header.get(3..6)? == [0x9d, 0x01, 0x2a]).then_some(())?;
    Some((number(6)?, number(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_key_frames() {
        assert!(starts_keyframe(&[0x10, 0x00, 1]));
        assert!(!starts_keyframe(&[0x10, 0x01, 1]), "an inter frame");
        assert!(!starts_keyframe(&[0x00, 0x00, 1]), "not the start of a partition");
        assert!(!starts_keyframe(&[0x11, 0x00, 1]), "another partition");
        assert!(starts_keyframe(&[0x90, 0xe0, 0x81, 0x23, 0x45, 0x60, 0x00]));
        assert!(!starts_keyframe(&[0x10]));
        for len in 0..6 {
            assert!(!starts_keyframe(&[0x90, 0xe0, 0x81, 0x23, 0x45, 0x60][..len]));
        }
    }

    #[test]
    fn shifts_and_wraps() {
        let mut payload = [0x90, 0xe0, 0xff, 0xff, 0xff, 0x60, 0x00];
        let descriptor = Descriptor::parse(&payload).unwrap();
        descriptor.shift(&mut payload, 2, 3);
        assert_eq!(payload, [0x90, 0xe0, 0x80, 0x01, 0x02, 0x60, 0x00]);
        let mut payload = [0x90, 0x80, 0x7f, 0x00];
        Descriptor::parse(&payload).unwrap().shift(&mut payload, 1, 0);
        assert_eq!(payload, [0x90, 0x80, 0x00, 0x00]);
    }
}
