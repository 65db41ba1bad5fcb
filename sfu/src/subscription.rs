//! One track on its way to one subscriber: a media section of his, and what of whom is sent in it.

use crate::codec::{Codec, MediaKind, red, vp8};
use crate::keys::{PublicationKey, TransportKey};
use crate::rewrite::{Rewrite, Rewritten};
use crate::ring::{StoredPacket, stored_extensions};
use crate::rtp::{NewHeader, build_header};
use crate::sdp::{Extension, ExtensionMap, WrittenCodec};
use crate::srtp::Sealer;
use crate::time::Micros;
use crate::wire::put;

/// A stream names its section in its first packets, for clients who were not told SSRCs.
const MID_PACKETS: u32 = 100;
/// What an element of the one-byte form holds (RFC 8285 section 4.2). The other form may not be mixed in unless both sides say so, and
/// the descriptions name the SSRC as well.
const MAX_MID: usize = 16;
/// Whoever has waited so long for a picture to begin with is told why.
const LONG_WAIT_MICROS: u64 = 3_000_000;
/// Bytes of a packet that only measures.
const PADDING: usize = 250;

/// The sending side of a media section.
pub(crate) struct Subscription {
    pub(crate) transport: TransportKey,
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// What the subscriber understands.
    pub(crate) codecs: Vec<WrittenCodec>,
    pub(crate) extensions: ExtensionMap,
    /// Whose track is sent; `None` while the section waits for one.
    pub(crate) publication: Option<PublicationKey>,
    /// Whether the subscriber has agreed to receive, and wants to.
    pub(crate) flow: Flow,
    pub(crate) rewrite: Rewrite,
    /// Next sequence number of the retransmission stream, extended.
    rtx_next: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// Since when pictures come that it cannot begin with, or when that was last told.
    pub(crate) waits_since: Option<Micros>,
    /// The pair of payload types used last: publisher's codec to ours.
    current: Option<(Codec, u8)>,
}

/// Whether a subscription sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The section has been negotiated.
    pub(crate) negotiated: bool,
    /// The subscriber asked for it, or did not ask otherwise.
    pub(crate) wanted: bool,
    /// There is too little bandwidth.
    pub(crate) starved: bool,
}

impl Flow {
    /// Whether packets go out.
    pub(crate) fn is_open(self) -> bool {
        self.negotiated && self.wanted && !self.starved
    }
}

/// What egress adds to a packet on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Departure {
    /// Transport-wide sequence number.
    pub(crate) transport_sequence: u16,
    /// 24-bit send time in units of 1/2^18 s.
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

    /// Notes whether it waits for a key frame while pictures come; `true` each time it has waited for so long.
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

    /// The codec list changed: look payload types up anew.
    pub(crate) fn set_codecs(&mut self, codecs: Vec<WrittenCodec>, extensions: ExtensionMap) {
        self.codecs = codecs;
        self.extensions = extensions;
        self.current = None;
    }

    /// Sends another track from now on, or none.
    pub(crate) fn attach(&mut self, publication: Option<PublicationKey>) {
        self.publication = publication;
        self.rewrite.leave();
    }

    /// Our payload type for the publisher's codec.
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

    /// Whether the subscriber has agreed to this codec.
    pub(crate) fn takes(&mut self, codec: Codec) -> bool {
        self.payload_type(codec).is_some()
    }

    /// Decides whether and how a packet that just came is sent.
    pub(crate) fn admit(
        &mut self,
        packet: &StoredPacket<'_>,
        codec: Codec,
        now: Micros,
    ) -> Option<Rewritten> {
        self.payload_type(codec)?;
        self.rewrite.apply(packet, codec, now)
    }

    /// Writes and seals a packet into `buf` and returns its length.
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

    /// Writes and seals the retransmission of a packet (RFC 4588), which is a packet of its own stream: sealing the
    /// original again with another header would repeat a nonce. `None` where the client knows no retransmissions.
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

    /// Writes and seals a packet of nothing but padding, which only measures the path. It belongs to the stream of
    /// retransmissions, where a number that carries nothing disturbs nobody.
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

    /// Whether the client takes retransmissions of this codec.
    pub(crate) fn has_rtx(&self) -> bool {
        self.codecs.iter().any(|written| written.rtx.is_some())
    }

    /// Whether the client tells when each packet came.
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
                // Not both: receivers with transport-wide feedback leave the estimate to us.
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

    /// Changes what in a payload belongs to the stream rather than to the picture.
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
