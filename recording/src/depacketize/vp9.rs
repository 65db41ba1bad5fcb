//! VP9 (RFC 9628).

use super::frame::{Assembly, Frame, Payload};
use crate::format::{Format, Vp9Format};

/// Assembles VP9 pictures: all spatial layers of one picture form one frame.
#[derive(Debug, Default)]
pub struct Vp9 {
    assembly: Assembly,
    /// The sizes of the complete layer frames.
    layers: Vec<usize>,
    format: Option<Vp9Format>,
}

impl Vp9 {
    pub(super) fn push(&mut self, payload: &Payload<'_>, frames: &mut Vec<Frame>) {
        let Some((descriptor, data)) = Descriptor::parse(payload.bytes) else { return };
        if descriptor.begins && !self.assembly.is_at(payload.timestamp) {
            self.assembly.begin(payload.timestamp);
            self.layers.clear();
            self.format = None;
        }
        if !self.assembly.is_at(payload.timestamp) {
            return;
        }
        if descriptor.begins
            && !descriptor.inter
            && let Some(format) = Vp9Format::of_key_frame(data)
        {
            // The highest layer comes last and is the one displayed.
            self.format = Some(format);
        }
        self.assembly.append(data);
        if descriptor.ends {
            self.layers.push(self.assembly.data.len() - self.layers.iter().sum::<usize>());
        }
        if payload.marker
            && let Some(mut data) = self.assembly.finish()
        {
            append_index(&mut data, &self.layers);
            let format = self.format.map(Format::Vp9);
            frames.push(Frame { timestamp: payload.timestamp, data, format });
        }
    }

    pub(super) fn reset(&mut self) {
        self.assembly.reset();
    }
}

struct Descriptor {
    inter: bool,
    begins: bool,
    ends: bool,
}

impl Descriptor {
    /// Parses the payload descriptor (section 4.2) and returns it with the data after it.
    fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (&first, mut rest) = payload.split_first()?;
        let flag = |mask: u8| first & mask != 0;
        let (has_id, inter, layered, flexible) = (flag(0x80), flag(0x40), flag(0x20), flag(0x10));
        if has_id {
            let long = *rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }
        if layered {
            // TL0PICIDX is present only in non-flexible mode.
            rest = rest.get(if flexible { 1 } else { 2 }..)?;
        }
        if flexible && inter {
            // At most three reference indices, of which the last has no N bit.
            for _ in 0..3 {
                let (&reference, tail) = rest.split_first()?;
                rest = tail;
                if reference & 1 == 0 {
                    break;
                }
            }
        }
        if flag(0x02) {
            rest = scalability_structure(rest)?;
        }
        Some((Self { inter, begins: flag(0x08), ends: flag(0x04) }, rest))
    }
}

/// Skips the scalability structure (section 4.2.1) and returns the data after it.
fn scalability_structure(mut rest: &[u8]) -> Option<&[u8]> {
    let (&header, tail) = rest.split_first()?;
    rest = tail;
    let layers = usize::from(header >> 5) + 1;
    if header & 0x10 != 0 {
        rest = rest.get(4 * layers..)?;
    }
    if header & 0x08 != 0 {
        let (&pictures, tail) = rest.split_first()?;
        rest = tail;
        for _ in 0..pictures {
            let (&picture, tail) = rest.split_first()?;
            rest = tail.get(usize::from(picture >> 2 & 3)..)?;
        }
    }
    Some(rest)
}

/// Appends the superframe index, which delimits several frames in one chunk (VP9 bitstream, annex B).
fn append_index(data: &mut Vec<u8>, layers: &[usize]) {
    if layers.len() < 2 || layers.len() > 8 || layers.iter().sum::<usize>() != data.len() {
        return;
    }
    let count = u8::try_from(layers.len() - 1).unwrap_or(0);
    // Each size takes four bytes.
    let marker = 0xc0 | 3 << 3 | count;
    data.push(marker);
    for layer in layers {
        data.extend(u32::try_from(*layer).unwrap_or(0).to_le_bytes());
    }
    data.push(marker);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::VP9_KEY as KEY;

    fn push(vp9: &mut Vp9, timestamp: u32, marker: bool, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        vp9.push(&Payload { timestamp, marker, bytes }, &mut frames);
        frames
    }

    #[test]
    fn layers_of_one_instant_are_one_frame_with_an_index() {
        let mut vp9 = Vp9::default();
        let layer = |flags: u8, layer: u8, data: &[u8]| [&[flags, 0x81, 0x02, layer, 0x00], data].concat();
        assert_eq!(push(&mut vp9, 5, false, &layer(0xa0 | 0x0c, 0x00, &KEY)), []);
        assert_eq!(push(&mut vp9, 5, false, &layer(0xe0 | 0x08, 0x02, &[7, 7])), []);
        let frames = push(&mut vp9, 5, true, &layer(0xe0 | 0x04, 0x02, &[7]));
        let index = [0xd9, 10, 0, 0, 0, 3, 0, 0, 0, 0xd9];
        assert_eq!(frames[0].data, [KEY.as_slice(), &[7, 7, 7], &index].concat());
        assert_eq!(frames[0].format.as_ref().map(Format::size), Some((640, 360)));
    }

    #[test]
    fn skips_the_scalability_structure() {
        // One layer with a size, two pictures with one and no references.
        let bytes = [0x8a | 0x04, 0x81, 0x02, 0x18, 0x02, 0x80, 0x01, 0x68, 2, 0x04, 1, 0x00];
        let mut vp9 = Vp9::default();
        let frames = push(&mut vp9, 5, true, &[bytes.as_slice(), &KEY].concat());
        assert_eq!(frames[0].data, KEY);
        let frames = push(&mut vp9, 6, true, &[0xdc, 0x05, 0x04, 0x86, 1]);
        assert_eq!(
            (frames[0].data.as_slice(), &frames[0].format),
            ([0x86, 1].as_slice(), &None),
            "flexible mode"
        );
    }
}
