//! IVF: a header of 32 bytes, and pictures behind headers of 12, all little-endian.

use std::io::Read;
use std::time::Duration;

use super::{Codec, Frame, filled};
use crate::Error;

/// The largest picture.
const PICTURE_BYTES: usize = 16 << 20;

pub(super) struct Reader<R> {
    source: R,
    /// The length of a tick in seconds.
    tick: f64,
    /// The next picture and its time in ticks.
    next: Option<(Vec<u8>, u64)>,
    /// How long the picture before lasted: the last one lasts as long.
    last: Duration,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub(super) fn new(mut source: R) -> Result<(Self, Codec), Error> {
        let mut head = [0; 32];
        if !filled(&mut source, &mut head)? {
            return Err(Error::Format("an IVF file without a header"));
        }
        let [_, _, _, _, _, _, length, _, a, b, c, d, _, _, _, _, rate @ ..] = head;
        let [r0, r1, r2, r3, s0, s1, s2, s3, ..] = rate;
        let codec = match [a, b, c, d] {
            [b'V', b'P', b'8', b'0'] => Codec::Vp8,
            [b'V', b'P', b'9', b'0'] => Codec::Vp9,
            [b'A', b'V', b'0', b'1'] => Codec::Av1,
            _ => return Err(Error::Format("IVF with none of VP8, VP9 and AV1")),
        };
        let (rate, scale) = (u32::from_le_bytes([r0, r1, r2, r3]), u32::from_le_bytes([s0, s1, s2, s3]));
        if rate == 0 || scale == 0 || length != 32 {
            return Err(Error::Format("an IVF file with an impossible header"));
        }
        let tick = f64::from(scale) / f64::from(rate);
        let mut reader = Self { source, tick, next: None, last: Duration::from_secs_f64(tick) };
        reader.next = reader.read()?;
        Ok((reader, codec))
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let Some((data, at)) = self.next.take() else { return Ok(None) };
        self.next = self.read()?;
        if let Some((_, after)) = &self.next {
            let ticks = u32::try_from(after.saturating_sub(at)).unwrap_or(u32::MAX);
            // A file with a gap is not waited for.
            self.last = Duration::from_secs_f64((f64::from(ticks) * self.tick).min(1.0));
        }
        Ok(Some(Frame { data: data.into(), duration: self.last }))
    }

    fn read(&mut self) -> Result<Option<(Vec<u8>, u64)>, Error> {
        let mut head = [0; 12];
        if !filled(&mut self.source, &mut head)? {
            return Ok(None);
        }
        let [a, b, c, d, time @ ..] = head;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > PICTURE_BYTES {
            return Err(Error::Format("an IVF picture of impossible size"));
        }
        let mut data = vec![0; length];
        Ok(filled(&mut self.source, &mut data)?.then(|| (data, u64::from_le_bytes(time))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    fn file(pictures: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = b"DKIF\0\0\x20\0VP80\x40\x01\xf0\0".to_vec();
        bytes.extend(25_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([0; 8]);
        for (at, data) in pictures {
            bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    #[test]
    fn pictures_last_until_the_next_one() {
        let bytes = file(&[(0, b"key"), (1, b"a"), (4, b"b")]);
        let (mut reader, codec) = Reader::new(&bytes[..]).unwrap();
        assert_eq!(codec, Codec::Vp8);
        let all: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).collect();
        let millis: Vec<_> = all.iter().map(|frame| frame.duration.as_millis()).collect();
        assert_eq!((millis, all[0].data.as_ref()), (vec![40, 120, 120], &b"key"[..]));
    }

    #[test]
    fn a_file_that_is_cut_short_ends_and_one_that_is_none_is_refused() {
        let bytes = file(&[(0, b"key"), (1, b"cut off")]);
        for length in 32..bytes.len() {
            let (mut reader, _) = Reader::new(&bytes[..length]).unwrap();
            assert!(std::iter::from_fn(|| reader.next().unwrap()).count() < 2);
        }
        for length in 0..32 {
            assert!(Reader::new(&bytes[..length]).is_err());
        }
        let mut huge = file(&[]);
        huge.extend([0xff; 12]);
        assert!(Reader::new(&huge[..]).is_err());
        assert!(Reader::new(&[0; 44][..]).is_err());
    }
}
