//! The packets of a layer, stored once for all of its subscribers. Both forwarding and retransmission read from here.
//!
//! A ring keeps what flowed within [`KEEP_MICROS`], so its memory follows the bitrate: a retransmission that comes later
//! than that is of no use. While somebody is behind, because packets wait long for a pacer or are asked for again, it keeps
//! [`KEEP_LONG_MICROS`]. Bytes and packets are bounded as well, and a few blocks are kept at any rate: the loss of a slow
//! stream's packet shows only when the next one comes.
//!
//! The bytes are in blocks. The oldest block is used again when all of its packets have expired, so a steady stream
//! allocates nothing. A block that has been expired for [`SPARE_MICROS`] is freed: the stream has become slower.

use std::collections::VecDeque;

use crate::time::Micros;
use crate::wire::put;

/// The time for which packets are kept. It covers the age of a key frame from which a subscriber starts.
const KEEP_MICROS: u64 = 600_000;
/// The time for which packets are kept while somebody is behind: longer than a queue may become.
const KEEP_LONG_MICROS: u64 = 1_250_000;
/// The time for which an expired block is kept for the next burst.
const SPARE_MICROS: u64 = 150_000;

/// The bounds of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSize {
    /// Maximum number of positions from the oldest packet to the newest one.
    pub(crate) packets: usize,
    /// Number of blocks that are kept for any time, and the maximum number.
    pub(crate) least_blocks: usize,
    pub(crate) most_blocks: usize,
    /// The bytes of payload and header extensions in a block. A larger packet is not stored.
    pub(crate) block_bytes: u16,
}

impl RingSize {
    /// Up to 8 Mbit/s for a second.
    pub(crate) const VIDEO: Self =
        Self { packets: 2_048, least_blocks: 4, most_blocks: 64, block_bytes: 16 << 10 };
    /// Up to 256 kbit/s for a second.
    pub(crate) const AUDIO: Self =
        Self { packets: 256, least_blocks: 2, most_blocks: 8, block_bytes: 4 << 10 };
}

/// The metadata of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketInfo {
    /// The position in the publication's stream: the extended sequence number, which keeps
    /// growing over a change of SSRC.
    pub(crate) position: u64,
    /// The RTP timestamp of the publisher.
    pub(crate) timestamp: u32,
    /// The marker bit.
    pub(crate) marker: bool,
    /// The publisher's payload type.
    pub(crate) payload_type: u8,
    /// Whether a decoder can start at this packet.
    pub(crate) starts_picture: bool,
    /// The generation of the publisher's stream, which grows with each change of SSRC.
    pub(crate) generation: u32,
}

/// A stored packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredPacket<'a> {
    pub(crate) info: PacketInfo,
    /// The header extension elements to forward, each as kind, length and data.
    pub(crate) extensions: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// A ring of recent packets, with an index by position.
pub(crate) struct Ring {
    size: RingSize,
    /// From the oldest to the one that is being filled.
    blocks: VecDeque<Block>,
    /// The number of the oldest block.
    oldest_block: u64,
    /// The packets from position `first` on; `None` where none has arrived.
    slots: VecDeque<Option<Slot>>,
    first: u64,
    /// All positions below have been overwritten or passed over.
    floor: u64,
    newest: Option<u64>,
    /// The time until which somebody is behind.
    long_until: Micros,
}

/// A part of the ring's memory.
struct Block {
    bytes: Box<[u8]>,
    used: u16,
    /// The time at which its newest packet was stored.
    filled_at: Micros,
}

impl Block {
    /// Whether all of its packets have been kept for this long.
    fn has_expired(&self, now: Micros, keep_micros: u64) -> bool {
        self.filled_at + keep_micros <= now
    }
}

/// A packet's metadata but its position, and its place.
#[derive(Clone, Copy)]
struct Slot {
    block: u64,
    start: u16,
    len: u16,
    timestamp: u32,
    generation: u32,
    extensions_len: u8,
    payload_type: u8,
    marker: bool,
    starts_picture: bool,
}

impl Ring {
    pub(crate) fn new(size: RingSize) -> Self {
        Self {
            size,
            blocks: VecDeque::new(),
            oldest_block: 0,
            slots: VecDeque::new(),
            first: 0,
            floor: 0,
            newest: None,
            long_until: Micros::default(),
        }
    }

    /// The highest position stored.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Stores a packet. `false` if it is already stored, is older than what the ring covers, or does not fit.
    pub(crate) fn insert(
        &mut self,
        now: Micros,
        info: PacketInfo,
        extensions: &[u8],
        payload: &[u8],
    ) -> bool {
        let (Ok(extensions_len), Ok(len)) =
            (u8::try_from(extensions.len()), u16::try_from(extensions.len() + payload.len()))
        else {
            return false;
        };
        if len > self.size.block_bytes || self.is_too_old(info.position) || self.slot(info.position).is_some()
        {
            return false;
        }
        let Some((block, start)) = self.write(now, len, extensions, payload) else { return false };
        // What has been overwritten just now may have been newer than this packet.
        if self.is_too_old(info.position) {
            return false;
        }
        self.cover(info.position);
        let PacketInfo { position, timestamp, marker, payload_type, starts_picture, generation } = info;
        let slot = Slot {
            block,
            start,
            len,
            timestamp,
            generation,
            extensions_len,
            payload_type,
            marker,
            starts_picture,
        };
        let Some(place) = self.index(position).and_then(|at| self.slots.get_mut(at)) else { return false };
        *place = Some(slot);
        self.newest = self.newest.max(Some(position));
        true
    }

    /// Keeps packets for longer, because somebody is behind.
    pub(crate) fn keep_longer(&mut self, now: Micros) {
        self.long_until = now + KEEP_LONG_MICROS;
    }

    /// Frees the memory of packets that expired some time ago.
    pub(crate) fn release(&mut self, now: Micros) {
        let keep = self.keep_micros(now) + SPARE_MICROS;
        while self.blocks.len() > self.size.least_blocks
            && self.blocks.pop_front_if(|block| block.has_expired(now, keep)).is_some()
        {
            self.oldest_block += 1;
        }
        self.pass_over();
    }

    /// The packet at this position, unless it was never stored or has been overwritten.
    pub(crate) fn packet(&self, position: u64) -> Option<StoredPacket<'_>> {
        let slot = (*self.slots.get(self.index(position)?)?)?;
        let block = self.blocks.get(usize::try_from(slot.block.checked_sub(self.oldest_block)?).ok()?)?;
        let start = usize::from(slot.start);
        let bytes = block.bytes.get(start..start + usize::from(slot.len))?;
        let (extensions, payload) = bytes.split_at_checked(usize::from(slot.extensions_len))?;
        let Slot { timestamp, marker, payload_type, starts_picture, generation, .. } = slot;
        let info = PacketInfo { position, timestamp, marker, payload_type, starts_picture, generation };
        Some(StoredPacket { info, extensions, payload })
    }

    /// The packets from this position on, in order.
    pub(crate) fn since(&self, position: u64) -> impl Iterator<Item = StoredPacket<'_>> {
        let end = self.first + self.slots.len() as u64;
        (position.max(self.first)..end).filter_map(|position| self.packet(position))
    }

    /// Whether the packet at this position has been overwritten.
    pub(crate) fn has_overwritten(&self, position: u64) -> bool {
        position < self.floor || self.slot(position).is_some_and(|slot| slot.block < self.oldest_block)
    }

    fn slot(&self, position: u64) -> Option<Slot> {
        *self.slots.get(self.index(position)?)?
    }

    fn index(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.first)?).ok()
    }

    fn is_too_old(&self, position: u64) -> bool {
        let most = self.size.packets as u64;
        position < self.floor || self.newest.is_some_and(|newest| position + most <= newest)
    }

    /// Extends the index to this position.
    fn cover(&mut self, position: u64) {
        let most = self.size.packets as u64;
        if self.newest.is_some_and(|newest| position >= newest + most) {
            self.slots.clear();
        }
        if self.slots.is_empty() {
            self.first = position;
            self.floor = self.newest.map_or(0, |newest| newest + 1);
        }
        while position < self.first {
            self.slots.push_front(None);
            self.first -= 1;
        }
        while position >= self.first + self.slots.len() as u64 {
            self.slots.push_back(None);
        }
        while self.slots.len() > self.size.packets {
            self.slots.pop_front();
            self.first += 1;
            self.floor = self.first;
        }
    }

    /// Copies a packet into the newest block, or into the next one. Returns the block's number and the start.
    fn write(&mut self, now: Micros, len: u16, extensions: &[u8], payload: &[u8]) -> Option<(u64, u16)> {
        let room = |block: &Block| self.size.block_bytes - block.used >= len;
        if !self.blocks.back().is_some_and(room) {
            self.open_block(now);
        }
        let number = self.oldest_block + self.blocks.len() as u64 - 1;
        let block = self.blocks.back_mut()?;
        let start = block.used;
        put(&mut block.bytes, usize::from(start), extensions)?;
        put(&mut block.bytes, usize::from(start) + extensions.len(), payload)?;
        block.used += len;
        block.filled_at = now;
        Some((number, start))
    }

    /// Appends an empty block: the oldest one if it has expired or there are enough, or else a new one.
    fn open_block(&mut self, now: Micros) {
        self.release(now);
        let (count, keep) = (self.blocks.len(), self.keep_micros(now));
        let RingSize { least_blocks, most_blocks, .. } = self.size;
        let reused = self.blocks.pop_front_if(|block| {
            count >= most_blocks || count >= least_blocks && block.has_expired(now, keep)
        });
        let bytes = match reused {
            Some(block) => {
                self.oldest_block += 1;
                self.pass_over();
                block.bytes
            }
            None => vec![0; usize::from(self.size.block_bytes)].into_boxed_slice(),
        };
        self.blocks.push_back(Block { bytes, used: 0, filled_at: now });
    }

    fn keep_micros(&self, now: Micros) -> u64 {
        if now < self.long_until { KEEP_LONG_MICROS } else { KEEP_MICROS }
    }

    /// Removes the beginning of the index, up to the first packet that is kept.
    fn pass_over(&mut self) {
        while let Some(front) = self.slots.front() {
            if front.is_some_and(|slot| slot.block >= self.oldest_block) {
                return;
            }
            self.slots.pop_front();
            self.first += 1;
            self.floor = self.first;
        }
    }
}

/// Iterates over stored extension elements as `(kind, data)`.
pub(crate) fn stored_extensions(mut stored: &[u8]) -> impl Iterator<Item = (u8, &[u8])> + Clone {
    std::iter::from_fn(move || {
        let (&[kind, len], rest) = stored.split_first_chunk()?;
        let (data, rest) = rest.split_at_checked(usize::from(len))?;
        stored = rest;
        Some((kind, data))
    })
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

    const SMALL: RingSize = RingSize { packets: 8, least_blocks: 2, most_blocks: 4, block_bytes: 50 };

    fn info(position: u64) -> PacketInfo {
        PacketInfo {
            position,
            timestamp: 1,
            marker: false,
            payload_type: 96,
            starts_picture: false,
            generation: 0,
        }
    }

    fn bytes(ring: &Ring) -> usize {
        ring.blocks.iter().map(|block| block.bytes.len()).sum()
    }

    /// Stores so many packets of 1,100 bytes a second from `from` to `to`, in milliseconds.
    fn flow(ring: &mut Ring, per_second: u64, from: u64, to: u64) {
        for at in 0..(to - from) * per_second / 1_000 {
            let position = ring.newest().map_or(1_000, |newest| newest + 1);
            let now = Micros(from * 1_000 + at * 1_000_000 / per_second);
            assert!(ring.insert(now, info(position), &[], &[7; 1_100]));
        }
    }

    #[test]
    fn keeps_the_newest_by_count_and_by_bytes() {
        let mut ring = Ring::new(SMALL);
        for position in 100..200 {
            assert!(ring.insert(Micros(0), info(position), &[1, 1, 7], &[position as u8; 20]));
            for kept in 100..=position {
                let found =
                    ring.packet(kept).map(|packet| (packet.extensions.to_vec(), packet.payload.to_vec()));
                // Two packets of 23 bytes fit into a block, of which the oldest one is overwritten as a whole.
                if kept >= (position & !1).saturating_sub(6) {
                    assert_eq!(found, Some((vec![1, 1, 7], vec![kept as u8; 20])), "{kept} at {position}");
                } else {
                    assert_eq!(found, None, "{kept} at {position}");
                    assert!(ring.has_overwritten(kept));
                }
            }
        }
        assert_eq!(bytes(&ring), 200);
    }

    #[test]
    fn refuses_duplicates_and_what_is_too_old() {
        let mut ring = Ring::new(SMALL);
        assert!(ring.insert(Micros(0), info(50), &[], &[1]));
        assert!(!ring.insert(Micros(0), info(50), &[], &[2]));
        assert!(ring.insert(Micros(0), info(48), &[], &[3]), "late but new");
        assert!(ring.insert(Micros(0), info(56), &[], &[4]));
        assert!(!ring.insert(Micros(0), info(48), &[], &[5]), "older than the ring");
        assert_eq!(ring.packet(50).map(|packet| packet.payload.to_vec()), Some(vec![1]));
        assert_eq!(ring.newest(), Some(56));
        assert!(ring.has_overwritten(48));
        assert!(!ring.has_overwritten(49), "never stored");
        assert!(!ring.has_overwritten(50));
        assert!(!ring.insert(Micros(0), info(57), &[], &[0; 51]));
        assert!(ring.insert(Micros(0), info(1 << 20), &[], &[6]), "another stream");
        assert_eq!(ring.since(0).map(|packet| packet.info.position).collect::<Vec<_>>(), [1 << 20]);
        assert!(!ring.insert(Micros(0), info(57), &[], &[7]));
    }

    #[test]
    fn the_memory_follows_the_bitrate() {
        let mut ring = Ring::new(RingSize::VIDEO);
        // A tenth more than what flows within the time, for the ends of blocks and the one that is being filled.
        let most = |bytes_per_second: usize| bytes_per_second * 66 / 100 + (16 << 10);
        flow(&mut ring, 500, 0, 3_000);
        assert!((330_000..=most(550_000)).contains(&bytes(&ring)), "{}", bytes(&ring));
        flow(&mut ring, 50, 3_000, 6_000);
        assert!((33_000..100_000).contains(&bytes(&ring)), "{}", bytes(&ring));
        flow(&mut ring, 5_000, 6_000, 7_000);
        assert_eq!(bytes(&ring), 1 << 20, "bounded");
        ring.release(Micros(8_000_000));
        assert_eq!(bytes(&ring), 64 << 10, "nothing flows any more");
        assert!(ring.newest().is_some_and(|newest| ring.packet(newest).is_some()));
    }

    #[test]
    fn what_is_younger_than_the_time_is_kept_whatever_comes() {
        let mut ring = Ring::new(RingSize::VIDEO);
        let mut stored = Vec::new();
        let mut state = 5_u64;
        let mut now = 0;
        for position in 1_000..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now += (state >> 33) % 5_000;
            if (state >> 40).is_multiple_of(500) {
                now += 2_000_000;
            }
            let is_behind = (state >> 50).is_multiple_of(4_000);
            if is_behind {
                ring.keep_longer(Micros(now));
            }
            let payload = [(position & 0xff) as u8; 1_201];
            let payload = &payload[..=(state >> 20) as usize % 1_200];
            assert!(ring.insert(Micros(now), info(position), &[], payload));
            stored.push((now, position));
            for (at, position) in stored.iter().rev().take_while(|(at, _)| *at + KEEP_MICROS > now) {
                let packet = ring.packet(*position);
                assert_eq!(
                    packet.map(|it| it.payload[0]),
                    Some((position & 0xff) as u8),
                    "{position} at {at}"
                );
            }
        }
    }

    #[test]
    fn keeps_longer_while_somebody_is_behind() {
        let mut ring = Ring::new(RingSize::VIDEO);
        flow(&mut ring, 200, 0, 1_000);
        assert!(ring.since(0).count() < 160);
        for at in (1_000..3_000).step_by(100) {
            ring.keep_longer(Micros(at * 1_000));
            flow(&mut ring, 200, at, at + 100);
        }
        assert!((250..290).contains(&ring.since(0).count()), "1,250 ms: {}", ring.since(0).count());
        flow(&mut ring, 200, 3_000, 6_000);
        assert!(ring.since(0).count() < 180, "750 ms and two blocks: {}", ring.since(0).count());
    }

    #[test]
    fn a_steady_stream_allocates_no_blocks() {
        let mut ring = Ring::new(RingSize::VIDEO);
        // A tenth of a second's packets at once.
        let mut burst = |at: u64| {
            for _ in 0..40 {
                let position = ring.newest().map_or(1_000, |newest| newest + 1);
                assert!(ring.insert(Micros(at * 100_000), info(position), &[], &[7; 1_100]));
            }
            let mut blocks: Vec<_> = ring.blocks.iter().map(|block| block.bytes.as_ptr()).collect();
            blocks.sort_unstable();
            blocks
        };
        let settled = (0..30).map(&mut burst).last();
        assert!((30..100).all(|at| Some(burst(at)) == settled));
    }
}
