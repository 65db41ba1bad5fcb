//! The handle of the recorder.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use sfu::Handle;
use signaling_core::message::{Name, Role};
use signaling_core::room::Caption;
use signaling_core::{LifeId, PeerId, RoomId, Watch};

use super::check::check;
use super::config::{OnEvent, RecorderConfig, StartError};
use super::entropy::SystemEntropy;
use super::feed::{Feed, Note, feed};
use super::files::{Files, Next};
use super::finaliser::Finaliser;
use super::recover::recover;
use super::sweep::sweep;
use super::time::{DISK, believed_clock, now};
use super::uploader::Uploader;
use super::writer::Writer;
use crate::index::{EntryState, Index, RecordingId};
use crate::store::Store;
use crate::upload::Upload;

/// How long a shutdown waits for files to be closed.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// The handle of the writing thread. Cheap to clone; only shutting down blocks.
#[derive(Clone)]
pub struct Recorder {
    feed: Feed,
    index: Arc<Index>,
    stored: Option<Store>,
    uploader: Option<Uploader>,
    finaliser: Option<Finaliser>,
}

impl Recorder {
    /// Reads the folder, repairs recordings interrupted by a crash, applies the retention, and starts the threads. The
    /// watch is notified when one of them ends.
    pub fn start(
        config: &RecorderConfig,
        sfu: Handle,
        watch: &Watch,
        on_event: OnEvent,
    ) -> Result<Self, StartError> {
        let stored = config.store.as_ref().map(Store::open_for_reading).transpose()?;
        let index = Arc::new(Index::open(&config.folder)?.with_fsync(config.fsync));
        recover(&index);
        mark(&index, stored.is_some());
        // Applied first, so that nothing is finalised or uploaded in vain.
        sweep(&index, config.retention, believed_clock());
        let uploader =
            config.store.as_ref().map(|store| Uploader::start(store, &index, watch)).transpose()?;
        let ffmpeg = config.ffmpeg.clone();
        let finaliser =
            ffmpeg.map(|ffmpeg| Finaliser::start(ffmpeg, &index, uploader.clone(), watch)).transpose()?;
        // The uploader now sees the recordings that the finaliser has left to it.
        uploader.iter().for_each(Uploader::wake);
        let (feed, intake) = feed();
        // Determined before new files are created.
        let strays = index.strays().unwrap_or_default();
        let checked = Arc::clone(&index);
        let check = move || check(&checked, strays, &mut SystemEntropy);
        thread::Builder::new().name("recordings".into()).spawn(check)?;
        let next = Next { finaliser: finaliser.clone(), uploader: uploader.clone() };
        let writer = Writer::new(Files::new(config, Arc::clone(&index), next, on_event), sfu, feed.clone());
        let engine = watch.patient_engine("recorder", DISK);
        thread::Builder::new().name("recorder".into()).spawn(move || {
            writer.run(&intake, &engine);
            engine.finish();
        })?;
        Ok(Self { feed, index, stored, uploader, finaliser })
    }

    /// The index of recordings.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Starts recording a room: all peers, or only its broadcasters.
    pub fn record(&self, room: RoomId, life: LifeId, everybody: bool) {
        self.feed.tell(Note::Start { room, life, everybody });
    }

    /// Stops recording a room.
    pub fn stop(&self, room: RoomId) {
        self.feed.tell(Note::Stop { room });
    }

    /// Sets the role and name of a peer, as far as they are known.
    pub fn peer(&self, room: RoomId, peer: PeerId, role: Option<Role>, name: Option<Name>) {
        self.feed.tell(Note::Peer { room, peer, role, name });
    }

    /// Writes a line of captions beside the files of a room, if the room is recorded.
    pub fn caption(&self, room: RoomId, caption: Caption) {
        self.feed.tell(Note::Caption { room, at: now(), caption });
    }

    /// Reports the end of a room, recorded or not.
    pub fn ended(&self, room: RoomId) {
        self.feed.tell(Note::Ended { room });
    }

    /// Deletes a recording. A recording that is being written is ended first, and deleted a moment later.
    pub fn delete(&self, recording: RecordingId) -> io::Result<()> {
        let entry = self.index.get(recording);
        if entry.is_some_and(|entry| entry.state == EntryState::Recording) {
            self.feed.tell(Note::Delete { recording });
            return Ok(());
        }
        let deleted = self.index.delete(recording);
        self.uploader.iter().for_each(Uploader::wake);
        deleted
    }

    /// The store of recordings that are no longer in the folder.
    pub fn store(&self) -> Option<&Store> {
        self.stored.as_ref()
    }

    /// Closes all files, stops ffmpeg, and waits for a limited time until that is done.
    pub fn shut_down(&self) {
        let until = now() + SHUTDOWN;
        if let Some(finaliser) = &self.finaliser {
            finaliser.stop();
        }
        let (done, closed) = sync_channel(0);
        if self.feed.tell(Note::Shutdown { done }) {
            // The result does not matter: the sender is dropped when the files are closed, or is lost with the thread.
            let _ = closed.recv_timeout(SHUTDOWN);
        }
        if let Some(finaliser) = &self.finaliser {
            finaliser.wait(until);
        }
    }
}

/// With a store, marks all recordings for upload. Without one, cancels the uploads that are not complete.
fn mark(index: &Index, has_store: bool) {
    for entry in index.all() {
        index.update(entry.recording, |entry| {
            if !has_store {
                entry.upload.take_if(|upload| !upload.is_stored());
            } else if entry.state != EntryState::Failed {
                entry.upload.get_or_insert(Upload::Waiting);
            }
        });
    }
}
