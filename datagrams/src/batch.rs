//! Datagrams side by side in one piece of memory, grouped into runs as they are added.

/// Datagrams of one message with segmentation offload: `UDP_MAX_SEGMENTS` of the kernels before 6.9.
const MAX_SEGMENTS: usize = 64;
/// Bytes of them together: an IPv4 packet without its headers.
const MAX_RUN_BYTES: usize = 65_000;
/// A longer datagram may have to be fragmented on its way, which segmentation offload refuses.
const MAX_SEGMENT: usize = 1_452;
/// Bytes by which the memory grows beyond what is needed.
const GROWTH: usize = 96 * 1024;

/// Datagrams in the order in which they were added, each with its destination.
///
/// Consecutive datagrams to one destination form a [`Run`] while they are equally long; a shorter one ends it. The memory
/// is kept when the batch is cleared. The batch itself has no bound: its owner looks at [`Batch::len`] and
/// [`Batch::datagrams`].
pub struct Batch<D> {
    /// Initialised memory, of which the first `used` bytes hold datagrams.
    bytes: Vec<u8>,
    used: usize,
    runs: Vec<Extent<D>>,
    datagrams: usize,
    max_segments: usize,
}

/// A run without its bytes.
struct Extent<D> {
    to: D,
    len: usize,
    /// Length of the first datagram.
    segment: usize,
    segments: usize,
    /// Whether another datagram may join.
    is_open: bool,
}

/// Consecutive datagrams to one destination that can leave as one message: all but the last are equally long, and the
/// last is not longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a, D> {
    /// The destination.
    pub to: D,
    /// Length in bytes of each datagram but the last.
    pub segment: usize,
    /// All datagrams, one after the other.
    pub bytes: &'a [u8],
}

impl<'a, D: Copy> Run<'a, D> {
    /// The datagrams one by one. An empty run is one empty datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, D> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.segment.max(1)))
    }

    /// Each datagram as a run of its own.
    pub(crate) fn singly(self) -> impl Iterator<Item = Self> + Clone {
        self.datagrams().map(move |bytes| Self { to: self.to, segment: bytes.len(), bytes })
    }
}

impl<D> Default for Batch<D> {
    fn default() -> Self {
        Self { bytes: Vec::new(), used: 0, runs: Vec::new(), datagrams: 0, max_segments: MAX_SEGMENTS }
    }
}

impl<D: Copy + PartialEq> Batch<D> {
    /// Forms runs of at most so many datagrams from now on; 1 does without segmentation offload.
    pub fn limit_runs(&mut self, datagrams: usize) {
        self.max_segments = datagrams.clamp(1, MAX_SEGMENTS);
    }

    /// Adds a datagram made of `parts`.
    pub fn push<const N: usize>(&mut self, to: D, parts: [&[u8]; N]) {
        let len = parts.iter().map(|part| part.len()).sum();
        self.push_with(to, len, |buf| {
            let mut rest = buf;
            for part in parts {
                let (slot, tail) = rest.split_at_mut_checked(part.len())?;
                slot.copy_from_slice(part);
                rest = tail;
            }
            Some(len)
        });
    }

    /// Lets `write` fill a buffer of `max` bytes. The batch takes the datagram of the length that it returns; `None` adds
    /// nothing. The buffer holds old bytes.
    pub fn push_with(
        &mut self,
        to: D,
        max: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let end = self.used + max;
        if self.bytes.len() < end {
            // Grows to the largest burst and stays: no allocation per packet in the long run.
            self.bytes.resize(end + GROWTH, 0);
        }
        let len = write(self.bytes.get_mut(self.used..end)?).filter(|len| *len <= max)?;
        self.used += len;
        self.datagrams += 1;
        if let Some(last) = self.runs.last_mut()
            && last.is_open
            && len <= last.segment
            && len > 0
            && last.len + len <= MAX_RUN_BYTES
            && last.to == to
        {
            last.len += len;
            last.segments += 1;
            last.is_open = len == last.segment && last.segments < self.max_segments;
        } else {
            let is_open = len > 0 && len <= MAX_SEGMENT && self.max_segments > 1;
            self.runs.push(Extent { to, len, segment: len, segments: 1, is_open });
        }
        Some(len)
    }

    /// Bytes of all datagrams.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there is no datagram.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of datagrams.
    pub fn datagrams(&self) -> usize {
        self.datagrams
    }

    /// The runs in order.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_, D>> + Clone {
        let mut rest = self.bytes.as_slice();
        self.runs.iter().map_while(move |run| {
            let (bytes, tail) = rest.split_at_checked(run.len)?;
            rest = tail;
            Some(Run { to: run.to, segment: run.segment, bytes })
        })
    }

    /// The datagrams in order.
    pub fn iter(&self) -> impl Iterator<Item = (D, &[u8])> {
        self.runs().flat_map(|run| run.datagrams().map(move |datagram| (run.to, datagram)))
    }

    /// Hands over each datagram, and empties the batch.
    pub fn drain(&mut self, mut handle: impl FnMut(D, &mut [u8])) {
        let mut rest = self.bytes.as_mut_slice();
        for run in &self.runs {
            let Some((bytes, tail)) = rest.split_at_mut_checked(run.len) else { break };
            rest = tail;
            if bytes.is_empty() {
                handle(run.to, bytes);
            }
            for datagram in bytes.chunks_mut(run.segment.max(1)) {
                handle(run.to, datagram);
            }
        }
        self.clear();
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    /// A batch of datagrams of these destinations and lengths, each filled with its length.
    fn batch(max_segments: usize, datagrams: &[(u8, usize)]) -> Batch<u8> {
        let mut batch = Batch::default();
        batch.limit_runs(max_segments);
        for (to, len) in datagrams {
            let datagram = vec![u8::try_from(len % 251).unwrap(); *len];
            let (head, tail) = datagram.split_at(len / 2);
            batch.push(*to, [head, tail]);
        }
        batch
    }

    fn runs(batch: &Batch<u8>) -> Vec<(u8, usize, usize)> {
        batch.runs().map(|run| (run.to, run.segment, run.bytes.len())).collect()
    }

    const MIXED: [(u8, usize); 8] = [(1, 5), (1, 5), (1, 3), (1, 5), (2, 5), (2, 6), (2, 6), (2, 6)];

    #[test]
    fn groups_equal_lengths_to_one_destination() {
        assert_eq!(runs(&batch(64, &MIXED)), [(1, 5, 13), (1, 5, 5), (2, 5, 5), (2, 6, 18)]);
        assert_eq!(
            runs(&batch(2, &MIXED)),
            [(1, 5, 10), (1, 3, 3), (1, 5, 5), (2, 5, 5), (2, 6, 12), (2, 6, 6)]
        );
        assert_eq!(runs(&batch(1, &MIXED)).len(), MIXED.len());
    }

    #[test]
    fn a_run_keeps_what_the_kernel_accepts() {
        let many = vec![(1, 4); 65];
        assert_eq!(runs(&batch(1_000, &many)), [(1, 4, 4 * 64), (1, 4, 4)]);
        let large = vec![(1, 1_400); 47];
        assert_eq!(runs(&batch(64, &large)), [(1, 1_400, 46 * 1_400), (1, 1_400, 1_400)]);
        assert_eq!(runs(&batch(64, &[(1, MAX_SEGMENT + 1); 2])).len(), 2);
        assert_eq!(runs(&batch(64, &[(1, 0), (1, 0), (1, 2), (1, 0)])).len(), 4);
    }

    #[test]
    fn gives_back_each_datagram_in_order() {
        let mixed = [&MIXED[..], &[(3, 0), (3, 0), (3, 1_500)]].concat();
        let mut batch = batch(64, &mixed);
        assert_eq!((batch.datagrams(), batch.len()), (mixed.len(), 41 + 1_500));
        let lengths: Vec<_> = batch.iter().map(|(to, datagram)| (to, datagram.len())).collect();
        assert_eq!(lengths, mixed);
        assert!(batch.iter().all(|(_, d)| d.iter().all(|byte| usize::from(*byte) == d.len() % 251)));
        let mut drained = Vec::new();
        batch.drain(|to, datagram| drained.push((to, datagram.len())));
        assert_eq!(drained, mixed);
        assert!(batch.is_empty() && batch.iter().next().is_none() && batch.runs().next().is_none());
        assert_eq!((batch.datagrams(), batch.len()), (0, 0));
    }

    #[test]
    fn takes_what_the_writer_returns() {
        let mut batch = Batch::default();
        assert_eq!(batch.push_with(1, 10, |_| None), None);
        assert_eq!(batch.push_with(1, 10, |_| Some(11)), None, "longer than the buffer");
        assert!(batch.is_empty());
        let written = batch.push_with(1, 10, |buf| {
            buf.fill(7);
            Some(4)
        });
        assert_eq!(written, Some(4));
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(1, &[7; 4][..])]);
    }
}
