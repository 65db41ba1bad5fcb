//! One subscriber's media section and the track that it currently carries.

mod packets;
mod queue;
mod repairs;

use signaling_core::message::Attention;

use crate::codec::{Codec, MediaKind};
use crate::keys::{PublicationKey, TransportKey};
use crate::rewrite::{Rewrite, Rewritten};
use crate::ring::StoredPacket;
use crate::sdp::{Extension, ExtensionMap, LocalSection, RemoteSection, SectionState, WrittenCodec};
use crate::time::Micros;
pub(crate) use queue::Queued;
use repairs::Repairs;
pub(crate) use repairs::{Answer, repairable_bitrate};

/// The level of a track that is sent as the subscriber wants it.
pub(crate) const FULL_QUALITY: u8 = 4;
/// A subscriber that has waited this long for a key frame is told why.
const LONG_WAIT_MICROS: u64 = 3_000_000;

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
    /// The layer of the track that is sent.
    pub(crate) layer: usize,
    /// The layer to change to at its next key frame; the same one if no change is due.
    pub(crate) target: usize,
    /// The level and layer of the last report of quality.
    pub(crate) told: (u8, usize),
    /// Whether the section may send.
    pub(crate) flow: Flow,
    /// Whether the subscriber is sent the sound whoever is louder.
    pub(crate) is_pinned: bool,
    pub(crate) rewrite: Rewrite,
    /// Whether packets of the layer wait in its ring until the pacer lets them leave.
    pub(crate) is_queued: bool,
    /// While packets wait: the position in the target's ring at which to go on after the current picture.
    entry: Option<u64>,
    /// The next sequence number of the retransmission stream, extended.
    rtx_next: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    repairs: Repairs,
    /// The newest position that was no longer in the ring when the client asked for it.
    given_up: Option<u64>,
    /// The packets sent again.
    pub(crate) retransmitted: u32,
    /// The loss in the client's last report, of 256.
    pub(crate) fraction_lost: u8,
    /// The middle of the NTP time in the last sender report, and the time at which it was sent.
    pub(crate) reported: Option<(u32, Micros)>,
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
    /// Whether the track is one of those whose sound is sent in a large room.
    pub(crate) chosen: bool,
}

impl Flow {
    /// Whether packets are sent.
    pub(crate) fn is_open(self) -> bool {
        self.negotiated && self.wanted && !self.starved && self.chosen
    }
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
            layer: 0,
            target: 0,
            told: (FULL_QUALITY, 0),
            flow: Flow { negotiated: false, wanted: true, starved: false, chosen: true },
            is_pinned: false,
            rewrite: Rewrite::new(first.0),
            is_queued: false,
            entry: None,
            rtx_next: u64::from(first.1 & 0x7fff),
            packets: 0,
            octets: 0,
            repairs: Repairs::new(),
            given_up: None,
            retransmitted: 0,
            fraction_lost: 0,
            reported: None,
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
    pub(crate) fn set_codecs(&mut self, mut codecs: Vec<WrittenCodec>, extensions: ExtensionMap) {
        // The blocks of redundant audio name the payload type of Opus.
        if !codecs.iter().any(|written| written.codec == Codec::Opus) {
            codecs.retain(|written| written.codec != Codec::Red);
        }
        self.codecs = codecs;
        self.extensions = extensions;
        self.current = None;
    }

    /// Applies what the client's answer accepts of the offered section.
    pub(crate) fn accept(&mut self, local: &LocalSection, answered: &RemoteSection) {
        let SectionState::Active { codecs, extensions, direction, .. } = &local.state else { return };
        let accepted: Vec<_> = codecs
            .iter()
            .filter_map(|codec| {
                let answer = answered.codecs.iter().find(|it| it.payload_type == codec.payload_type)?;
                Some(WrittenCodec {
                    rtx: codec.rtx.filter(|ours| Some(*ours) == answer.rtx),
                    ..codec.clone()
                })
            })
            .collect();
        let mut agreed = ExtensionMap::default();
        for (extension, id) in extensions.iter().filter(|pair| answered.extensions.id(pair.0) == Some(pair.1))
        {
            let superseded = extension == Extension::AbsSendTime
                && answered.extensions.id(Extension::TransportSequence).is_some();
            if !superseded {
                agreed.set(extension, id);
            }
        }
        let receives = !answered.rejected && answered.direction.receives();
        let negotiated = receives && direction.sends() && !accepted.is_empty();
        self.set_codecs(accepted, agreed);
        self.flow.negotiated = negotiated;
    }

    /// Applies what the subscriber asks for; `true` if something has changed.
    pub(crate) fn attend(&mut self, attention: &Attention) -> bool {
        let wanted = attention.enabled.unwrap_or(true);
        let is_pinned = attention.priority.is_some_and(|priority| priority > 0);
        let is_new = (self.flow.wanted, self.is_pinned) != (wanted, is_pinned);
        (self.flow.wanted, self.is_pinned) = (wanted, is_pinned);
        is_new
    }

    /// Assigns another track, or none.
    pub(crate) fn attach(&mut self, publication: Option<PublicationKey>) {
        self.publication = publication;
        (self.layer, self.target) = (0, 0);
        self.told = (FULL_QUALITY, 0);
        self.leave();
    }

    /// Sends nothing more until the next packet at which a decoder can start.
    pub(crate) fn leave(&mut self) {
        self.rewrite.leave();
        (self.is_queued, self.entry, self.given_up) = (false, None, None);
    }

    /// Whether packets of this layer are sent, or its key frame is waited for.
    #[inline]
    pub(crate) fn concerns(&self, layer: usize) -> bool {
        self.layer == layer || self.target == layer
    }

    /// Chooses the layer to send. A section that sends nothing yet has it at once.
    pub(crate) fn aim_at(&mut self, layer: usize) {
        if self.target != layer {
            (self.target, self.entry) = (layer, None);
        }
        if !self.rewrite.is_entered() {
            self.layer = layer;
        }
    }

    /// Changes to the target, of which a key frame has arrived. `offset` is what to add to its timestamps to get those
    /// of the layer so far.
    pub(crate) fn change_layer(&mut self, offset: Option<u32>) {
        (self.layer, self.entry, self.given_up) = (self.target, None, None);
        self.rewrite.change(offset);
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

    /// Decides whether a packet that was sent is sent again, for a client at this round-trip time.
    pub(crate) fn answer_nack(&mut self, now: Micros, rtt_micros: u64, index: u64, bytes: usize) -> Answer {
        let answer = self.repairs.answer(now, rtt_micros, index, bytes);
        self.retransmitted = self.retransmitted.wrapping_add(u32::from(answer == Answer::Send));
        answer
    }

    /// Records that the packet at this position can no longer be sent again; `false` if that is known of a newer one.
    pub(crate) fn gives_up(&mut self, position: u64) -> bool {
        let is_new = self.given_up.is_none_or(|known| known < position);
        if is_new {
            self.given_up = Some(position);
        }
        is_new
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
}
