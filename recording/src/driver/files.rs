//! The files of recordings, from their creation until another thread takes them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signaling_core::message::RecordingState;
use signaling_core::{MediaEvent, RoomId};

use super::config::{OnEvent, RecorderConfig};
use super::disk::MediaFile;
use super::finaliser::Finaliser;
use super::sweep::Sweeper;
use super::time::{believed_clock, now};
use super::uploader::Uploader;
use crate::index::{Entry, EntryState, Index, RecordingId};
use crate::upload::Upload;

/// The folder of recordings as the writing thread uses it.
pub(super) struct Files {
    pub(super) index: Arc<Index>,
    pub(super) sweeper: Sweeper,
    fsync: bool,
    has_store: bool,
    next: Next,
    on_event: OnEvent,
}

/// The threads that process a finished recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Next {
    pub(super) finaliser: Option<Finaliser>,
    pub(super) uploader: Option<Uploader>,
}

/// The fault that ends the recording of a room.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the disk is nearly full")]
    DiskFull,
    #[error("the folder of recordings cannot be written to")]
    Folder(#[source] io::Error),
    #[error("a file of a recording was deleted or replaced while it was written")]
    Gone(#[source] io::Error),
    #[error("a file of a recording cannot be written")]
    Write(#[source] io::Error),
}

impl Files {
    pub(super) fn new(config: &RecorderConfig, index: Arc<Index>, next: Next, on_event: OnEvent) -> Self {
        Self {
            index,
            sweeper: Sweeper::new(config.retention, now()),
            fsync: config.fsync,
            has_store: config.store.is_some(),
            next,
            on_event,
        }
    }

    /// Reports the state of a room's recording, or of one file in it.
    pub(super) fn tell(&self, room: &RoomId, state: RecordingState, entry: Option<&Entry>) {
        let peer = entry.and_then(|entry| entry.peer);
        let recording = entry.map(|entry| entry.recording.to_string().into());
        (self.on_event)(room, MediaEvent::Recording { state, peer, recording });
    }

    /// The upload of a recording that begins.
    pub(super) fn first_upload(&self) -> Option<Upload> {
        self.has_store.then_some(Upload::Waiting)
    }

    /// Creates the file of a recording and its note.
    pub(super) fn begin(&self, entry: &Entry, head: &[u8]) -> Result<MediaFile, Fault> {
        let file = MediaFile::create(&self.index.path(entry), head, self.fsync).map_err(Fault::Write)?;
        if let Err(error) = self.index.save(entry) {
            // A file without a note is of no use.
            drop(file);
            let _ = self.index.delete(entry.recording);
            return Err(Fault::Write(error));
        }
        self.tell(&entry.room, RecordingState::Active, Some(entry));
        Ok(file)
    }

    /// Closes a file with everything that is known of it, and passes it on.
    pub(super) fn close(&mut self, mut entry: Entry, file: &MediaFile, mut duration: Duration) {
        if let Err(error) = file.check_path(&self.index.path(&entry)) {
            let fault = describe(&Fault::Gone(error));
            tracing::error!(recording = %entry.recording, error = fault, "a recording is lost");
            entry.error = Some(fault);
            entry.duration_ms = 0;
            duration = Duration::ZERO;
        }
        entry.bytes = file.bytes;
        entry.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(entry.duration_ms);
        entry.ended_at = Some(entry.started_at + Duration::from_millis(entry.duration_ms));
        // A recording to be finalised is never `Ready` in between, or else it would be uploaded as it is.
        entry.state = match &self.next.finaliser {
            _ if entry.duration_ms == 0 => EntryState::Failed,
            Some(_) => EntryState::Finalising,
            None => EntryState::Ready,
        };
        if entry.state == EntryState::Failed {
            entry.upload = None;
        }
        self.index.update(entry.recording, |known| known.clone_from(&entry));
        self.keep(entry.recording);
        match (&self.next.finaliser, &self.next.uploader) {
            (Some(finaliser), _) if entry.state == EntryState::Finalising => {
                finaliser.take(&self.index, entry.recording);
            }
            (_, uploader) => uploader.iter().for_each(Uploader::wake),
        }
        self.sweeper.on_recorded(now());
        tracing::info!(recording = %entry.recording, room = %entry.room, bytes = entry.bytes, "recorded");
        self.tell(&entry.room, RecordingState::Stopped, Some(&entry));
    }

    /// Saves an entry as it is in memory.
    pub(super) fn keep(&self, recording: RecordingId) {
        if let Some(entry) = self.index.get(recording)
            && let Err(error) = self.index.save(&entry)
        {
            tracing::warn!(%recording, %error, "what became of a recording is not kept; the next start measures it");
        }
    }

    /// Applies the retention when it is due.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.sweeper.turn(&self.index, now, believed_clock());
    }
}

/// The error with its cause.
pub(super) fn describe(fault: &Fault) -> String {
    match std::error::Error::source(fault) {
        Some(source) => format!("{fault}: {source}"),
        None => fault.to_string(),
    }
}
