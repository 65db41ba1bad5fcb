//! The packets that a subscription sends: media, retransmissions and padding.

use super::Subscription;
use crate::codec::{Codec, red, vp8};
use crate::rewrite::Rewritten;
use crate::ring::{StoredPacket, stored_extensions};
use crate::rtp::{NewHeader, build_header};
use crate::sdp::Extension;
use crate::sender::Departure;
use crate::srtp::Sealer;
use crate::wire::put;

/// The first packets of a stream carry the section's `mid`, for clients that were not told SSRCs.
const MID_PACKETS: u32 = 100;
/// Maximum number of bytes in a one-byte header extension element (RFC 8285 section 4.2). The two-byte form may be
/// mixed in only after negotiation, and the descriptions state the SSRC as well.
const MAX_MID: usize = 16;
/// The bytes of padding in a packet that only measures the path.
const PADDING: usize = 250;

impl Subscription {
    /// About the size of a packet of padding on the wire.
    pub(crate) const PADDING_BYTES: usize = PADDING + 40;

    /// Writes and encrypts a packet into `buf` and returns its length.
    pub(crate) fn write(
        &mut self,
        packet: &StoredPacket<'_>,
        codec: Codec,
        rewritten: Rewritten,
        departure: Departure,
        sealer: &Sealer,
        buf: &mut [u8],
    ) -> Option<usize> {
        let header = NewHeader {
            marker: packet.info.marker,
            payload_type: self.payload_type(codec)?,
            sequence: (rewritten.index & 0xffff) as u16,
            timestamp: rewritten.timestamp,
            ssrc: self.ssrc,
            padding: false,
        };
        let payload = self.readable(codec, packet.payload)?;
        let header_len = self.write_header(header, packet.extensions, departure, buf)?;
        put(buf, header_len, payload)?;
        let len = header_len + payload.len();
        self.edit(codec, rewritten, buf.get_mut(header_len..len)?);
        let written = sealer.seal_rtp(buf, header_len, len, self.ssrc, rewritten.index).ok()?;
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(payload.len()).unwrap_or(0);
        self.octets = self.octets.wrapping_add(octets);
        self.repairs.earn(octets);
        Some(written)
    }

    /// Writes and encrypts the retransmission of a packet (RFC 4588). It is a packet of a stream of its own,
    /// because encrypting the original again with a different header would reuse a nonce. `None` if the client does
    /// not support retransmissions.
    pub(crate) fn write_rtx(
        &mut self,
        packet: &StoredPacket<'_>,
        codec: Codec,
        rewritten: Rewritten,
        departure: Departure,
        sealer: &Sealer,
        buf: &mut [u8],
    ) -> Option<usize> {
        let payload_type = self.payload_type(codec)?;
        let rtx = self.codecs.iter().find(|written| written.payload_type == payload_type)?.rtx?;
        let payload = self.readable(codec, packet.payload)?;
        let index = self.rtx_next;
        let header = NewHeader {
            marker: packet.info.marker,
            payload_type: rtx,
            sequence: (index & 0xffff) as u16,
            timestamp: rewritten.timestamp,
            ssrc: self.rtx_ssrc,
            padding: false,
        };
        let header_len = self.write_header(header, packet.extensions, departure, buf)?;
        put(buf, header_len, &((rewritten.index & 0xffff) as u16).to_be_bytes())?;
        let payload_at = header_len + 2;
        put(buf, payload_at, payload)?;
        let len = payload_at + payload.len();
        self.edit(codec, rewritten, buf.get_mut(payload_at..len)?);
        self.rtx_next += 1;
        sealer.seal_rtp(buf, header_len, len, self.rtx_ssrc, index).ok()
    }

    /// Writes and encrypts a packet of padding only, which measures the path. It belongs to the retransmission stream,
    /// where a sequence number without content is harmless.
    pub(crate) fn write_padding(
        &mut self,
        departure: Departure,
        sealer: &Sealer,
        buf: &mut [u8],
    ) -> Option<usize> {
        let rtx = self.codecs.iter().find_map(|written| written.rtx)?;
        let index = self.rtx_next;
        let header = NewHeader {
            marker: false,
            payload_type: rtx,
            sequence: (index & 0xffff) as u16,
            timestamp: 0,
            ssrc: self.rtx_ssrc,
            padding: true,
        };
        let header_len = self.write_header(header, &[], departure, buf)?;
        let len = header_len + PADDING;
        let padding = buf.get_mut(header_len..len)?;
        padding.fill(0);
        *padding.last_mut()? = u8::try_from(PADDING).ok()?;
        self.rtx_next += 1;
        sealer.seal_rtp(buf, header_len, len, self.rtx_ssrc, index).ok()
    }

    fn write_header(
        &self,
        header: NewHeader,
        stored: &[u8],
        departure: Departure,
        buf: &mut [u8],
    ) -> Option<usize> {
        let sequence = departure.transport_sequence.to_be_bytes();
        let [_, send_time @ ..] = departure.abs_send_time.to_be_bytes();
        let ids = &self.extensions;
        build_header(
            header,
            |elements| {
                // Never both: with transport-wide feedback, the server makes the estimate.
                if let Some(id) = ids.id(Extension::TransportSequence) {
                    elements.push(id, &sequence);
                } else if let Some(id) = ids.id(Extension::AbsSendTime) {
                    elements.push(id, &send_time);
                }
                if self.packets < MID_PACKETS
                    && self.mid.len() <= MAX_MID
                    && let Some(id) = ids.id(Extension::Mid)
                {
                    elements.push(id, self.mid.as_bytes());
                }
                for (kind, data) in stored_extensions(stored) {
                    let extension = Extension::ALL.get(usize::from(kind));
                    if let Some(id) = extension.and_then(|extension| ids.id(*extension)) {
                        elements.push(id, data);
                    }
                }
            },
            buf,
        )
    }

    /// The part of a payload that the subscriber can read; `None` if there is none.
    fn readable<'p>(&self, codec: Codec, payload: &'p [u8]) -> Option<&'p [u8]> {
        if codec == Codec::Red && !self.takes_red() { red::primary(payload) } else { Some(payload) }
    }

    fn takes_red(&self) -> bool {
        self.codecs.iter().any(|written| written.codec == Codec::Red)
    }

    /// Rewrites the payload fields that belong to the stream rather than to the picture.
    fn edit(&self, codec: Codec, rewritten: Rewritten, payload: &mut [u8]) {
        match codec {
            Codec::Vp8 if rewritten.picture_shift != 0 || rewritten.tl0_shift != 0 => {
                if let Some(descriptor) = vp8::Descriptor::parse(payload) {
                    descriptor.shift(payload, rewritten.picture_shift, rewritten.tl0_shift);
                }
            }
            Codec::Red if self.takes_red() => {
                if let Some(opus) = self.codecs.iter().find(|written| written.codec == Codec::Opus) {
                    red::rename(payload, opus.payload_type);
                }
            }
            _ => {}
        }
    }
}
