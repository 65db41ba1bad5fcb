//! From the threads that forward media to the one that writes: a queue with a bound, into which nobody ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sfu::{Tap, TapEvent, TapTrack};
use signaling_core::message::{Name, Role};
use signaling_core::{LifeId, PeerId, RoomId};

use crate::index::RecordingId;
use crate::track::{Packet, Report};

/// Notes that may wait. Packets stop at [`MAX_BYTES`] before; what is left is for what must not get lost.
const MAX_NOTES: usize = 65_536;
/// Packets that may wait, in bytes: some seconds of a slow disk.
const MAX_BYTES: usize = 32 << 20;
/// What a waiting packet takes beside its bytes.
const OVERHEAD: usize = 128;

/// What the writing thread is told.
#[derive(Debug)]
pub(super) enum Note {
    /// Record a room.
    Start {
        room: RoomId,
        life: LifeId,
        everybody: bool,
    },
    /// Record it no more.
    Stop {
        room: RoomId,
    },
    /// Who is in a room.
    Peer {
        room: RoomId,
        peer: PeerId,
        role: Option<Role>,
        name: Option<Name>,
    },
    /// Somebody is gone.
    Gone {
        room: RoomId,
        peer: PeerId,
    },
    /// A room is over.
    Ended {
        room: RoomId,
    },
    /// A track of a recorded room.
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
    /// Take a recording off the disk.
    Delete {
        recording: RecordingId,
    },
    /// Close everything; say so by dropping the sender.
    Shutdown {
        done: SyncSender<()>,
    },
}

/// The sending half.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    notes: SyncSender<Note>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

/// The receiving half.
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
    /// Hands a note over, unless there are far too many.
    pub(super) fn tell(&self, note: Note) -> bool {
        let told = self.notes.try_send(note).is_ok();
        if !told {
            tracing::error!("the recorder takes no more notes");
        }
        told
    }

    /// The tap of a room.
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
    /// The next note, waiting so long for it.
    pub(super) fn wait(&self, patience: Duration) -> Result<Note, RecvTimeoutError> {
        self.notes.recv_timeout(patience).inspect(|note| self.release(note))
    }

    /// The next note that is there.
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

/// A reading of the clock, for what is not a packet.
pub(super) fn now() -> Instant {
    clock::now()
}
