//! The configuration of the recorder.

use std::io;
use std::path::PathBuf;

use signaling_core::{MediaEvent, RoomId};

use crate::ffmpeg::Ffmpeg;
use crate::retention::Retention;
use crate::store::{OpenError, StoreConfig};

/// The configuration of a [`Recorder`](super::Recorder).
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// The folder of recordings.
    pub folder: PathBuf,
    /// Whether each fragment is synced before the next one, so that it survives a power failure.
    pub fsync: bool,
    /// The ffmpeg that finalises recordings, if any.
    pub ffmpeg: Option<Ffmpeg>,
    /// The retention, applied at the start, when a recording ends, and every five minutes.
    pub retention: Retention,
    /// The object store for finished recordings, in addition to the folder or instead of it.
    pub store: Option<StoreConfig>,
}

/// Why the recorder cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The folder cannot be used.
    #[error("the folder of recordings cannot be used")]
    Folder(#[from] io::Error),
    /// The object store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Receives the states of recordings, on the writing thread.
pub type OnEvent = Box<dyn Fn(&RoomId, MediaEvent) + Send>;
