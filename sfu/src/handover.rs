//! Datagrams that reached another worker than the one that has their client.
//!
//! The kernel spreads clients over the workers' sockets by address, and knows nothing of rooms. A connectivity check
//! names its worker in its user name, so it finds its way at once; when the worker has validated it, it says so, and what
//! else comes from that address follows. So do the packets of rooms that several workers serve, and what those workers tell
//! one another of them. Nothing is shared: all goes through bounded mailboxes, a batch at a time.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use crate::demux::{Protocol, classify};
use crate::ice::{Check, worker_of};
use crate::path::Path;
use crate::server::Wake;
use crate::worker::{MediaBatch, Note, Worker};

/// Batches that may wait for a worker. More are dropped, as a full socket would.
const MAILBOX: usize = 1_024;
/// Notes that may wait beside them. None may be lost: a worker that takes none of so many has died.
const MAX_NOTES: usize = 65_536;
/// Bytes of a batch from which it is sent at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Addresses of other workers' clients that are remembered.
const MAX_FOREIGN: usize = 65_536;
const MAX_SPARE: usize = 8;

/// What workers send each other.
enum Handed {
    /// Datagrams of the receiver's clients.
    Datagrams(u16, Batch),
    /// The sender has validated this address.
    Owns(u16, SocketAddr),
    /// An empty batch back to whom it belongs, so that its memory is used again.
    Spare(Batch),
    /// Packets of rooms that the receiver serves for the sender.
    Media(u16, MediaBatch),
    /// As for datagrams.
    SpareMedia(MediaBatch),
    /// What the sender has to tell about such rooms.
    Note(u16, Note),
}

/// Datagrams side by side, with the path and the length of each.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) datagrams: Vec<(Path, usize)>,
}

impl Batch {
    /// Hands over each datagram, and is empty afterwards.
    pub(crate) fn drain(&mut self, mut handle: impl FnMut(Path, &mut [u8])) {
        let mut rest = self.bytes.as_mut_slice();
        for (path, len) in &self.datagrams {
            let Some((datagram, tail)) = rest.split_at_mut_checked(*len) else { break };
            rest = tail;
            handle(*path, datagram);
        }
        self.bytes.clear();
        self.datagrams.clear();
    }
}

#[derive(Clone)]
struct Neighbour {
    sender: SyncSender<Handed>,
    wake: Arc<Wake>,
}

impl Neighbour {
    fn send(&self, handed: Handed) {
        // A neighbour that does not keep up loses datagrams.
        if self.sender.try_send(handed).is_ok() {
            self.wake.signal();
        }
    }

    /// Gives memory back, which is no reason to wake anybody.
    fn return_spare(&self, spare: Handed) {
        let _ = self.sender.try_send(spare);
    }

    /// Sends notes as long as there is room for them.
    fn send_notes(&self, own: u16, notes: &mut VecDeque<Note>) {
        let mut has_sent = false;
        while let Some(note) = notes.pop_front() {
            match self.sender.try_send(Handed::Note(own, note)) {
                Ok(()) => has_sent = true,
                Err(TrySendError::Full(Handed::Note(_, note))) => {
                    notes.push_front(note);
                    break;
                }
                Err(_) => notes.clear(),
            }
        }
        if has_sent {
            self.wake.signal();
        }
    }
}

/// One worker's relations to the others.
pub(crate) struct HandOver {
    own: u16,
    neighbours: Arc<[Neighbour]>,
    inbox: Receiver<Handed>,
    foreign: HashMap<SocketAddr, u16, foldhash::fast::RandomState>,
    /// By neighbour.
    outgoing: Vec<Batch>,
    notes: Vec<VecDeque<Note>>,
    spare: Vec<Batch>,
    spare_media: Vec<MediaBatch>,
}

impl HandOver {
    /// The relations of workers that are woken by these.
    pub(crate) fn between(wakes: &[Arc<Wake>]) -> Vec<Self> {
        let (neighbours, inboxes): (Vec<_>, Vec<_>) = wakes
            .iter()
            .map(|wake| {
                let (sender, inbox) = sync_channel(MAILBOX);
                (Neighbour { sender, wake: Arc::clone(wake) }, inbox)
            })
            .unzip();
        let neighbours: Arc<[Neighbour]> = neighbours.into();
        (0..)
            .zip(inboxes)
            .map(|(own, inbox)| Self {
                own,
                outgoing: neighbours.iter().map(|_| Batch::default()).collect(),
                notes: neighbours.iter().map(|_| VecDeque::new()).collect(),
                neighbours: Arc::clone(&neighbours),
                inbox,
                foreign: HashMap::default(),
                spare: Vec::new(),
                spare_media: Vec::new(),
            })
            .collect()
    }

    /// Takes a datagram from the socket: for the own worker, or for another one.
    pub(crate) fn dispatch(&mut self, worker: &mut Worker, now: Instant, path: Path, datagram: &mut [u8]) {
        if self.neighbours.len() < 2 {
            worker.handle_datagram(now, path, datagram);
            return;
        }
        let owner = match classify(datagram) {
            None => return,
            Some(Protocol::Stun) => {
                match Check::parse(datagram).and_then(|check| worker_of(&check.local_ufrag()?)) {
                    Some(owner) => owner,
                    None => return,
                }
            }
            Some(_) if worker.knows_address(path.remote) => self.own,
            Some(_) => match self.foreign.get(&path.remote) {
                Some(owner) => *owner,
                None => return,
            },
        };
        if owner == self.own {
            worker.handle_datagram(now, path, datagram);
            return;
        }
        let Some(batch) = self.outgoing.get_mut(usize::from(owner)) else { return };
        batch.bytes.extend_from_slice(datagram);
        batch.datagrams.push((path, datagram.len()));
        if batch.bytes.len() > BATCH_BYTES {
            self.flush_datagrams();
        }
    }

    /// Sends what was collected for others, and what the worker has for them.
    pub(crate) fn flush(&mut self, worker: &mut Worker) {
        self.flush_datagrams();
        let Self { own, neighbours, notes, spare_media, .. } = self;
        for (to, note) in worker.notes.drain(..) {
            match notes.get_mut(usize::from(to)) {
                Some(notes) if notes.len() < MAX_NOTES => notes.push_back(note),
                _ => tracing::error!(worker = to, "a media worker takes no more notes"),
            }
        }
        let batches = worker.batches.iter_mut();
        for ((neighbour, notes), batch) in neighbours.iter().zip(notes).zip(batches) {
            neighbour.send_notes(*own, notes);
            if batch.is_empty() {
                continue;
            }
            if notes.is_empty() {
                let full = std::mem::replace(batch, spare_media.pop().unwrap_or_default());
                neighbour.send(Handed::Media(*own, full));
            } else {
                batch.clear();
            }
        }
    }

    fn flush_datagrams(&mut self) {
        let Self { own, neighbours, outgoing, spare, .. } = self;
        for (batch, neighbour) in outgoing.iter_mut().zip(neighbours.iter()) {
            if !batch.datagrams.is_empty() {
                let full = std::mem::replace(batch, spare.pop().unwrap_or_default());
                neighbour.send(Handed::Datagrams(*own, full));
            }
        }
    }

    /// Takes what others sent, and says whether there was something.
    pub(crate) fn take(&mut self, worker: &mut Worker, now: Instant) -> bool {
        let mut has_taken = false;
        while let Ok(handed) = self.inbox.try_recv() {
            has_taken = true;
            match handed {
                Handed::Note(from, note) => worker.handle_note(now, from, note),
                Handed::Media(from, mut batch) => {
                    worker.handle_batch(now, from, &batch);
                    batch.clear();
                    if let Some(neighbour) = self.neighbours.get(usize::from(from)) {
                        neighbour.return_spare(Handed::SpareMedia(batch));
                    }
                }
                Handed::SpareMedia(batch) => {
                    if self.spare_media.len() < MAX_SPARE {
                        self.spare_media.push(batch);
                    }
                }
                Handed::Datagrams(from, batch) => self.take_batch(worker, now, from, batch),
                Handed::Owns(owner, address) => {
                    if self.foreign.len() >= MAX_FOREIGN {
                        // Whoever is still there says so with its next check.
                        self.foreign.clear();
                    }
                    self.foreign.insert(address, owner);
                }
                Handed::Spare(batch) => {
                    if self.spare.len() < MAX_SPARE {
                        self.spare.push(batch);
                    }
                }
            }
        }
        has_taken
    }

    fn take_batch(&mut self, worker: &mut Worker, now: Instant, from: u16, mut batch: Batch) {
        let Some(neighbour) = self.neighbours.get(usize::from(from)) else { return };
        batch.drain(|path, datagram| {
            let is_check = classify(datagram) == Some(Protocol::Stun);
            worker.handle_datagram(now, path, datagram);
            if is_check && worker.knows_address(path.remote) {
                neighbour.send(Handed::Owns(self.own, path.remote));
            }
        });
        neighbour.return_spare(Handed::Spare(batch));
    }
}
