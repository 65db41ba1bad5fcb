//! H.264 as a byte stream (ITU-T H.264 Annex B), cut into pictures.

use std::io::Read;

use bytes::Bytes;

use crate::Error;

/// The largest picture.
const PICTURE_BYTES: usize = 16 << 20;
/// Bytes that are read at a time.
const STEP: usize = 64 << 10;

pub(super) struct Reader<R> {
    source: R,
    /// Bytes from the beginning of a NAL unit's start code.
    buffer: Vec<u8>,
    is_ended: bool,
    /// NAL units of the next picture, with their start codes.
    picture: Vec<u8>,
    /// Whether a slice is among them.
    has_slice: bool,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), is_ended: false, picture: Vec::new(), has_slice: false }
    }

    /// The next picture, with the parameter sets before it (section 7.4.1.2.3 says where one begins).
    pub(super) fn next_picture(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(unit) = self.unit()? else {
                let last = std::mem::take(&mut self.picture);
                self.has_slice = false;
                return Ok((!last.is_empty()).then(|| last.into()));
            };
            let kind = unit.first().map_or(0, |first| first & 0x1f);
            let is_slice = matches!(kind, 1..=5);
            // `first_mb_in_slice` is 0, which is the one bit 1.
            let is_first = is_slice && unit.get(1).is_some_and(|second| second & 0x80 != 0);
            let begins = is_first || matches!(kind, 6..=9);
            let complete = (self.has_slice && begins).then(|| {
                self.has_slice = false;
                std::mem::take(&mut self.picture)
            });
            self.has_slice |= is_slice;
            self.picture.extend([0, 0, 0, 1]);
            self.picture.extend(unit);
            if self.picture.len() > PICTURE_BYTES {
                return Err(Error::Format("an H.264 picture of impossible size"));
            }
            if let Some(complete) = complete {
                return Ok(Some(complete.into()));
            }
        }
    }

    /// The next NAL unit, without its start code.
    fn unit(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut searched = 0;
        loop {
            // The start code of this unit ends where the first 1 stands.
            let begin = start_code(&self.buffer, 0).map(|at| at + 3);
            if let Some(begin) = begin {
                let from = begin.max(searched);
                let end = start_code(&self.buffer, from);
                if let Some(end) = end.or_else(|| self.is_ended.then_some(self.buffer.len())) {
                    let rest = self.buffer.split_off(end);
                    let mut unit = std::mem::replace(&mut self.buffer, rest).split_off(begin);
                    // Zeros before a start code, of which the code may have one itself.
                    while unit.last() == Some(&0) {
                        unit.pop();
                    }
                    if unit.is_empty() && self.is_ended && self.buffer.is_empty() {
                        return Ok(None);
                    }
                    return Ok(Some(unit));
                }
                searched = self.buffer.len().saturating_sub(2).max(begin);
            } else if self.is_ended {
                return Ok(None);
            }
            if self.buffer.len() > PICTURE_BYTES {
                return Err(Error::Format("an H.264 unit of impossible size"));
            }
            let len = self.buffer.len();
            self.buffer.resize(len + STEP, 0);
            let read =
                self.source.read(self.buffer.get_mut(len..).unwrap_or_default()).map_err(Error::File)?;
            self.buffer.truncate(len + read);
            self.is_ended = read == 0;
        }
    }
}

/// The position of the next start code of three bytes.
fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes.get(from..)?.windows(3).position(|three| three == [0, 0, 1]);
    found.map(|at| from + at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let (Some((first, rest)), Some(place)) = (self.0.split_first(), into.first_mut()) else {
                return Ok(0);
            };
            *place = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        let codes: [&[u8]; 2] = [&[0, 0, 0, 1], &[0, 0, 1]];
        units.iter().zip(codes.iter().cycle()).flat_map(|(unit, code)| [*code, *unit].concat()).collect()
    }

    #[test]
    fn parameter_sets_and_all_slices_belong_to_one_picture() {
        let units: [&[u8]; 6] = [
            &[0x67, 1, 2],
            &[0x68, 3],
            &[0x65, 0x88, 4],
            &[0x65, 0x40, 5],
            &[0x41, 0x9a, 6],
            &[0x41, 0x9a, 7],
        ];
        let bytes = stream(&units);
        let with = |units: &[&[u8]]| {
            units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect::<Vec<u8>>()
        };
        let expected = [with(&units[..4]), with(&units[4..5]), with(&units[5..])];
        let read = |source: &mut dyn Read| {
            let mut reader = Reader::new(source);
            std::iter::from_fn(|| reader.next_picture().unwrap())
                .map(|picture| picture.to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&mut &bytes[..]), expected);
        assert_eq!(read(&mut Drops(&bytes)), expected, "however it is cut");
    }

    #[test]
    fn nothing_is_made_of_what_is_no_stream() {
        for bytes in [&b""[..], b"text", &[0, 0, 0, 1], &[0; 9]] {
            assert_eq!(Reader::new(bytes).next_picture().unwrap(), None, "{bytes:?}");
        }
    }
}
