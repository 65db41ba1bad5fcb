//! Messages between shards.

use std::net::SocketAddr;

use datagrams::Batch;
use signaling_core::{PeerId, RoomId};
use smallvec::SmallVec;

use super::input::Input;
use crate::demux::Protocol;
use crate::keys::PublicationKey;
use crate::layer::{LayerState, MAX_LAYERS};
use crate::path::Path;
use crate::publication::{Audience, Described, SenderClock};
use crate::ring::{PacketInfo, StoredPacket};
use crate::time::Micros;

/// A message to another shard. The caller only delivers it ([`Shard::handle_message`](super::Shard::handle_message)).
pub struct Message(pub(super) Content);

pub(super) enum Content {
    /// Datagrams from the receiving shard's clients.
    Datagrams(Datagrams),
    /// Announces that the sending shard has validated this address.
    Owns(SocketAddr),
    /// Packets of rooms for which the sending shard is the home and the receiving shard an annex.
    Media(MediaBatch),
    /// A change of state in such a room.
    Note(Note),
    /// An emptied batch returned to its owner for reuse.
    SpareDatagrams(Datagrams),
    /// An emptied media batch returned to its owner for reuse.
    SpareMedia(MediaBatch),
}

impl Message {
    /// Whether the message must be delivered, and before all later messages to the same shard.
    /// Other messages may be lost.
    pub fn must_arrive(&self) -> bool {
        matches!(self.0, Content::Note(_))
    }

    /// Whether the receiving shard has work to do and must be woken.
    pub fn is_urgent(&self) -> bool {
        !matches!(self.0, Content::SpareDatagrams(_) | Content::SpareMedia(_))
    }
}

/// Datagrams, each with the protocol as classified by the shard that received it.
pub(super) type Datagrams = Batch<(Path, Protocol)>;

/// Packets of tracks in one contiguous buffer.
#[derive(Default)]
pub(super) struct MediaBatch {
    bytes: Vec<u8>,
    packets: Vec<MirroredPacket>,
}

/// A packet on its way from a room's home shard to an annex.
#[derive(Clone, Copy)]
pub(super) struct MirroredPacket {
    /// The home shard's key of the track.
    pub(super) publication: PublicationKey,
    pub(super) layer: usize,
    pub(super) info: PacketInfo,
    /// The time at which the packet arrived.
    pub(super) at: Micros,
    extensions_len: usize,
    payload_len: usize,
}

impl MediaBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn push(
        &mut self,
        (publication, layer): (PublicationKey, usize),
        packet: &StoredPacket<'_>,
        at: Micros,
    ) {
        self.bytes.extend_from_slice(packet.extensions);
        self.bytes.extend_from_slice(packet.payload);
        self.packets.push(MirroredPacket {
            publication,
            layer,
            info: packet.info,
            at,
            extensions_len: packet.extensions.len(),
            payload_len: packet.payload.len(),
        });
    }

    /// Passes each packet with its header extensions and payload to `handle` and empties the batch.
    pub(super) fn drain(&mut self, mut handle: impl FnMut(&MirroredPacket, &[u8], &[u8])) {
        let mut rest = self.bytes.as_slice();
        for packet in &self.packets {
            let Some((extensions, tail)) = rest.split_at_checked(packet.extensions_len) else { break };
            let Some((payload, tail)) = tail.split_at_checked(packet.payload_len) else { break };
            rest = tail;
            handle(packet, extensions, payload);
        }
        self.bytes.clear();
        self.packets.clear();
    }
}

/// A change of state that one shard reports to another.
pub(super) enum Note {
    /// A room's request about a peer that the receiving shard serves.
    Input(Input),
    /// A track was published, or its description changed.
    Published(Box<Published>),
    /// The track with this key of the sending shard has ended.
    Unpublished(PublicationKey),
    /// The clocks that the publisher reported for a layer.
    Clock(PublicationKey, usize, SenderClock),
    /// What the layers of a simulcast track are.
    Layers(PublicationKey, SmallVec<[LayerState; MAX_LAYERS]>),
    /// Whether the sending shard wants a layer of the simulcast track with this key of the receiving shard.
    LayerWanted(PublicationKey, usize, bool),
    /// Who is sent the sound of the track with this key of the sending shard, and how much of the sound before.
    Audience(PublicationKey, Audience, u64),
    /// A publisher of the room is not heard any more, or is heard again.
    Lost { room: RoomId, peer: PeerId, is_lost: bool },
    /// A subscriber needs a key frame of a layer of the track with this key of the receiving shard.
    KeyframeWanted(PublicationKey, usize),
}

/// A track as announced to an annex.
pub(super) struct Published {
    pub(super) key: PublicationKey,
    pub(super) room: RoomId,
    pub(super) peer: PeerId,
    pub(super) described: Described,
}
