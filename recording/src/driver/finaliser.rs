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
    /// Starts the thread, and gives it what is there.
    pub(super) fn start(ffmpeg: Ffmpeg, index: &Arc<Index>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let finaliser = Self { jobs };
        let shared = Arc::clone(index);
        thread::Builder::new().name("finaliser".into()).spawn(move || run(&shared, &ffmpeg, &queue))?;
        for entry in
            index.all().into_iter().filter(|entry| entry.state == RecordingState::Ready && !entry.finalised)
        {
            finaliser.take(index, entry.recording);
        }
        Ok(finaliser)
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
    // Here and not before: to load ffmpeg takes longer than the server's whole start.
    if let Err(error) = ffmpeg.check() {
        tracing::warn!(%error, "recordings stay as they are written");
        while let Ok(recording) = queue.recv() {
            index.update(recording, |entry| entry.state = RecordingState::Ready);
        }
        return;
    }
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
        Finaliser { jobs }.take(&index, recording);
        assert_eq!(index.get(recording).unwrap().state, RecordingState::Finalising);
        run(&index, &Ffmpeg::new("no-such-ffmpeg".into()), &queue);
        assert_eq!(index.get(recording).unwrap().state, RecordingState::Ready);
    }
}
