//! The thread that uploads finished recordings to object storage, one part after the other.
//!
//! The pending work is in the index, and every step is saved there before the next one: no queue can overflow, and an
//! upload continues where it was after an interruption or a restart. Nothing waits for this thread.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use signaling_core::Watch;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::config::StartError;
use super::sweep::release;
use super::time::DISK;
use crate::index::{Entry, EntryState, Index, RecordingId};
use crate::store::{Store, StoreConfig};
use crate::upload::{Parts, Upload};

/// The wait after a failure, which doubles with each further one up to a limit.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// The interval at which the index is checked even if the thread is not woken.
const LOOK: Duration = Duration::from_secs(60);
/// The number of failures after which an upload is started again, because the store may have lost it.
const PERSISTENCE: u32 = 5;

/// Wakes the thread, which ends when all of these are dropped.
#[derive(Clone, Debug)]
pub(super) struct Uploader {
    wake: Sender<()>,
}

impl Uploader {
    /// Starts the thread, which sleeps until it is woken.
    pub(super) fn start(config: &StoreConfig, index: &Arc<Index>, watch: &Watch) -> Result<Self, StartError> {
        let work = Work::new(Store::open(config)?, config.keeps_local, Arc::clone(index));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (wake, woken) = channel(1);
        let uploading = watch.patient_engine("uploader", DISK).run(run(work, woken));
        thread::Builder::new().name("uploader".into()).spawn(move || runtime.block_on(uploading))?;
        Ok(Self { wake })
    }

    /// Signals that there may be work.
    pub(super) fn wake(&self) {
        // A signal that has not been handled yet covers this one, too.
        let _ = self.wake.try_send(());
    }
}

async fn run(mut work: Work, mut woken: Receiver<()>) {
    let mut setbacks = 0;
    let mut rest = LOOK;
    loop {
        match timeout(rest, woken.recv()).await {
            Ok(None) => return,
            // After a failure, a signal does not shorten the wait.
            Ok(Some(())) if setbacks > 0 => tokio::time::sleep(rest).await,
            Ok(Some(())) | Err(_) => {}
        }
        loop {
            match work.step().await {
                Step::Taken => setbacks = 0,
                Step::Nothing => {
                    rest = LOOK;
                    break;
                }
                Step::Failed => {
                    setbacks += 1;
                    rest = backoff(setbacks);
                    break;
                }
            }
            if woken.is_closed() {
                return;
            }
        }
    }
}

/// The wait after this many failures in a row.
fn backoff(setbacks: u32) -> Duration {
    FIRST_REST.saturating_mul(1 << (setbacks.saturating_sub(1)).min(16)).min(LONGEST_REST)
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Taken,
    Nothing,
    Failed,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("the file cannot be read")]
    File(#[source] io::Error),
    #[error("what is known of it cannot be kept")]
    Note(#[source] io::Error),
    #[error("the store does not do it: {0}")]
    Store(#[from] object_store::Error),
    #[error("the store has {0:?} bytes of {1}")]
    Incomplete(Option<u64>, u64),
}

struct Work {
    store: Store,
    keeps_local: bool,
    index: Arc<Index>,
    /// The number of failures in a row, by recording.
    failures: HashMap<RecordingId, u32>,
}

impl Work {
    fn new(store: Store, keeps_local: bool, index: Arc<Index>) -> Self {
        Self { store, keeps_local, index, failures: HashMap::new() }
    }

    /// Does the next piece of pending work.
    async fn step(&mut self) -> Step {
        let forgotten = self.index.forgotten();
        if let Some((file, object)) = forgotten
            .iter()
            .find(|(_, object)| object.object().is_some_and(|object| self.store.key(object).is_some()))
        {
            return self.remove(file, object).await;
        }
        if !self.keeps_local
            && let Some(entry) =
                self.index.first_by_key(|entry| self.is_to_be_released(entry).then_some(entry.started_at))
        {
            release(&self.index, &entry);
            // A file that could not be removed is not tried again before the next start.
            self.index.update(entry.recording, |entry| entry.local = false);
            return Step::Taken;
        }
        let next = self.index.first_by_key(|entry| {
            let is_due = self.is_due(entry) && !forgotten.contains_key(&entry.file);
            let failures = self.failures.get(&entry.recording).copied().unwrap_or(0);
            let has_begun = matches!(entry.upload, Some(Upload::Uploading(_)));
            (is_due && failures < u32::MAX).then_some((failures, Reverse(has_begun), entry.started_at))
        });
        let Some(entry) = next else { return Step::Nothing };
        match self.upload(&entry).await {
            Ok(()) => {
                self.failures.remove(&entry.recording);
                Step::Taken
            }
            Err(error) => self.note_failure(&entry, &error),
        }
    }

    /// Whether a recording is finished and not in the store.
    fn is_due(&self, entry: &Entry) -> bool {
        let is_waiting = match &entry.upload {
            Some(Upload::Stored { object }) => self.store.key(object).is_none(),
            Some(_) => true,
            None => false,
        };
        is_waiting && entry.state == EntryState::Ready && entry.local
    }

    fn is_to_be_released(&self, entry: &Entry) -> bool {
        let is_here =
            matches!(&entry.upload, Some(Upload::Stored { object }) if self.store.key(object).is_some());
        is_here && entry.state == EntryState::Ready && entry.local
    }

    async fn remove(&self, file: &str, object: &Upload) -> Step {
        let Some(key) = object.object().and_then(|object| self.store.key(object)) else {
            return Step::Nothing;
        };
        let upload = match object {
            Upload::Uploading(parts) => Some(parts.upload.as_str()),
            _ => None,
        };
        match self.store.bucket().remove(&key, upload).await {
            Ok(()) => {
                tracing::info!(%file, "a recording is out of object storage");
                if let Err(error) = self.index.is_forgotten(file) {
                    tracing::warn!(%file, %error, "an object is taken away once more at the next start");
                }
                Step::Taken
            }
            Err(error) => {
                tracing::warn!(%file, %error, "a recording could not be taken out of object storage yet");
                Step::Failed
            }
        }
    }

    /// Takes one step of an upload.
    async fn upload(&self, entry: &Entry) -> Result<(), UploadError> {
        let file = File::open(self.index.path(entry)).map_err(UploadError::File)?;
        let bytes = file.metadata().map_err(UploadError::File)?.len();
        let object = self.store.object(&entry.file);
        let Some(key) = self.store.key(&object) else { return Ok(()) };
        let failures = self.failures.get(&entry.recording).copied().unwrap_or(0);
        match &entry.upload {
            Some(Upload::Uploading(parts))
                if parts.object == object
                    && parts.file_bytes == bytes
                    && (failures == 0 || !failures.is_multiple_of(PERSISTENCE)) =>
            {
                self.go_on(entry, &file, &key, parts.clone()).await
            }
            _ => self.begin(entry, &key, object, bytes).await,
        }
    }

    async fn begin(&self, entry: &Entry, key: &Path, object: String, bytes: u64) -> Result<(), UploadError> {
        let upload = self.store.bucket().begin(key).await?;
        let parts = Parts::new(object, upload.clone(), bytes);
        tracing::info!(recording = %entry.recording, bytes, "a recording is being uploaded");
        let begun_before = match &entry.upload {
            Some(Upload::Uploading(before)) if before.object == parts.object => Some(before.upload.as_str()),
            _ => None,
        };
        let is_known = self.keep(entry, Upload::Uploading(parts))?;
        if let Some(useless) = if is_known { begun_before } else { Some(upload.as_str()) } {
            self.store.bucket().remove(key, Some(useless)).await?;
        }
        Ok(())
    }

    async fn go_on(
        &self,
        entry: &Entry,
        file: &File,
        key: &Path,
        mut parts: Parts,
    ) -> Result<(), UploadError> {
        let bucket = self.store.bucket();
        if let Some(next) = parts.next() {
            let len = usize::try_from(next.end - next.start).unwrap_or(usize::MAX);
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, next.start).map_err(UploadError::File)?;
            match bucket.put_part(key, &parts.upload, parts.parts.len(), Bytes::from(bytes)).await {
                Ok(part) => parts.parts.push(part),
                Err(object_store::Error::NotFound { .. }) => return self.lost(entry),
                Err(error) => return Err(error.into()),
            }
            self.keep(entry, Upload::Uploading(parts))?;
            return Ok(());
        }
        let completed = bucket.complete(key, &parts.upload, parts.parts).await;
        // The response may have been lost, now or before a restart; the size of the object
        // tells whether it is complete.
        match (bucket.size(key).await?, completed) {
            (Some(size), _) if size == parts.file_bytes => {
                tracing::info!(recording = %entry.recording, bytes = size, object = parts.object, "a recording is in object storage");
                self.keep(entry, Upload::Stored { object: parts.object })?;
                Ok(())
            }
            (_, Err(object_store::Error::NotFound { .. })) => self.lost(entry),
            (_, Err(error)) => Err(error.into()),
            (size, Ok(())) => {
                self.lost(entry)?;
                Err(UploadError::Incomplete(size, parts.file_bytes))
            }
        }
    }

    /// Restarts an upload that the store no longer knows.
    fn lost(&self, entry: &Entry) -> Result<(), UploadError> {
        tracing::warn!(recording = %entry.recording, "the store has lost an upload; it begins anew");
        self.keep(entry, Upload::Waiting).map(drop)
    }

    /// Saves the progress of an upload; `false` if the recording is gone.
    fn keep(&self, entry: &Entry, upload: Upload) -> Result<bool, UploadError> {
        let kept = self.index.change(entry.recording, |known| {
            // Not if the file has been replaced.
            if known.file == entry.file && known.state == EntryState::Ready {
                known.upload = Some(upload);
                known.upload_error = None;
            }
        });
        kept.map(|kept| kept.is_some()).map_err(UploadError::Note)
    }

    fn note_failure(&mut self, entry: &Entry, error: &UploadError) -> Step {
        let recording = entry.recording;
        let failures = self.failures.entry(recording).or_default();
        if let UploadError::File(error) = error {
            *failures = u32::MAX;
            tracing::error!(%recording, %error, "a recording's file cannot be read: it is not uploaded");
        } else {
            *failures = failures.saturating_add(1).min(u32::MAX - 1);
            tracing::warn!(%recording, %error, failures, "a recording is not uploaded yet");
        }
        let words = error.to_string();
        if let Err(error) = self.index.change(recording, |known| known.upload_error = Some(words)) {
            tracing::warn!(%recording, %error, "what stood in the way of an upload is not kept");
        }
        Step::Failed
    }
}

#[cfg(test)]
mod tests;
