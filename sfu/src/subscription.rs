//! One subscriber's media section and the track that it currently carries.

use crate::codec::{Codec, MediaKind, red, vp8};
use crate::keys::{PublicationKey, TransportKey};
use crate::rewrite::{Rewrite, Rewritten};
use crate::ring::{StoredPacket, stored_extensions};
use crate::rtp::{NewHeader, build_header};
use crate::sdp::{Extension, ExtensionMap, WrittenCodec};
use crate::srtp::Sealer;
use crate::time::Micros;
use crate::wire::put;

/// The first packets of a stream carry the section's `mid`, for clients that were not told SSRCs.
const MID_PACKETS: u32 = 100;
/// Maximum number of bytes in a one-byte header extension element (RFC 8285 section 4.2). The two-byte form may be
/// mixed in only after negotiation, and the descriptions state the SSRC as well.
const MAX_MID: usize = 16;
/// A subscriber that has waited this long for a key frame is told why.
const LONG_WAIT_MICROS: u64 = 3_000_000;
/// The bytes of padding in a packet that only measures the path.
const PADDING: usize = 250;

/// The sending side of a media section.
pub(crate) struct Subscription {
    pub(crate) transport: TransportKey,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// The codecs that the subscriber has accepted.
    pub(crate) codecs: Vec<WrittenCodec>,
    pub(crate) extensions: ExtensionMap,
    /// The track that is sent; `None` while the section is free.
    pub(crate) publication: Option<PublicationKey>,
    /// Whether the section may send.
    pub(crate) flow: Flow,
    pub(crate) rewrite: Rewrite,
    /// The next sequence number of the retransmission stream, extended.
    rtx_next: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// The time since which the subscription has waited for a key frame while packets arrive, or
    /// of the last report of that.
    pub(crate) waits_since: Option<Micros>,
    /// The payload type used last, with the publisher's codec that it stands for.
    current: Option<(Codec, u8)>,
}

/// The conditions under which a subscription sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Whether the section has been negotiated.
    pub(crate) negotiated: bool,
    /// Whether the subscriber wants the track, which is the default.
    pub(crate) wanted: bool,
    /// Whether the section is held back for lack of bandwidth.
    pub(crate) starved: bool,
}

impl Flow {
    /// Whether packets are sent.
    pub(crate) fn is_open(self) -> bool {
        self.negotiated && self.wanted && !self.starved
    }
}

/// The values that are added to a packet when it is sent.
#[derive(Clone, Copy)]
pub(crate) struct Departure {
    /// The transport-wide sequence number.
    pub(crate) transport_sequence: u16,
    /// The 24-bit send time in units of 1/2^18 s.
    pub(crate) abs_send_time: u32,
}

impl Subscription {
    pub(crate) fn new(
        transport: TransportKey,
        mid: String,
        kind: MediaKind,
        ssrcs: (u32, u32),
        first: (u16, u16),
    ) -> Self {
        Self {
            transport,
            mid,
            kind,
            ssrc: ssrcs.0,
            rtx_ssrc: ssrcs.1,
            codecs: Vec::new(),
            extensions: ExtensionMap::default(),
            publication: None,
            flow: Flow { negotiated: false, wanted: true, starved: false },
            rewrite: Rewrite::new(first.0),
            rtx_next: u64::from(first.1 & 0x7fff),
            packets: 0,
            octets: 0,
            waits_since: None,
            current: None,
        }
    }

    /// Records whether the subscription waits for a key frame while packets arrive; `true` each time
    /// the wait has become long.
    pub(crate) fn note_wait(&mut self, now: Micros, waits: bool) -> bool {
        if !waits {
            self.waits_since = None;
            return false;
        }
        let since = *self.waits_since.get_or_insert(now);
        let is_long = now >= since + LONG_WAIT_MICROS;
        if is_long {
            self.waits_since = Some(now);
        }
        is_long
    }

    /// Sets the accepted codecs and extensions, which also resets the payload type in use.
    pub(crate) fn set_codecs(&mut self, codecs: Vec<WrittenCodec>, extensions: ExtensionMap) {
        self.codecs = codecs;
        self.extensions = extensions;
        self.current = None;
    }

    /// Assigns another track, or none.
    pub(crate) fn attach(&mut self, publication: Option<PublicationKey>) {
        self.publication = publication;
        self.rewrite.leave();
    }

    /// The payload type in this section for the publisher's codec.
    pub(crate) fn payload_type(&mut self, codec: Codec) -> Option<u8> {
        match self.current {
            Some((known, payload_type)) if known == codec => Some(payload_type),
            _ => {
                let exact = self.codecs.iter().find(|written| written.codec == codec);
                let written = exact.or_else(|| self.codecs.iter().find(|w| codec.is_readable_as(w.codec)))?;
                self.current = Some((codec, written.payload_type));
                Some(written.payload_type)
            }
        }
    }

    /// Whether the subscriber accepts this codec.
    pub(crate) fn takes(&mut self, codec: Codec) -> bool {
        self.payload_type(codec).is_some()
    }

    /// Decides whether and how a new packet is sent.
    pub(crate) fn admit(
        &mut self,
        packet: &StoredPacket<'_>,
        codec: Codec,
        now: Micros,
    ) -> Option<Rewritten> {
        self.payload_type(codec)?;
        self.rewrite.apply(packet, codec, now)
    }

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
        let header_len = self.write_header(header, packet.extensions, departure, buf)?;
        put(buf, header_len, packet.payload)?;
        let len = header_len + packet.payload.len();
        self.edit(codec, rewritten, buf.get_mut(header_len..len)?);
        let written = sealer.seal_rtp(buf, header_len, len, self.ssrc, rewritten.index).ok()?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(packet.payload.len()).unwrap_or(0));
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
        put(buf, payload_at, packet.payload)?;
        let len = payload_at + packet.payload.len();
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

    /// Whether the client accepts retransmissions of any codec.
    pub(crate) fn has_rtx(&self) -> bool {
        self.codecs.iter().any(|written| written.rtx.is_some())
    }

    /// Whether the client reports the arrival time of each packet.
    pub(crate) fn has_path_feedback(&self) -> bool {
        self.extensions.id(Extension::TransportSequence).is_some()
    }

    /// Whether padding in this section measures the path.
    pub(crate) fn measures(&self) -> bool {
        self.has_rtx() && self.has_path_feedback()
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

    /// Rewrites the payload fields that belong to the stream rather than to the picture.
    fn edit(&self, codec: Codec, rewritten: Rewritten, payload: &mut [u8]) {
        match codec {
            Codec::Vp8 if rewritten.picture_shift != 0 || rewritten.tl0_shift != 0 => {
                if let Some(descriptor) = vp8::Descriptor::parse(payload) {
                    descriptor.shift(payload, rewritten.picture_shift, rewritten.tl0_shift);
                }
            }
            Codec::Red => {
                if let Some(opus) = self.codecs.iter().find(|written| written.codec == Codec::Opus) {
                    red::rename(payload, opus.payload_type);
                }
            }
            _ => {}
        }
    }
}
