//! The thread that has ffmpeg make recordings handier, one after the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use crate::ffmpeg::Ffmpeg;
use crate::finalise::finalise;
use crate::index::{Index, RecordingId, RecordingState};

/// Recordings that may wait. Those that find no place are taken at the next start.
const QUEUE: usize = 4_096;

/// Takes recordings that are over.
#[derive(Clone, Debug)]
pub(super) struct Finaliser {
    jobs: SyncSender<RecordingId>,
}

impl Finaliser {
    /// Starts the thread, and gives it what is there. `None` where ffmpeg is not: everything else works without.
    pub(super) fn start(ffmpeg: Ffmpeg, index: &Arc<Index>) -> io::Result<Option<Self>> {
        if let Err(error) = ffmpeg.check() {
            tracing::warn!(%error, "recordings stay as they are written");
            return Ok(None);
        }
        let (jobs, queue) = sync_channel(QUEUE);
        let finaliser = Self { jobs };
        let shared = Arc::clone(index);
        thread::Builder::new().name("finaliser".into()).spawn(move || run(&shared, &ffmpeg, &queue))?;
        for entry in
            index.all().into_iter().filter(|entry| entry.state == RecordingState::Ready && !entry.finalised)
        {
            finaliser.take(index, entry.recording);
        }
        Ok(Some(finaliser))
    }

    /// Takes a recording that is over.
    pub(super) fn take(&self, index: &Index, recording: RecordingId) {
        index.update(recording, |entry| entry.state = RecordingState::Finalising);
        if self.jobs.try_send(recording).is_err() {
            index.update(recording, |entry| entry.state = RecordingState::Ready);
        }
    }
}

fn run(index: &Index, ffmpeg: &Ffmpeg, queue: &Receiver<RecordingId>) {
    while let Ok(recording) = queue.recv() {
        // It may have been deleted meanwhile.
        let Some(entry) = index.get(recording) else { continue };
        match finalise(index, ffmpeg, &entry) {
            Ok(_) => tracing::info!(%recording, "a recording is finalised"),
            Err(error) => {
                tracing::warn!(%recording, %error, "a recording stays as it was written");
                // It plays all the same, and the next start tries again.
                index.update(recording, |entry| entry.state = RecordingState::Ready);
            }
        }
    }
}
