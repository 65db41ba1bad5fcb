//! The thread that writes, and what the rest of a server says to it.
#![allow(clippy::disallowed_methods, reason = "drivers read the clock")]

mod check;
mod disk;
mod feed;
mod finaliser;
mod recover;
mod room;
mod sweep;
mod uploader;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use sfu::Handle;
use signaling_core::message::{Name, Role};
use signaling_core::{LifeId, MediaEvent, PeerId, RoomId, Timestamp, Watch};

use crate::ffmpeg::Ffmpeg;
use crate::index::{Index, RecordingId, RecordingState};
use crate::retention::Retention;
use crate::store::{OpenError, Store, StoreConfig};
use crate::upload::Upload;
use feed::{Feed, Note};
use finaliser::Finaliser;
pub use recover::recover;
use uploader::Uploader;
use writer::Writer;

/// How long the end of a process waits for files to be closed.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a disk may take over one step of a thread before something is wrong.
const DISK: Duration = Duration::from_mins(1);
/// The longest time a thread is silent that has nothing to do.
const SIGN: Duration = Duration::from_secs(1);

/// What a [`Recorder`] is made with.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// Where recordings lie.
    pub folder: PathBuf,
    /// Each fragment is on the disk itself before the next one: it survives a power cut, too.
    pub fsync: bool,
    /// Makes recordings handier when they are over.
    pub ffmpeg: Option<Ffmpeg>,
    /// What is kept, looked after at the start, when a recording ends, and every five minutes.
    pub retention: Retention,
    /// Where recordings go when they are over, beside the folder or instead of it.
    pub store: Option<StoreConfig>,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The folder is of no use.
    #[error("the folder of recordings cannot be used")]
    Folder(#[from] io::Error),
    /// There is no such object store.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Hears how recordings stand, on the writing thread.
pub type OnEvent = Box<dyn Fn(&RoomId, MediaEvent) + Send>;

/// Speaks to the thread that writes. Cheap to clone; never blocks but at the end.
#[derive(Clone)]
pub struct Recorder {
    feed: Feed,
    index: Arc<Index>,
    stored: Option<Store>,
    uploader: Option<Uploader>,
    finaliser: Option<Finaliser>,
}

/// Who takes a recording that is over.
#[derive(Clone, Debug, Default)]
struct Hands {
    finaliser: Option<Finaliser>,
    uploader: Option<Uploader>,
}

impl Recorder {
    /// Reads the folder, repairs what a crash left behind, deletes what is not to be kept, and starts the threads. The watch is
    /// told when one of them ends.
    pub fn start(
        config: RecorderConfig,
        sfu: Handle,
        watch: &Watch,
        on_event: OnEvent,
    ) -> Result<Self, StartError> {
        let stored = config.store.as_ref().map(Store::open_for_reading).transpose()?;
        let index = Arc::new(Index::open(&config.folder)?.with_fsync(config.fsync));
        recover(&index);
        mark(&index, stored.is_some());
        // Before anything is finalised or uploaded in vain.
        sweep::sweep(&index, config.retention, believed_clock());
        let uploader =
            config.store.as_ref().map(|store| Uploader::start(store, &index, watch)).transpose()?;
        let ffmpeg = config.ffmpeg.clone();
        let finaliser =
            ffmpeg.map(|ffmpeg| Finaliser::start(ffmpeg, &index, uploader.clone(), watch)).transpose()?;
        // It sees what is left for it.
        uploader.iter().for_each(Uploader::wake);
        let (feed, intake) = feed::feed();
        // Before there are files that are being made.
        let strays = index.strays().unwrap_or_default();
        let checked = Arc::clone(&index);
        let check = move || check::check(&checked, strays, &mut writer::SystemEntropy);
        thread::Builder::new().name("recordings".into()).spawn(check)?;
        let hands = Hands { finaliser: finaliser.clone(), uploader: uploader.clone() };
        let writer = Writer::new(config, Arc::clone(&index), sfu, feed.clone(), hands, on_event);
        let engine = watch.patient_engine("recorder", DISK);
        thread::Builder::new().name("recorder".into()).spawn(move || {
            writer.run(&intake, &engine);
            engine.finish();
        })?;
        Ok(Self { feed, index, stored, uploader, finaliser })
    }

    /// What there is.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Records a room of the media server: everybody in it, or its broadcasters alone.
    pub fn record(&self, room: RoomId, life: LifeId, everybody: bool) {
        self.feed.tell(Note::Start { room, life, everybody });
    }

    /// Records a room no more.
    pub fn stop(&self, room: RoomId) {
        self.feed.tell(Note::Stop { room });
    }

    /// Says who somebody is, as far as that is known.
    pub fn peer(&self, room: RoomId, peer: PeerId, role: Option<Role>, name: Option<Name>) {
        self.feed.tell(Note::Peer { room, peer, role, name });
    }

    /// A room is over, recorded or not.
    pub fn ended(&self, room: RoomId) {
        self.feed.tell(Note::Ended { room });
    }

    /// Takes a recording off the disk. One that is being written ends first, a moment later.
    pub fn delete(&self, recording: RecordingId) -> io::Result<()> {
        let entry = self.index.get(recording);
        if entry.is_some_and(|entry| entry.state == RecordingState::Recording) {
            self.feed.tell(Note::Delete { recording });
            return Ok(());
        }
        let deleted = self.index.delete(recording);
        self.uploader.iter().for_each(Uploader::wake);
        deleted
    }

    /// Where recordings are that are not in the folder any more.
    pub fn store(&self) -> Option<&Store> {
        self.stored.as_ref()
    }

    /// Closes all files, ends ffmpeg, and waits a little until that is done.
    pub fn shut_down(&self) {
        let until = clock::now() + SHUTDOWN;
        if let Some(finaliser) = &self.finaliser {
            finaliser.stop();
        }
        let (done, closed) = sync_channel(0);
        if self.feed.tell(Note::Shutdown { done }) {
            // Either way the sender is gone: the files are closed, or never will be.
            let _ = closed.recv_timeout(SHUTDOWN);
        }
        if let Some(finaliser) = &self.finaliser {
            finaliser.wait(until);
        }
    }
}

/// With a store, everything is to go there. Without one, what has not arrived stays in the folder alone.
fn mark(index: &Index, has_store: bool) {
    for entry in index.all() {
        index.update(entry.recording, |entry| {
            if !has_store {
                entry.upload.take_if(|upload| !upload.is_stored());
            } else if entry.state != RecordingState::Failed {
                entry.upload.get_or_insert(Upload::Waiting);
            }
        });
    }
}

/// The present as people count it.
fn wall_clock() -> Timestamp {
    Timestamp::default() + clock::wall()
}

/// The same by a clock that may decide what is deleted, if there is one.
fn believed_clock() -> Option<Timestamp> {
    clock::settled().map(|settled| Timestamp::default() + settled)
}
