//! A bounded queue from the threads that forward media to the writing thread. Sending never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sfu::{Tap, TapEvent, TapTrack};
use signaling_core::message::{Name, Role};
use signaling_core::room::Caption;
use signaling_core::{LifeId, PeerId, RoomId};

use crate::index::RecordingId;
use crate::track::{Packet, Report};

/// Maximum number of notes in the queue. Packets are already limited by [`MAX_BYTES`], so the rest is left for
/// notes that must not be lost.
const MAX_NOTES: usize = 65_536;
/// Maximum size of the packets in the queue, in bytes: some seconds on a slow disk.
const MAX_BYTES: usize = 32 << 20;
/// The overhead of a queued packet, in bytes.
const OVERHEAD: usize = 128;

/// A message to the writing thread.
#[derive(Debug)]
pub(super) enum Note {
    /// Starts the recording of a room.
    Start {
        room: RoomId,
        life: LifeId,
        everybody: bool,
    },
    /// Stops the recording of a room.
    Stop {
        room: RoomId,
    },
    /// The role and name of a peer in a room, as far as they are known.
    Peer {
        room: RoomId,
        peer: PeerId,
        role: Option<Role>,
        name: Option<Name>,
    },
    /// A line of captions.
    Caption {
        room: RoomId,
        at: Instant,
        caption: Caption,
    },
    /// A peer has left.
    Gone {
        room: RoomId,
        peer: PeerId,
    },
    /// A room has ended.
    Ended {
        room: RoomId,
    },
    /// A track was published in a recorded room.
    Published {
        room: RoomId,
        track: TapTrack,
    },
    Unpublished {
        room: RoomId,
        track: Arc<str>,
    },
    Packet {
        room: RoomId,
        track: Arc<str>,
        packet: Packet,
    },
    Report {
        room: RoomId,
        track: Arc<str>,
        report: Report,
    },
    /// Deletes a recording.
    Delete {
        recording: RecordingId,
    },
    /// Closes all files, then drops the sender to confirm.
    Shutdown {
        done: SyncSender<()>,
    },
}

/// The sending half of the queue.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    notes: SyncSender<Note>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

/// The receiving half of the queue.
#[derive(Debug)]
pub(super) struct Intake {
    notes: Receiver<Note>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn feed() -> (Feed, Intake) {
    let (sender, receiver) = sync_channel(MAX_NOTES);
    let waiting = Arc::new(AtomicUsize::new(0));
    let feed = Feed { notes: sender, waiting: Arc::clone(&waiting), dropped: Arc::default() };
    (feed, Intake { notes: receiver, waiting })
}

impl Feed {
    /// Queues a note; `false` if the queue is full or closed.
    pub(super) fn tell(&self, note: Note) -> bool {
        let told = self.notes.try_send(note).is_ok();
        if !told {
            tracing::error!("the recorder takes no more notes");
        }
        told
    }

    /// Creates the tap of a room, with its counter of dropped packets.
    pub(super) fn tap(&self, room: RoomId) -> (Arc<dyn Tap>, Arc<AtomicU64>) {
        let dropped = Arc::new(AtomicU64::new(0));
        let feed = Self { dropped: Arc::clone(&dropped), ..self.clone() };
        (Arc::new(RoomTap { feed, room }), dropped)
    }

    fn packet(&self, room: &RoomId, track: &Arc<str>, packet: sfu::TapPacket<'_>) {
        let len = packet.payload.len() + OVERHEAD;
        let is_full = self.waiting.fetch_add(len, Ordering::AcqRel) + len > MAX_BYTES;
        let note = || Note::Packet {
            room: room.clone(),
            track: Arc::clone(track),
            packet: Packet {
                at: packet.at,
                position: packet.position,
                generation: packet.generation,
                timestamp: packet.timestamp,
                marker: packet.marker,
                rotation: packet.rotation,
                codec: packet.codec,
                payload: packet.payload.into(),
            },
        };
        if is_full || self.notes.try_send(note()).is_err() {
            self.waiting.fetch_sub(len, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Intake {
    /// Waits up to `patience` for the next note.
    pub(super) fn wait(&self, patience: Duration) -> Result<Note, RecvTimeoutError> {
        self.notes.recv_timeout(patience).inspect(|note| self.release(note))
    }

    /// The next note, if there is one.
    pub(super) fn take(&self) -> Option<Note> {
        self.notes.try_recv().ok().inspect(|note| self.release(note))
    }

    fn release(&self, note: &Note) {
        if let Note::Packet { packet, .. } = note {
            self.waiting.fetch_sub(packet.payload.len() + OVERHEAD, Ordering::AcqRel);
        }
    }
}

struct RoomTap {
    feed: Feed,
    room: RoomId,
}

impl Tap for RoomTap {
    fn take(&self, event: TapEvent<'_>) {
        let room = || self.room.clone();
        let note = match event {
            TapEvent::Packet(track, packet) => return self.feed.packet(&self.room, track, packet),
            TapEvent::Published(track) => Note::Published { room: room(), track: track.clone() },
            TapEvent::Unpublished(track) => Note::Unpublished { room: room(), track: Arc::clone(track) },
            TapEvent::Report(track, report) => {
                let sfu::TapReport { generation, ntp, timestamp } = report;
                let report = Report { generation, ntp: ntp.0, timestamp };
                Note::Report { room: room(), track: Arc::clone(track), report }
            }
            TapEvent::Left(peer) => Note::Gone { room: room(), peer },
            TapEvent::Ended => Note::Ended { room: room() },
            _ => return,
        };
        self.feed.tell(note);
    }
}
