//! Opus in Ogg (RFC 3533, RFC 7845): packets out of pages, of which each may hold many.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use super::{Frame, filled};
use crate::Error;

/// The largest packet: that of the longest Opus packet is far smaller.
const PACKET_BYTES: usize = 1 << 20;

pub(super) struct Reader<R> {
    source: R,
    /// The stream that is read, of those that are multiplexed.
    serial: Option<[u8; 4]>,
    partial: Vec<u8>,
    packets: VecDeque<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Reads the two packets of headers.
    pub(super) fn new(source: R) -> Result<Self, Error> {
        let mut reader = Self { source, serial: None, partial: Vec::new(), packets: VecDeque::new() };
        match reader.packet()? {
            Some(head) if head.starts_with(b"OpusHead") => {}
            _ => return Err(Error::Format("Ogg without Opus")),
        }
        reader.packet()?;
        Ok(reader)
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let packet = self.packet()?;
        Ok(packet.map(|data| Frame { duration: duration(&data), data: data.into() }))
    }

    fn packet(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while self.packets.is_empty() {
            if !self.page()? {
                return Ok(None);
            }
        }
        Ok(self.packets.pop_front())
    }

    /// Reads a page; `false` at the end.
    fn page(&mut self) -> Result<bool, Error> {
        let mut head = [0; 27];
        if !filled(&mut self.source, &mut head)? {
            return Ok(false);
        }
        let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = head else {
            return Err(Error::Format("Ogg with a page that is none"));
        };
        let [_, _, _, _, _, _, _, _, a, b, c, d, .., segments] = rest;
        let mut lengths = vec![0; usize::from(segments)];
        if !filled(&mut self.source, &mut lengths)? {
            return Ok(false);
        }
        let is_ours = *self.serial.get_or_insert([a, b, c, d]) == [a, b, c, d];
        // A page that continues nothing, or begins although a packet is open, follows lost data.
        if is_ours && flags & 1 == 0 {
            self.partial.clear();
        }
        for length in lengths {
            let mut segment = vec![0; usize::from(length)];
            if !filled(&mut self.source, &mut segment)? {
                return Ok(false);
            }
            if !is_ours {
                continue;
            }
            self.partial.extend(segment);
            if length < 255 {
                self.packets.push_back(std::mem::take(&mut self.partial));
            } else if self.partial.len() > PACKET_BYTES {
                return Err(Error::Format("an Ogg packet of impossible size"));
            }
        }
        Ok(true)
    }
}

/// How long a packet of Opus lasts (RFC 6716 section 3.1).
fn duration(packet: &[u8]) -> Duration {
    let Some(&first) = packet.first() else { return Duration::ZERO };
    let (mode, size) = (first >> 3, u32::from(first >> 3 & 3));
    let micros = match mode {
        0..12 if size == 3 => 60_000,
        0..12 => 10_000 << size,
        12..16 => 10_000 << (size & 1),
        _ => 2_500 << size,
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u32::from(count & 63)),
    };
    Duration::from_micros(u64::from((micros * frames).min(120_000)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    fn page(flags: u8, serial: u8, segments: &[u8], data: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend([0; 8]);
        page.extend([serial, 0, 0, 0]);
        page.extend([0; 8]);
        page.push(u8::try_from(segments.len()).unwrap());
        page.extend(segments);
        page.extend(data);
        page
    }

    fn file() -> Vec<u8> {
        let long = [&[0xfc][..], &[7; 299]].concat();
        [
            page(2, 1, &[19], &[b"OpusHead", &[1_u8; 11][..]].concat()),
            page(2, 9, &[3], b"???"),
            page(0, 1, &[8], b"OpusTags"),
            page(0, 1, &[1, 2, 255], &[&[0xfc][..], &[0x08, 0], &long[..255]].concat()),
            page(1, 1, &[45], &long[255..]),
        ]
        .concat()
    }

    #[test]
    fn packets_are_read_out_of_pages_and_across_them() {
        let bytes = file();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).collect();
        let seen: Vec<_> = all.iter().map(|frame| (frame.data.len(), frame.duration.as_millis())).collect();
        assert_eq!(seen, [(1, 20), (2, 20), (300, 20)]);
    }

    #[test]
    fn durations_are_those_of_the_first_byte() {
        let micros = |packet: &[u8]| duration(packet).as_micros();
        for (packet, expected) in [
            (&[][..], 0),
            (&[0 << 3], 10_000),
            (&[3 << 3], 60_000),
            (&[13 << 3], 20_000),
            (&[16 << 3], 2_500),
            (&[31 << 3], 20_000),
            (&[31 << 3 | 1], 40_000),
            (&[31 << 3 | 3, 3], 60_000),
            (&[31 << 3 | 3], 0),
            (&[3 << 3 | 3, 63], 120_000),
        ] {
            assert_eq!(micros(packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn what_is_cut_short_ends_and_what_is_no_opus_is_refused() {
        let bytes = file();
        for length in 0..bytes.len() {
            if let Ok(mut reader) = Reader::new(&bytes[..length]) {
                assert!(std::iter::from_fn(|| reader.next().unwrap()).count() < 3);
            }
        }
        assert!(Reader::new(&page(2, 1, &[3], b"abc")[..]).is_err());
        assert!(Reader::new(&[b'O'; 99][..]).is_err());
    }
}
