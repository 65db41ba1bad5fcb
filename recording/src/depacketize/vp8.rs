//! VP8 (RFC 7741).

use super::frame::{Assembly, Frame, Payload};
use crate::format::Format;

/// Assembles VP8 frames.
#[derive(Debug, Default)]
pub struct Vp8 {
    assembly: Assembly,
}

impl Vp8 {
    pub(super) fn push(&mut self, payload: &Payload<'_>, frames: &mut Vec<Frame>) {
        let Some((starts, data)) = descriptor(payload.bytes) else { return };
        if starts && !self.assembly.is_at(payload.timestamp) {
            self.assembly.begin(payload.timestamp);
        }
        if !self.assembly.is_at(payload.timestamp) {
            return;
        }
        self.assembly.append(data);
        if payload.marker
            && let Some(data) = self.assembly.finish()
        {
            let format = key_frame_size(&data).map(|size| Format::Vp8 { size });
            frames.push(Frame { timestamp: payload.timestamp, data, format });
        }
    }

    pub(super) fn reset(&mut self) {
        self.assembly.reset();
    }
}

/// Whether the payload is the first of a frame, and the data after the payload descriptor (section 4.2).
fn descriptor(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (&first, mut rest) = payload.split_first()?;
    if first & 0x80 != 0 {
        let (&extended, tail) = rest.split_first()?;
        rest = tail;
        if extended & 0x80 != 0 {
            let long = *rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }
        if extended & 0x40 != 0 {
            rest = rest.get(1..)?;
        }
        if extended & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some((first & 0x17 == 0x10, rest))
}

/// The width and height of a key frame (RFC 6386 section 9.1).
fn key_frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let &[first, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = frame else { return None };
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    (first & 1 == 0).then(|| (side(w0, w1), side(h0, h1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 10] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

    fn push(vp8: &mut Vp8, timestamp: u32, marker: bool, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        vp8.push(&Payload { timestamp, marker, bytes }, &mut frames);
        frames
    }

    #[test]
    fn a_key_frame_in_two_packets() {
        let mut vp8 = Vp8::default();
        let first: Vec<u8> = [0x90, 0xe0, 0x81, 0x23, 0x45, 0x60].iter().chain(&KEY).copied().collect();
        assert_eq!(push(&mut vp8, 7, false, &first), []);
        let frames = push(&mut vp8, 7, true, &[0x80, 0x80, 0x12, 1, 2, 3]);
        let data: Vec<u8> = KEY.iter().copied().chain([1, 2, 3]).collect();
        assert_eq!(frames, [Frame { timestamp: 7, data, format: Some(Format::Vp8 { size: (640, 360) }) }]);
        let frames = push(&mut vp8, 9, true, &[0x10, 0x01, 5]);
        assert_eq!(frames, [Frame { timestamp: 9, data: vec![0x01, 5], format: None }]);
    }

    #[test]
    fn what_has_no_beginning_is_left_out() {
        let mut vp8 = Vp8::default();
        assert_eq!(push(&mut vp8, 7, true, &[0x00, 9]), []);
        push(&mut vp8, 8, false, &[0x10, 1, 2]);
        vp8.reset();
        assert_eq!(push(&mut vp8, 8, true, &[0x00, 9]), []);
        assert_eq!(push(&mut vp8, 9, true, &[0x11, 9]), [], "the beginning of a later partition");
    }
}
