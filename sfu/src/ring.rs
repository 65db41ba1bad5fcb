//! The packets of a publication, stored once for all of its subscribers. Both forwarding and
//! retransmission read from here.

use crate::wire::put;

/// The capacity of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSize {
    /// The number of packets, a power of two.
    pub(crate) packets: usize,
    /// The bytes of payload and header extensions.
    pub(crate) bytes: usize,
}

impl RingSize {
    /// About 3 s of 720p video.
    pub(crate) const VIDEO: Self = Self { packets: 1024, bytes: 1 << 20 };
    /// About 2 s of one of several layers.
    pub(crate) const LAYER: Self = Self { packets: 512, bytes: 3 << 17 };
    /// About 2 s of audio.
    pub(crate) const AUDIO: Self = Self { packets: 128, bytes: 1 << 15 };
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

/// A byte ring with an index by position. The system zeroes the memory and maps it on first use, so a publication that
/// never sends costs little.
pub(crate) struct Ring {
    bytes: Vec<u8>,
    slots: Vec<Option<Slot>>,
    /// The bytes written in total, including the unused ends of the buffer.
    written: u64,
    newest: Option<u64>,
}

#[derive(Clone, Copy)]
struct Slot {
    info: PacketInfo,
    /// The value of `written` at the start of the packet.
    at: u64,
    extensions_len: u16,
    len: u16,
}

impl Ring {
    pub(crate) fn new(size: RingSize) -> Self {
        Self {
            bytes: vec![0; size.bytes],
            slots: vec![None; size.packets.next_power_of_two()],
            written: 0,
            newest: None,
        }
    }

    /// The highest position stored.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The number of positions that the ring covers.
    pub(crate) fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Stores a packet. `false` if it is already stored, is older than the ring's oldest slot, or does not fit.
    pub(crate) fn insert(&mut self, info: PacketInfo, extensions: &[u8], payload: &[u8]) -> bool {
        let capacity = self.bytes.len();
        let len = extensions.len() + payload.len();
        let (Ok(extensions_len), Ok(total)) = (u16::try_from(extensions.len()), u16::try_from(len)) else {
            return false;
        };
        let too_old = self.newest.is_some_and(|newest| info.position + self.slots.len() as u64 <= newest);
        let index = self.index(info.position);
        let known = self.slots.get(index).copied().flatten();
        if too_old || len > capacity || known.is_some_and(|slot| slot.info.position == info.position) {
            return false;
        }
        let mut start = self.written;
        let mut offset = self.offset(start);
        if offset + len > capacity {
            // A packet is never split, so the rest of the buffer stays unused in this round.
            start += (capacity - offset) as u64;
            offset = 0;
        }
        if put(&mut self.bytes, offset, extensions)
            .and_then(|()| put(&mut self.bytes, offset + extensions.len(), payload))
            .is_none()
        {
            return false;
        }
        self.written = start + len as u64;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Slot { info, at: start, extensions_len, len: total });
        }
        self.newest = Some(self.newest.map_or(info.position, |newest| newest.max(info.position)));
        true
    }

    /// The packet at this position, unless it was never stored or has been overwritten.
    pub(crate) fn packet(&self, position: u64) -> Option<StoredPacket<'_>> {
        let slot = (*self.slots.get(self.index(position))?)?;
        let is_kept = self.written - slot.at <= self.bytes.len() as u64;
        if slot.info.position != position || !is_kept {
            return None;
        }
        let start = self.offset(slot.at);
        let bytes = self.bytes.get(start..start + usize::from(slot.len))?;
        let (extensions, payload) = bytes.split_at_checked(usize::from(slot.extensions_len))?;
        Some(StoredPacket { info: slot.info, extensions, payload })
    }

    /// Whether the packet at this position has been overwritten.
    pub(crate) fn has_overwritten(&self, position: u64) -> bool {
        let slot = self.slots.get(self.index(position)).copied().flatten();
        slot.is_some_and(|slot| {
            slot.info.position > position
                || slot.info.position == position && self.written - slot.at > self.bytes.len() as u64
        })
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    fn offset(&self, written: u64) -> usize {
        usize::try_from(written % self.bytes.len().max(1) as u64).unwrap_or(0)
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

    #[test]
    fn keeps_the_newest_by_count_and_by_bytes() {
        let mut ring = Ring::new(RingSize { packets: 8, bytes: 100 });
        for position in 100..200 {
            assert!(ring.insert(info(position), &[1, 1, 7], &[position as u8; 20]));
            for kept in 100..=position {
                let found =
                    ring.packet(kept).map(|packet| (packet.extensions.to_vec(), packet.payload.to_vec()));
                // Four packets of 23 bytes fit into 100 bytes; the last 8 stay unused in each round.
                if position - kept < 4 {
                    assert_eq!(found, Some((vec![1, 1, 7], vec![kept as u8; 20])), "{kept} at {position}");
                } else {
                    assert_eq!(found, None, "{kept} at {position}");
                    assert!(ring.has_overwritten(kept));
                }
            }
        }
    }

    #[test]
    fn refuses_duplicates_and_what_is_too_old() {
        let mut ring = Ring::new(RingSize { packets: 8, bytes: 1000 });
        assert!(ring.insert(info(50), &[], &[1]));
        assert!(!ring.insert(info(50), &[], &[2]));
        assert!(ring.insert(info(48), &[], &[3]), "late but new");
        assert!(ring.insert(info(56), &[], &[4]));
        assert!(!ring.insert(info(48), &[], &[5]), "older than the ring");
        assert_eq!(ring.packet(50).map(|packet| packet.payload.to_vec()), Some(vec![1]));
        assert_eq!(ring.newest(), Some(56));
        assert!(ring.has_overwritten(48));
        assert!(!ring.has_overwritten(49), "never stored");
        assert!(!ring.has_overwritten(50));
        assert!(!ring.insert(info(57), &[], &[0; 1001]));
    }
}
