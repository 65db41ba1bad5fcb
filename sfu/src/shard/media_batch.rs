//! Packets on their way from a room's home to its annexes.

use std::time::Instant;

use super::{PublicationKey, Worker};
use crate::publication::Origin;
use crate::ring::{PacketInfo, StoredPacket};

/// Packets of tracks, side by side. Its memory goes back to its maker when they have been read.
#[derive(Default)]
pub(crate) struct MediaBatch {
    bytes: Vec<u8>,
    packets: Vec<HandedPacket>,
}

struct HandedPacket {
    /// As the home knows the track.
    publication: PublicationKey,
    info: PacketInfo,
    /// When it arrived.
    at_micros: u64,
    extensions_len: usize,
    payload_len: usize,
}

impl MediaBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn push(&mut self, publication: PublicationKey, packet: &StoredPacket<'_>, at_micros: u64) {
        self.bytes.extend_from_slice(packet.extensions);
        self.bytes.extend_from_slice(packet.payload);
        self.packets.push(HandedPacket {
            publication,
            info: packet.info,
            at_micros,
            extensions_len: packet.extensions.len(),
            payload_len: packet.payload.len(),
        });
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }
}

impl Worker {
    /// Copies what came since the last call into the batches of the annexes that need it.
    pub(crate) fn hand_on(&mut self, now: Instant) {
        if self.shared.config.workers < 2 {
            return;
        }
        let now_micros = self.micros(now);
        for key in &self.dirty {
            let Some(publication) = self.publications.get_mut(*key) else { continue };
            let new = publication.pending.get(publication.handed_on..).unwrap_or_default();
            for annex in &publication.annexes {
                let Some(batch) = self.batches.get_mut(usize::from(*annex)) else { continue };
                for packet in new.iter().filter_map(|position| publication.ring.packet(*position)) {
                    batch.push(*key, &packet, now_micros);
                }
            }
            publication.handed_on = publication.pending.len();
        }
    }

    /// Copies what somebody would start with into the batch of an annex that is new to a track.
    pub(super) fn hand_on_entry(&mut self, now_micros: u64, key: PublicationKey, annex: u16) {
        let Some(publication) = self.publications.get(key) else { return };
        let Some(batch) = self.batches.get_mut(usize::from(annex)) else { return };
        let Some(entry) = publication.fresh_entry(now_micros) else { return };
        for packet in publication.since(entry.position) {
            batch.push(key, &packet, entry.at_micros());
        }
    }

    /// Takes packets from the home of their room.
    pub(crate) fn handle_batch(&mut self, now: Instant, from: u16, batch: &MediaBatch) {
        let now_micros = self.micros(now);
        let mut rest = batch.bytes.as_slice();
        for packet in &batch.packets {
            let Some((extensions, tail)) = rest.split_at_checked(packet.extensions_len) else { return };
            let Some((payload, tail)) = tail.split_at_checked(packet.payload_len) else { return };
            rest = tail;
            self.take_packet(now_micros, from, packet, extensions, payload);
        }
    }

    fn take_packet(
        &mut self,
        now_micros: u64,
        from: u16,
        packet: &HandedPacket,
        extensions: &[u8],
        payload: &[u8],
    ) {
        let Some(key) = self.mirrors.get(&(from, packet.publication)).copied() else { return };
        let Some(mirror) = self.publications.get_mut(key) else { return };
        let Some(codec) = mirror.codec_of(packet.info.payload_type) else { return };
        mirror.generation = packet.info.generation;
        mirror.rate.add(now_micros, payload.len() as u64);
        if packet.info.starts_picture {
            mirror.on_entry(&packet.info, packet.at_micros);
        }
        if mirror.ring.insert(packet.info, extensions, payload) {
            if mirror.pending.is_empty() {
                self.dirty.push(key);
            }
            mirror.pending.push(packet.info.position);
        }
        if mirror.codec != codec {
            mirror.codec = codec;
            let subscribers = self.subscribers_of(key);
            self.renegotiate.extend(subscribers);
        }
    }

    /// Asks for a key frame when one is due: the publisher, or the home of the track.
    pub(super) fn request_keyframe(&mut self, now_micros: u64, key: PublicationKey) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let Some(due) = publication.keyframe_due() else { return };
        match publication.origin {
            Origin::Transport(transport) => self.schedule(transport, due.max(now_micros)),
            Origin::Home { worker, key } if due <= now_micros => {
                publication.keyframe.sent(now_micros);
                self.notes.push((worker, super::mirror::Note::KeyframeWanted(key)));
            }
            // Asked for a moment ago. The next packet that nobody can begin with asks again.
            Origin::Home { .. } => {}
        }
    }
}
