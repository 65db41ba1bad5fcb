//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).

use super::packet::{PSFB, begin_packet, end_packet};
use crate::wire::{Writer, u8_at, u24_at};

/// The bitrate of a REMB packet in bits per second; `None` for other application-layer feedback.
pub fn parse_remb(packet: &[u8]) -> Option<u64> {
    (packet.get(12..16)? == b"REMB").then_some(())?;
    u8_at(packet, 16)?;
    let value = u24_at(packet, 17)?;
    let (exponent, mantissa) = (value >> 18, u64::from(value & 0x3ffff));
    // An 18-bit mantissa shifted by up to 63 bits: an overflow exceeds the bitrate of any link.
    Some(mantissa.checked_shl(exponent).filter(|bits| bits >> exponent == mantissa).unwrap_or(u64::MAX))
}

/// Appends a REMB for these streams.
pub(crate) fn write_remb(writer: &mut Writer<'_>, sender: u32, bits_per_second: u64, ssrcs: &[u32]) {
    let ssrcs = ssrcs.get(..ssrcs.len().min(255)).unwrap_or_default();
    let at = begin_packet(writer, 15, PSFB);
    writer.u32(sender);
    writer.u32(0);
    writer.bytes(b"REMB");
    writer.u8(u8::try_from(ssrcs.len()).unwrap_or(0));
    let exponent = (64 - bits_per_second.leading_zeros()).saturating_sub(18);
    let mantissa = u32::try_from(bits_per_second >> exponent).unwrap_or(0x3ffff);
    writer.u24(exponent << 18 | mantissa);
    for ssrc in ssrcs {
        writer.u32(*ssrc);
    }
    end_packet(writer, at);
}
