//! What a worker has to send: sealed packets side by side in one slab, in the order in which they go out.

use crate::path::Path;

/// Room for one datagram. Packets stay under the usual 1,200 to 1,300 bytes of WebRTC.
pub const MAX_DATAGRAM: usize = 1_500;
const GROWTH: usize = 64 * MAX_DATAGRAM;

/// One datagram of the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// Bytes of the datagram.
    pub len: usize,
}

/// A slab that is filled by a worker and emptied by its driver. Its memory is kept from tick to tick.
#[derive(Default)]
pub struct Egress {
    bytes: Vec<u8>,
    used: usize,
    transmits: Vec<Transmit>,
}

/// Datagrams of one destination that leave in one system call where segmentation offload is at hand: all but the last
/// are equally long, and the last is not longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Where to.
    pub path: Path,
    /// Length of each datagram but the last.
    pub segment: usize,
    /// All datagrams, one after the other.
    pub bytes: &'a [u8],
}

impl Egress {
    /// Lets `write` fill a buffer of [`MAX_DATAGRAM`] bytes; what it returns the length of is sent, `None` drops it.
    pub fn push(&mut self, path: Path, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let end = self.used + MAX_DATAGRAM;
        if self.bytes.len() < end {
            // Grows to the largest burst and stays: no allocation for a packet in the long run.
            self.bytes.resize(end + GROWTH, 0);
        }
        let len = write(self.bytes.get_mut(self.used..end)?).filter(|len| *len <= MAX_DATAGRAM)?;
        self.used += len;
        self.transmits.push(Transmit { path, len });
        Some(len)
    }

    /// Copies a datagram that stands elsewhere.
    pub fn push_copy(&mut self, path: Path, datagram: &[u8]) {
        self.push(path, |buf| {
            buf.get_mut(..datagram.len())?.copy_from_slice(datagram);
            Some(datagram.len())
        });
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Datagrams waiting.
    pub fn datagrams(&self) -> usize {
        self.transmits.len()
    }

    /// The datagrams in order.
    pub fn iter(&self) -> impl Iterator<Item = (Path, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.transmits.iter().filter_map(move |transmit| {
            let (datagram, tail) = rest.split_at_checked(transmit.len)?;
            rest = tail;
            Some((transmit.path, datagram))
        })
    }

    /// The datagrams grouped into runs of at most `max_segments` datagrams and `max_bytes` bytes.
    pub fn runs(&self, max_segments: usize, max_bytes: usize) -> impl Iterator<Item = Run<'_>> {
        let (mut transmits, mut rest) = (self.transmits.as_slice(), self.bytes.as_slice());
        std::iter::from_fn(move || {
            let first = *transmits.first()?;
            let (mut count, mut total) = (1, first.len);
            for next in transmits.iter().skip(1) {
                let fits = next.path == first.path
                    && next.len <= first.len
                    && count < max_segments
                    && total + next.len <= max_bytes;
                if !fits {
                    break;
                }
                count += 1;
                total += next.len;
                if next.len < first.len {
                    break;
                }
            }
            transmits = transmits.get(count..)?;
            let (bytes, tail) = rest.split_at_checked(total)?;
            rest = tail;
            Some(Run { path: first.path, segment: first.len, bytes })
        })
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.transmits.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "test code"
    )]

    use super::*;

    #[test]
    fn groups_equal_sizes_to_one_destination() {
        let (a, b) = (Path::to("10.0.0.1:1".parse().unwrap()), Path::to("10.0.0.2:2".parse().unwrap()));
        let mut egress = Egress::default();
        for (to, len) in [(a, 5), (a, 5), (a, 3), (a, 5), (b, 5), (b, 6), (b, 6), (b, 6)] {
            egress.push_copy(to, &vec![len as u8; len]);
        }
        assert_eq!(egress.push(a, |_| None), None);
        let runs: Vec<_> = egress.runs(64, 65_000).map(|r| (r.path, r.segment, r.bytes.len())).collect();
        assert_eq!(runs, [(a, 5, 13), (a, 5, 5), (b, 5, 5), (b, 6, 18)]);
        let runs: Vec<_> = egress.runs(2, 65_000).map(|r| r.bytes.len()).collect();
        assert_eq!(runs, [10, 3, 5, 5, 12, 6]);
        let runs: Vec<_> = egress.runs(64, 10).map(|r| r.bytes.len()).collect();
        assert_eq!(runs, [10, 3, 5, 5, 6, 6, 6]);
        assert!(
            egress.iter().all(|(_, datagram)| datagram.iter().all(|b| usize::from(*b) == datagram.len()))
        );
        egress.clear();
        assert_eq!((egress.iter().count(), egress.runs(9, 9).count()), (0, 0));
    }
}
