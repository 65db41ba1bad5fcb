//! RTP headers and their extensions (RFC 3550 section 5.1, RFC 8285).

use crate::wire::{Writer, u8_at, u16_at, u32_at};

/// A parsed RTP header; the packet itself stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes up to the payload, CSRCs and extensions included.
    pub len: usize,
    /// The last byte of the payload counts padding.
    pub padding: bool,
    extension: Option<Extension>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extension {
    profile: u16,
    at: usize,
    len: usize,
}

impl RtpHeader {
    /// Reads the header; `None` when it is cut off or not version 2.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let first = u8_at(packet, 0)?;
        if first >> 6 != 2 {
            return None;
        }
        let second = u8_at(packet, 1)?;
        let mut len = 12 + 4 * usize::from(first & 0x0f);
        let mut extension = None;
        if first & 0x10 != 0 {
            let words = usize::from(u16_at(packet, len + 2)?);
            extension = Some(Extension { profile: u16_at(packet, len)?, at: len + 4, len: words * 4 });
            len += 4 + words * 4;
        }
        (packet.len() >= len).then_some(())?;
        Some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16_at(packet, 2)?,
            timestamp: u32_at(packet, 4)?,
            ssrc: u32_at(packet, 8)?,
            len,
            padding: first & 0x20 != 0,
            extension,
        })
    }

    /// The header extension elements in `packet`, which must be the packet this header was parsed from.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let (form, rest) = match self.extension {
            Some(Extension { profile: 0xbede, at, len }) => (Form::OneByte, packet.get(at..at + len)),
            Some(Extension { profile, at, len }) if profile & 0xfff0 == 0x1000 => {
                (Form::TwoByte, packet.get(at..at + len))
            }
            _ => (Form::OneByte, None),
        };
        Extensions { form, rest: rest.unwrap_or_default() }
    }

    /// The payload of a plain packet without its padding; `None` when the padding count lies.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let payload = packet.get(self.len..)?;
        if !self.padding {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        (padding > 0).then_some(())?;
        payload.get(..payload.len().checked_sub(padding)?)
    }
}

#[derive(Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

/// Iterates `(id, data)` of the header extension elements.
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            if *first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, len, rest) = match self.form {
                // Id 15 ends the list (RFC 8285 section 4.2).
                Form::OneByte if first >> 4 == 15 => return None,
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, rest),
                Form::TwoByte => {
                    let (len, rest) = rest.split_first()?;
                    (*first, usize::from(*len), rest)
                }
            };
            let (data, rest) = rest.split_at_checked(len)?;
            self.rest = rest;
            return Some((id, data));
        }
    }
}

/// Fields of a header to write.
#[derive(Clone, Copy, Debug)]
pub struct NewHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload will end in padding.
    pub padding: bool,
}

/// Writes a header with the given extension elements and returns its length; `None` when `out` is too small. The
/// two-byte form is used only when an element needs it.
pub fn write_header<'e>(
    header: NewHeader,
    elements: impl Iterator<Item = (u8, &'e [u8])> + Clone,
    out: &mut [u8],
) -> Option<usize> {
    let mut writer = Writer::new(out);
    let any = elements.clone().next().is_some();
    let flags = 0x80 | u8::from(header.padding) << 5 | u8::from(any) << 4;
    writer.bytes(&[flags, u8::from(header.marker) << 7 | header.payload_type & 0x7f]);
    writer.u16(header.sequence);
    writer.u32(header.timestamp);
    writer.u32(header.ssrc);
    if any {
        write_elements(elements, &mut writer)?;
    }
    writer.finish()
}

fn write_elements<'e>(
    elements: impl Iterator<Item = (u8, &'e [u8])> + Clone,
    writer: &mut Writer<'_>,
) -> Option<()> {
    let one_byte = elements.clone().all(|(id, data)| id < 15 && (1..=16).contains(&data.len()));
    let start = writer.len();
    writer.u16(if one_byte { 0xbede } else { 0x1000 });
    writer.u16(0);
    for (id, data) in elements {
        let len = u8::try_from(data.len()).ok()?;
        if one_byte {
            writer.u8(id << 4 | (len - 1));
        } else {
            writer.bytes(&[id, len]);
        }
        writer.bytes(data);
    }
    while !(writer.len() - start).is_multiple_of(4) {
        writer.u8(0);
    }
    let words = u16::try_from((writer.len() - start) / 4 - 1).ok()?;
    writer.patch(start + 2, &words.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: NewHeader =
        NewHeader { marker: true, payload_type: 96, sequence: 7, timestamp: 8, ssrc: 9, padding: false };

    fn round_trip(elements: &[(u8, &[u8])]) {
        let mut out = [0; 400];
        let len = write_header(HEADER, elements.iter().copied(), &mut out).unwrap();
        let packet = &out[..len];
        let parsed = RtpHeader::parse(packet).unwrap();
        assert_eq!((parsed.marker, parsed.payload_type, parsed.sequence), (true, 96, 7));
        assert_eq!((parsed.timestamp, parsed.ssrc, parsed.len), (8, 9, len));
        assert_eq!(parsed.extensions(packet).collect::<Vec<_>>(), elements);
        for cut in 0..len {
            assert_eq!(RtpHeader::parse(&packet[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn headers_survive_a_round_trip() {
        round_trip(&[]);
        round_trip(&[(1, &[2, 3])]);
        round_trip(&[(1, &[2; 16]), (14, &[1]), (3, &[1, 2, 3])]);
        round_trip(&[(1, &[2; 17]), (14, &[1])]);
        round_trip(&[(15, &[1]), (200, &[1, 2, 3, 4]), (3, &[])]);
    }

    #[test]
    fn padding_that_lies_is_refused() {
        let mut packet = [0; 16];
        let len =
            write_header(NewHeader { padding: true, ..HEADER }, std::iter::empty(), &mut packet).unwrap();
        assert_eq!(len, 12);
        packet[15] = 4;
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.payload(&packet), Some(&[][..]));
        packet[15] = 5;
        assert_eq!(header.payload(&packet), None);
        packet[15] = 0;
        assert_eq!(header.payload(&packet), None);
        packet[15] = 1;
        assert_eq!(header.payload(&packet).map(<[u8]>::len), Some(3));
        assert_eq!(header.payload(&packet[..12]), None);
    }

    #[test]
    fn elements_that_run_over_end_the_list() {
        let packet = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 7, 0x2f, 1];
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.extensions(&packet).collect::<Vec<_>>(), [(1, &[7][..])]);
    }
}
