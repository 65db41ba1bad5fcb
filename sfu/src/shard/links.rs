//! Messages from a shard to the other shards of its process.
//!
//! The kernel distributes clients over the sockets of the shards by address and knows nothing about rooms. A
//! connectivity check names its shard in its user name, so it is forwarded at once; after validating it, the owning
//! shard announces the address, and all other datagrams from that address are forwarded to it. Packets and notes of
//! rooms that several shards serve use the same links. Everything is collected and sent in batches
//! ([`Shard::poll_message`](super::Shard::poll_message)).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::message::{Content, Datagrams, MediaBatch, Message};
use crate::demux::{Protocol, is_transport_feedback};
use crate::keys::FastMap;
use crate::path::Path;
use crate::time::Micros;

/// Maximum number of messages queued for one shard. Notes must not be lost, so a shard with this many
/// unread messages has died.
const MAX_NOTES: usize = 65_536;
/// The size from which a batch is sent at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Maximum number of remembered addresses of clients of other shards.
const MAX_FOREIGN: usize = 65_536;
const MAX_SPARE: usize = 8;
/// How long transport-wide feedback waits to be batched. It contains the arrival times itself, so it stays accurate,
/// and waking another shard for each costs more than handling it.
const PATIENCE_MICROS: u64 = 5_000;

/// The data collected for one other shard.
#[derive(Default)]
struct Link {
    /// Messages that are sent at once, in order.
    ready: VecDeque<Message>,
    media: MediaBatch,
    datagrams: Datagrams,
    /// Whether the collected datagrams include one that must not wait.
    is_urgent: bool,
    /// The time since which the first collected datagram has been waiting.
    since: Option<Micros>,
}

impl Link {
    /// The latest time to send the datagrams; `None` if there are none.
    fn due(&self) -> Option<Micros> {
        Some(self.since? + if self.is_urgent { 0 } else { PATIENCE_MICROS })
    }

    fn flush_datagrams(&mut self, spare: &mut Vec<Datagrams>) {
        if self.since.take().is_some() {
            self.is_urgent = false;
            let full = std::mem::replace(&mut self.datagrams, spare.pop().unwrap_or_default());
            self.ready.push_front(Message(Content::Datagrams(full)));
        }
    }

    fn flush_media(&mut self, spare: &mut Vec<MediaBatch>) {
        if !self.media.is_empty() {
            let full = std::mem::replace(&mut self.media, spare.pop().unwrap_or_default());
            self.ready.push_back(Message(Content::Media(full)));
        }
    }
}

/// The links from one shard to the others.
pub(super) struct Links {
    by_shard: Vec<Link>,
    /// Addresses of clients of other shards, with the owning shard.
    foreign: FastMap<SocketAddr, u16>,
    spare_datagrams: Vec<Datagrams>,
    spare_media: Vec<MediaBatch>,
}

impl Links {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            by_shard: std::iter::repeat_with(Link::default).take(shards.into()).collect(),
            foreign: FastMap::default(),
            spare_datagrams: Vec::new(),
            spare_media: Vec::new(),
        }
    }

    /// Whether there are other shards.
    pub(super) fn exist(&self) -> bool {
        self.by_shard.len() > 1
    }

    /// Forwards a datagram to the shard that has announced its source address, if any.
    pub(super) fn forward(&mut self, now: Micros, path: Path, protocol: Protocol, datagram: &[u8]) {
        if let Some(owner) = self.foreign.get(&path.remote).copied() {
            self.forward_to(now, owner, path, protocol, datagram);
        }
    }

    /// Forwards a datagram to this shard.
    pub(super) fn forward_to(
        &mut self,
        now: Micros,
        owner: u16,
        path: Path,
        protocol: Protocol,
        datagram: &[u8],
    ) {
        let Some(link) = self.by_shard.get_mut(usize::from(owner)) else { return };
        link.since.get_or_insert(now);
        link.is_urgent |= protocol != Protocol::Rtcp || !is_transport_feedback(datagram);
        link.datagrams.push((path, protocol), [datagram]);
        if link.datagrams.len() > BATCH_BYTES {
            link.flush_datagrams(&mut self.spare_datagrams);
        }
    }

    /// Remembers the shard that owns the client at an address.
    pub(super) fn set_owner(&mut self, owner: u16, address: SocketAddr) {
        if self.foreign.len() >= MAX_FOREIGN {
            // A client that is still connected is learned again with its next check.
            self.foreign.clear();
        }
        self.foreign.insert(address, owner);
    }

    /// Queues a message that is sent at once.
    pub(super) fn send(&mut self, to: u16, content: Content) {
        match self.by_shard.get_mut(usize::from(to)) {
            Some(link) if link.ready.len() < MAX_NOTES => link.ready.push_back(Message(content)),
            _ => tracing::error!(shard = to, "a media shard takes no more messages"),
        }
    }

    /// The batch that collects media packets for a shard.
    pub(super) fn media_mut(&mut self, to: u16) -> Option<&mut MediaBatch> {
        self.by_shard.get_mut(usize::from(to)).map(|link| &mut link.media)
    }

    /// Keeps an emptied batch for reuse.
    pub(super) fn keep_datagrams(&mut self, spare: Datagrams) {
        if self.spare_datagrams.len() < MAX_SPARE {
            self.spare_datagrams.push(spare);
        }
    }

    /// Keeps an emptied media batch for reuse.
    pub(super) fn keep_media(&mut self, spare: MediaBatch) {
        if self.spare_media.len() < MAX_SPARE {
            self.spare_media.push(spare);
        }
    }

    /// The time at which [`Links::poll`] has to be called for datagrams that wait.
    pub(super) fn poll_timeout(&self) -> Option<Micros> {
        self.by_shard.iter().filter_map(Link::due).min()
    }

    /// The next message and the shard that it is addressed to.
    pub(super) fn poll(&mut self, now: Micros) -> Option<(u16, Message)> {
        let Self { by_shard, spare_datagrams, spare_media, .. } = self;
        (0..).zip(by_shard).find_map(|(shard, link)| {
            // Waiting data is sent along whenever the shard is woken anyway.
            let is_woken = link.ready.iter().any(Message::is_urgent) || !link.media.is_empty();
            if is_woken || link.due().is_some_and(|due| due <= now) {
                link.flush_datagrams(spare_datagrams);
                link.flush_media(spare_media);
            }
            Some((shard, link.ready.pop_front()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Note;
    use super::*;
    use crate::keys::PublicationKey;

    const FEEDBACK: [u8; 8] = [0x8f, 205, 0, 1, 0, 0, 0, 1];
    const NACK: [u8; 8] = [0x81, 205, 0, 1, 0, 0, 0, 1];

    /// The links of the first of two shards; the second one owns the client.
    fn links() -> (Links, Path) {
        let mut links = Links::new(2);
        let path = Path::to("192.0.2.7:5000".parse().unwrap());
        links.set_owner(1, path.remote);
        (links, path)
    }

    fn polled(links: &mut Links, now: u64) -> Option<usize> {
        let (to, message) = links.poll(Micros(now))?;
        let Content::Datagrams(batch) = message.0 else { panic!("no datagrams") };
        assert_eq!(to, 1);
        Some(batch.datagrams())
    }

    #[test]
    fn feedback_for_another_shard_waits_a_little() {
        let (mut links, path) = links();
        links.forward(Micros(0), path, Protocol::Rtcp, &FEEDBACK);
        links.forward(Micros(PATIENCE_MICROS / 2), path, Protocol::Rtcp, &FEEDBACK);
        assert_eq!(polled(&mut links, PATIENCE_MICROS - 1), None, "it waits");
        assert_eq!(links.poll_timeout(), Some(Micros(PATIENCE_MICROS)));
        links.send(1, Content::SpareMedia(MediaBatch::default()));
        assert!(links.poll(Micros(0)).is_some_and(|(_, message)| !message.is_urgent()), "it wakes nobody");
        assert_eq!(polled(&mut links, PATIENCE_MICROS), Some(2));
        assert_eq!(links.poll_timeout(), None, "nothing is left behind");
    }

    #[test]
    fn what_asks_for_packets_goes_at_once_and_takes_along_what_waits() {
        let (mut links, path) = links();
        links.forward(Micros(0), path, Protocol::Rtcp, &FEEDBACK);
        links.forward(Micros(0), path, Protocol::Rtcp, &NACK);
        assert_eq!(polled(&mut links, 0), Some(2));
        links.forward(Micros(9), Path::to("192.0.2.8:1".parse().unwrap()), Protocol::Rtp, &NACK);
        assert_eq!(polled(&mut links, 9), None, "a stranger's datagram goes nowhere");
    }

    #[test]
    fn facts_take_waiting_feedback_along_and_keep_their_order() {
        let (mut links, path) = links();
        links.forward(Micros(0), path, Protocol::Rtcp, &FEEDBACK);
        let key = PublicationKey::default();
        links.send(1, Content::Note(Note::Unpublished(key)));
        links.send(1, Content::Note(Note::KeyframeWanted(key, 0)));
        assert_eq!(polled(&mut links, 0), Some(1));
        let rest: Vec<_> = std::iter::from_fn(|| links.poll(Micros(0))).map(|(_, message)| message).collect();
        assert!(matches!(
            rest.as_slice(),
            [Message(Content::Note(Note::Unpublished(_))), Message(Content::Note(Note::KeyframeWanted(..)))]
        ));
        assert!(rest.iter().all(|message| message.must_arrive() && message.is_urgent()));
    }
}
