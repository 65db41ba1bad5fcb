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
use std::time::{Duration, Instant};

use datagrams::{Batch, Wake};

use crate::demux::{Protocol, classify, is_transport_feedback};
use crate::ice::{Check, worker_of};
use crate::path::Path;
use crate::shard::{MediaBatch, Note, Worker};

/// Batches that may wait for a worker. More are dropped, as a full socket would.
const MAILBOX: usize = 1_024;
/// Notes that may wait beside them. None may be lost: a worker that takes none of so many has died.
const MAX_NOTES: usize = 65_536;
/// Bytes of a batch from which it is sent at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Addresses of other workers' clients that are remembered.
const MAX_FOREIGN: usize = 65_536;
const MAX_SPARE: usize = 8;
/// How long a transport-wide feedback waits for company. It names the times of arrival itself, so what it says is as true later,
/// and waking another worker for each costs more than handling it.
const PATIENCE: Duration = Duration::from_millis(5);

/// What workers send each other.
enum Handed {
    /// Datagrams of the receiver's clients.
    Datagrams(u16, Batch<Path>),
    /// The sender has validated this address.
    Owns(u16, SocketAddr),
    /// An empty batch back to whom it belongs, so that its memory is used again.
    Spare(Batch<Path>),
    /// Packets of rooms that the receiver serves for the sender.
    Media(u16, MediaBatch),
    /// As for datagrams.
    SpareMedia(MediaBatch),
    /// What the sender has to tell about such rooms.
    Note(u16, Note),
}

/// What is collected for a neighbour.
#[derive(Default)]
struct Outgoing {
    batch: Batch<Path>,
    /// Something in it does not wait.
    is_urgent: bool,
    /// Since when the first of it waits.
    since: Option<Instant>,
}

impl Outgoing {
    fn push(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.since.get_or_insert(now);
        self.is_urgent |= !is_transport_feedback(datagram);
        self.batch.push(path, [datagram]);
    }

    /// When to send it at the latest; `None` when there is nothing.
    fn due(&self) -> Option<Instant> {
        Some(self.since? + if self.is_urgent { Duration::ZERO } else { PATIENCE })
    }

    fn send(&mut self, own: u16, neighbour: &Neighbour, spare: &mut Vec<Batch<Path>>) {
        if self.since.take().is_some() {
            self.is_urgent = false;
            let full = std::mem::replace(&mut self.batch, spare.pop().unwrap_or_default());
            neighbour.send(Handed::Datagrams(own, full));
        }
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
    outgoing: Vec<Outgoing>,
    notes: Vec<VecDeque<Note>>,
    spare: Vec<Batch<Path>>,
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
                outgoing: neighbours.iter().map(|_| Outgoing::default()).collect(),
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
        let Self { own, neighbours, outgoing, spare, .. } = self;
        let (Some(outgoing), Some(neighbour)) =
            (outgoing.get_mut(usize::from(owner)), neighbours.get(usize::from(owner)))
        else {
            return;
        };
        outgoing.push(now, path, datagram);
        if outgoing.batch.len() > BATCH_BYTES {
            outgoing.send(*own, neighbour, spare);
        }
    }

    /// When [`HandOver::flush`] has something to send that waits until then.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.outgoing.iter().filter_map(Outgoing::due).min()
    }

    /// Sends what was collected for others, and what the worker has for them.
    pub(crate) fn flush(&mut self, now: Instant, worker: &mut Worker) {
        let Self { own, neighbours, outgoing, notes, spare, spare_media, .. } = self;
        for (to, note) in worker.notes.drain(..) {
            match notes.get_mut(usize::from(to)) {
                Some(notes) if notes.len() < MAX_NOTES => notes.push_back(note),
                _ => tracing::error!(worker = to, "a media worker takes no more notes"),
            }
        }
        let own = *own;
        let batches = worker.batches.iter_mut();
        for (((neighbour, outgoing), notes), batch) in neighbours.iter().zip(outgoing).zip(notes).zip(batches)
        {
            // A neighbour that is woken anyway gets what waits for it.
            if outgoing.due().is_some_and(|due| due <= now) || !notes.is_empty() || !batch.is_empty() {
                outgoing.send(own, neighbour, spare);
            }
            neighbour.send_notes(own, notes);
            if batch.is_empty() {
                continue;
            }
            if notes.is_empty() {
                let full = std::mem::replace(batch, spare_media.pop().unwrap_or_default());
                neighbour.send(Handed::Media(own, full));
            } else {
                batch.clear();
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

    fn take_batch(&mut self, worker: &mut Worker, now: Instant, from: u16, mut batch: Batch<Path>) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

    use super::*;
    use crate::driver::worker::{Seat, Sfu};
    use crate::{Config, SfuHandle};

    /// Two workers, of whom the second has the client at [`CLIENT`].
    fn two_workers(now: Instant) -> (SfuHandle, Seat, Seat) {
        let config = Config { workers: 2, ..Config::new(vec!["192.0.2.1:3478".parse().unwrap()], [7; 32]) };
        let (handle, seats) = Sfu::new(config, now).unwrap();
        let [mut first, second] = <[Seat; 2]>::try_from(seats).ok().unwrap();
        first.hand_over.foreign.insert(CLIENT.parse().unwrap(), 1);
        (handle, first, second)
    }

    const CLIENT: &str = "192.0.2.7:5000";
    const FEEDBACK: [u8; 8] = [0x8f, 205, 0, 1, 0, 0, 0, 1];
    const NACK: [u8; 8] = [0x81, 205, 0, 1, 0, 0, 0, 1];

    fn receive(seat: &mut Seat, now: Instant, mut datagram: [u8; 8]) {
        seat.handle_datagram(now, Path::to(CLIENT.parse().unwrap()), &mut datagram);
        assert!(seat.end_batch(now));
    }

    #[test]
    fn feedback_for_another_worker_waits_a_little() {
        let now = Instant::now();
        let (_handle, mut first, mut second) = two_workers(now);
        receive(&mut first, now, FEEDBACK);
        receive(&mut first, now + PATIENCE / 2, FEEDBACK);
        assert!(!second.take_inputs(now), "it waits");
        let due = first.hand_over.poll_timeout().unwrap();
        assert_eq!(due, now + PATIENCE);
        assert!(first.end_batch(due));
        assert!(second.take_inputs(due));
        assert_eq!(first.hand_over.poll_timeout(), None, "nothing is left behind");
    }

    #[test]
    fn what_asks_for_packets_goes_at_once_and_takes_along_what_waits() {
        let now = Instant::now();
        let (_handle, mut first, mut second) = two_workers(now);
        receive(&mut first, now, FEEDBACK);
        receive(&mut first, now, NACK);
        assert!(second.take_inputs(now));
        assert_eq!(first.hand_over.poll_timeout(), None);
    }
}
