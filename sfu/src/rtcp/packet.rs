//! The header of RTCP packets (RFC 3550 section 6.1).

use crate::wire::Writer;

pub(super) const SR: u8 = 200;
pub(super) const RR: u8 = 201;
pub(super) const SDES: u8 = 202;
pub(super) const BYE: u8 = 203;
pub(super) const RTPFB: u8 = 205;
pub(super) const PSFB: u8 = 206;

/// Starts a packet whose length is filled in by [`end_packet`].
pub(super) fn begin_packet(writer: &mut Writer<'_>, count: u8, packet_type: u8) -> usize {
    let at = writer.len();
    writer.bytes(&[0x80 | count & 0x1f, packet_type, 0, 0]);
    at
}

/// Pads the packet that starts at `at` to a multiple of four bytes and writes its length.
pub(super) fn end_packet(writer: &mut Writer<'_>, at: usize) {
    while !(writer.len() - at).is_multiple_of(4) {
        writer.u8(0);
    }
    let words = (writer.len() - at) / 4 - 1;
    writer.patch(at + 2, &u16::try_from(words).unwrap_or(u16::MAX).to_be_bytes());
}
