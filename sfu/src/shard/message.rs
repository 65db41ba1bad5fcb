//! What one shard sends another.

use std::net::SocketAddr;

use datagrams::Batch;
use signaling_core::{PeerId, RoomId};

use super::input::Input;
use crate::demux::Protocol;
use crate::keys::PublicationKey;
use crate::path::Path;
use crate::publication::{Described, SenderClock};
use crate::ring::{PacketInfo, StoredPacket};
use crate::time::Micros;

/// Something for another shard. The caller only carries it ([`Shard::handle_message`](super::Shard::handle_message)).
pub struct Message(pub(super) Content);

pub(super) enum Content {
    /// Datagrams of the receiver's clients.
    Datagrams(Datagrams),
    /// The sender has validated this address.
    Owns(SocketAddr),
    /// Packets of rooms that the receiver serves for the sender.
    Media(MediaBatch),
    /// A fact about such rooms.
    Note(Note),
    /// An empty batch back to whom it belongs, so that its memory is used again.
    SpareDatagrams(Datagrams),
    /// The same.
    SpareMedia(MediaBatch),
}

impl Message {
    /// Whether it must arrive, and before everything that is sent to the same shard later. Anything else may be lost.
    pub fn must_arrive(&self) -> bool {
        matches!(self.0, Content::Note(_))
    }

    /// Whether the receiver has something to do, and so is to be woken.
    pub fn is_urgent(&self) -> bool {
        !matches!(self.0, Content::SpareDatagrams(_) | Content::SpareMedia(_))
    }
}

/// Datagrams, each with the protocol that its first shard has found it to be.
pub(super) type Datagrams = Batch<(Path, Protocol)>;

/// Packets of tracks, side by side.
#[derive(Default)]
pub(super) struct MediaBatch {
    bytes: Vec<u8>,
    packets: Vec<MirroredPacket>,
}

/// A packet on its way from the home of its room to a mirror.
#[derive(Clone, Copy)]
pub(super) struct MirroredPacket {
    /// As the home knows the track.
    pub(super) publication: PublicationKey,
    pub(super) info: PacketInfo,
    /// When it arrived.
    pub(super) at: Micros,
    extensions_len: usize,
    payload_len: usize,
}

impl MediaBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn push(&mut self, publication: PublicationKey, packet: &StoredPacket<'_>, at: Micros) {
        self.bytes.extend_from_slice(packet.extensions);
        self.bytes.extend_from_slice(packet.payload);
        self.packets.push(MirroredPacket {
            publication,
            info: packet.info,
            at,
            extensions_len: packet.extensions.len(),
            payload_len: packet.payload.len(),
        });
    }

    /// Hands out each packet with its header extensions and its payload, and is empty afterwards.
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

/// A fact that one shard tells another.
pub(super) enum Note {
    /// What the rooms ask about a peer that the receiver serves.
    Input(Input),
    /// A track is published, or described anew.
    Published(Box<Published>),
    /// The track that the sender knows by this key is over.
    Unpublished(PublicationKey),
    /// What its publisher reported of its clocks.
    Clock(PublicationKey, SenderClock),
    /// A subscriber needs a key frame of the track that the receiver knows by this key.
    KeyframeWanted(PublicationKey),
}

/// A track as an annex has to know it.
pub(super) struct Published {
    pub(super) key: PublicationKey,
    pub(super) room: RoomId,
    pub(super) peer: PeerId,
    pub(super) described: Described,
}
