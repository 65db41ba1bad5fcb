//! Generic NACK (RFC 4585 section 6.2.1).

use super::packet::{RTPFB, begin_packet, end_packet};
use crate::wire::{Writer, u16_at};

/// A request for lost packets of one stream.
#[derive(Clone, Debug)]
pub struct Nack<'a> {
    /// The SSRC of the stream.
    pub ssrc: u32,
    pub(super) items: &'a [u8],
}

impl Nack<'_> {
    /// The requested sequence numbers, in the order of the request.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + '_ {
        self.items.chunks_exact(4).flat_map(|item| {
            let (first, mask) = (u16_at(item, 0).unwrap_or(0), u16_at(item, 2).unwrap_or(0));
            (0..=16_u16)
                .filter(move |bit| *bit == 0 || mask >> (bit - 1) & 1 == 1)
                .map(move |bit| first.wrapping_add(bit))
        })
    }
}

/// Appends a NACK for these sequence numbers, which must be in ascending order modulo 2^16.
pub(crate) fn write_nack(writer: &mut Writer<'_>, sender: u32, media: u32, lost: impl Iterator<Item = u16>) {
    let at = begin_packet(writer, 1, RTPFB);
    writer.u32(sender);
    writer.u32(media);
    let mut item: Option<(u16, u16)> = None;
    for sequence in lost {
        item = match item {
            None => Some((sequence, 0)),
            Some((first, mask)) => match sequence.wrapping_sub(first) {
                0 => Some((first, mask)),
                distance @ 1..=16 => Some((first, mask | 1 << (distance - 1))),
                _ => {
                    writer.u16(first);
                    writer.u16(mask);
                    Some((sequence, 0))
                }
            },
        };
    }
    if let Some((first, mask)) = item {
        writer.u16(first);
        writer.u16(mask);
    }
    end_packet(writer, at);
}
