//! RTP headers and their extensions (RFC 3550 section 5.1, RFC 8285).

use crate::wire::{u8_at, u16_at, u32_at};

/// A parsed RTP header, without the packet itself.
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
    /// The length of the header, including CSRCs and extensions.
    pub len: usize,
    /// Whether the last byte of the payload is a padding count.
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
    /// Parses the header; `None` if it is truncated or not version 2.
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

    /// The header extension elements in `packet`, which must be the packet from which this header was parsed.
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

    /// The payload of a decrypted packet without its padding; `None` if the padding count is invalid.
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

/// Iterates over the header extension elements as `(id, data)`.
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

/// The fields of a header to write.
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
    /// Whether the payload will end in padding.
    pub padding: bool,
}

/// Writes a header with the given extension elements and returns its length; `None` if `out` is too small. The two-byte
/// form is used only if an element needs it.
#[allow(clippy::needless_pass_by_value, reason = "iterators are given away")]
pub fn write_header<'e>(
    header: NewHeader,
    elements: impl Iterator<Item = (u8, &'e [u8])> + Clone,
    out: &mut [u8],
) -> Option<usize> {
    build_header(header, |to| elements.clone().for_each(|(id, data)| to.push(id, data)), out)
}

/// Writes a header whose elements are pushed one by one. `elements` is called again if the two-byte
/// form turns out to be needed.
pub(crate) fn build_header(
    header: NewHeader,
    elements: impl Fn(&mut Elements<'_>),
    out: &mut [u8],
) -> Option<usize> {
    let (fixed, rest) = out.split_first_chunk_mut::<12>()?;
    let mut written = Elements { out: rest, at: ELEMENTS_AT, is_long: false, fits: true };
    elements(&mut written);
    if !written.fits {
        written = Elements { out: written.out, at: ELEMENTS_AT, is_long: true, fits: true };
        elements(&mut written);
    }
    let extension_len = written.finish()?;
    let [sequence_high, sequence_low] = header.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
    let [s0, s1, s2, s3] = header.ssrc.to_be_bytes();
    *fixed = [
        0x80 | u8::from(header.padding) << 5 | u8::from(extension_len > 0) << 4,
        u8::from(header.marker) << 7 | header.payload_type & 0x7f,
        sequence_high,
        sequence_low,
        t0,
        t1,
        t2,
        t3,
        s0,
        s1,
        s2,
        s3,
    ];
    Some(fixed.len() + extension_len)
}

/// The form and the length precede the elements.
const ELEMENTS_AT: usize = 4;

/// A buffer of extension elements in a header.
pub(crate) struct Elements<'a> {
    out: &'a mut [u8],
    at: usize,
    is_long: bool,
    fits: bool,
}

impl Elements<'_> {
    #[inline]
    pub(crate) fn push(&mut self, id: u8, data: &[u8]) {
        match u8::try_from(data.len()) {
            Ok(len) if self.is_long => self.bytes(&[id, len]),
            Ok(len @ 1..=16) if id < 15 => self.bytes(&[id << 4 | (len - 1)]),
            _ => self.fits = false,
        }
        self.bytes(data);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.at..).and_then(|out| out.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.fits = false,
        }
    }

    /// The length of the whole extension; 0 without elements.
    fn finish(self) -> Option<usize> {
        let Self { out, at, is_long, fits } = self;
        if !fits || at == ELEMENTS_AT {
            return fits.then_some(0);
        }
        let end = at.next_multiple_of(4);
        out.get_mut(at..end)?.fill(0);
        let words = u16::try_from(end / 4 - 1).ok()?;
        let form: u16 = if is_long { 0x1000 } else { 0xbede };
        let [f0, f1] = form.to_be_bytes();
        let [w0, w1] = words.to_be_bytes();
        *out.first_chunk_mut()? = [f0, f1, w0, w1];
        Some(end)
    }
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
