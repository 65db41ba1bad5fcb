//! The thread that finalises recordings with ffmpeg, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use signaling_core::{Engine, Watch};

use super::time::{DISK, SIGN, now};
use super::uploader::Uploader;
use crate::ffmpeg::{Ffmpeg, FfmpegError};
use crate::finalise::{FinaliseError, finalise};
use crate::index::{Entry, EntryState, Index, RecordingId};

/// Maximum number of queued recordings. Those that do not fit are queued at the next start.
const QUEUE: usize = 4_096;

/// Queues finished recordings.
#[derive(Clone, Debug)]
pub(super) struct Finaliser {
    jobs: SyncSender<RecordingId>,
    life: Arc<Life>,
}

/// The state of the thread.
#[derive(Debug, Default)]
struct Life {
    /// Whether the thread has been asked to end, together with ffmpeg.
    is_ending: AtomicBool,
    /// Whether the thread has ended.
    has_ended: AtomicBool,
}

impl Finaliser {
    /// Starts the thread and queues the recordings that have not been finalised. The uploader is woken after each one.
    pub(super) fn start(
        ffmpeg: Ffmpeg,
        index: &Arc<Index>,
        uploader: Option<Uploader>,
        watch: &Watch,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let life = Arc::new(Life::default());
        let engine = Arc::new(watch.patient_engine("finaliser", DISK));
        let ffmpeg = {
            let (life, engine) = (Arc::clone(&life), Arc::clone(&engine));
            ffmpeg.while_waiting(move || {
                engine.sign();
                !life.is_ending.load(Ordering::Acquire)
            })
        };
        let finaliser = Self { jobs, life };
        let (shared, life) = (Arc::clone(index), Arc::clone(&finaliser.life));
        thread::Builder::new().name("finaliser".into()).spawn(move || {
            let ending = Ending { engine, life };
            run(&shared, &ffmpeg, &queue, uploader.as_ref(), &ending);
            ending.engine.finish();
        })?;
        let is_due = |entry: &Entry| entry.state == EntryState::Ready && !entry.finalised && entry.local;
        for entry in index.all().into_iter().filter(is_due) {
            finaliser.take(index, entry.recording);
        }
        Ok(finaliser)
    }

    /// Queues a finished recording.
    pub(super) fn take(&self, index: &Index, recording: RecordingId) {
        index.update(recording, |entry| entry.state = EntryState::Finalising);
        if self.jobs.try_send(recording).is_err() {
            give_back(index, recording, "too many recordings wait to be finalised".to_owned());
        }
    }

    /// Asks the thread and ffmpeg to end, without waiting for them.
    pub(super) fn stop(&self) {
        self.life.is_ending.store(true, Ordering::Release);
    }

    /// Waits until the thread has ended, or until this time.
    pub(super) fn wait(&self, until: Instant) {
        while !self.life.has_ended.load(Ordering::Acquire) && now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Marks the thread as ended when dropped, even after a panic.
struct Ending {
    engine: Arc<Engine>,
    life: Arc<Life>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.life.has_ended.store(true, Ordering::Release);
        if thread::panicking() {
            // The engine is shared, so its own drop would not report the panic.
            self.engine.panicked();
        }
    }
}

/// Returns a recording to the state `Ready` as it was written; the next start tries again.
fn give_back(index: &Index, recording: RecordingId, error: String) {
    let given_back = index.change(recording, |entry| {
        entry.state = EntryState::Ready;
        entry.finalise_error = Some(error);
    });
    if let Err(error) = given_back {
        tracing::warn!(%recording, %error, "what became of a recording is not kept");
    }
}

fn run(
    index: &Index,
    ffmpeg: &Ffmpeg,
    queue: &Receiver<RecordingId>,
    uploader: Option<&Uploader>,
    ending: &Ending,
) {
    // Checked only here, because loading ffmpeg takes longer than the server's entire start.
    let missing = ffmpeg.check().err();
    if let Some(error) = &missing {
        tracing::warn!(%error, "recordings stay as they are written");
    }
    while !ending.life.is_ending.load(Ordering::Acquire) {
        ending.engine.sign();
        let recording = match queue.recv_timeout(SIGN) {
            Ok(recording) => recording,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // The recording may have been deleted in the meantime.
        let Some(entry) = index.get(recording) else { continue };
        match &missing {
            Some(error) => give_back(index, recording, error.to_string()),
            None => match finalise(index, ffmpeg, &entry) {
                Ok(_) => tracing::info!(%recording, "a recording is finalised"),
                // The next start finalises the recording.
                Err(FinaliseError::Ffmpeg(FfmpegError::Stopped)) => return,
                Err(error) => {
                    tracing::warn!(%recording, %error, "a recording stays as it was written");
                    give_back(index, recording, error.to_string());
                }
            },
        }
        uploader.into_iter().for_each(Uploader::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::entry;

    #[test]
    fn without_ffmpeg_recordings_are_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let recording = entry(1).recording;
        index.save(&entry(1)).unwrap();
        let (jobs, queue) = sync_channel(QUEUE);
        let life = Arc::new(Life::default());
        Finaliser { jobs, life: Arc::clone(&life) }.take(&index, recording);
        assert_eq!(index.get(recording).unwrap().state, EntryState::Finalising);
        let ending = Ending { engine: Arc::new(Watch::default().engine("finaliser")), life };
        run(&index, &Ffmpeg::new("no-such-ffmpeg".into()), &queue, None, &ending);
        let given_back = index.get(recording).unwrap();
        assert_eq!(given_back.state, EntryState::Ready);
        assert!(given_back.finalise_error.unwrap().contains("no-such-ffmpeg"));
    }
}
