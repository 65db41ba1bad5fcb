//! The thread that has ffmpeg make recordings handier, one after the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use super::uploader::Uploader;
use crate::ffmpeg::Ffmpeg;
use crate::finalise::finalise;
use crate::index::{Entry, Index, RecordingId, RecordingState};

/// Recordings that may wait. Those that find no place are taken at the next start.
const QUEUE: usize = 4_096;

/// Takes recordings that are over.
#[derive(Clone, Debug)]
pub(super) struct Finaliser {
    jobs: SyncSender<RecordingId>,
}

impl Finaliser {
    /// Starts the thread, and gives it what is there. What is done goes on to the uploader.
    pub(super) fn start(ffmpeg: Ffmpeg, index: &Arc<Index>, uploader: Option<Uploader>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let finaliser = Self { jobs };
        let shared = Arc::clone(index);
        thread::Builder::new().name("finaliser".into()).spawn(move || {
            run(&shared, &ffmpeg, &queue, uploader.as_ref());
        })?;
        let is_due = |entry: &Entry| entry.state == RecordingState::Ready && !entry.finalised && entry.local;
        for entry in index.all().into_iter().filter(is_due) {
            finaliser.take(index, entry.recording);
        }
        Ok(finaliser)
    }

    /// Takes a recording that is over.
    pub(super) fn take(&self, index: &Index, recording: RecordingId) {
        index.update(recording, |entry| entry.state = RecordingState::Finalising);
        if self.jobs.try_send(recording).is_err() {
            give_back(index, recording, "too many recordings wait to be finalised".to_owned());
        }
    }
}

/// It plays as it was written, and the next start tries again.
fn give_back(index: &Index, recording: RecordingId, error: String) {
    let given_back = index.change(recording, |entry| {
        entry.state = RecordingState::Ready;
        entry.finalise_error = Some(error);
    });
    if let Err(error) = given_back {
        tracing::warn!(%recording, %error, "what became of a recording is not kept");
    }
}

fn run(index: &Index, ffmpeg: &Ffmpeg, queue: &Receiver<RecordingId>, uploader: Option<&Uploader>) {
    let wake = || uploader.into_iter().for_each(Uploader::wake);
    // Here and not before: to load ffmpeg takes longer than the server's whole start.
    if let Err(error) = ffmpeg.check() {
        tracing::warn!(%error, "recordings stay as they are written");
        while let Ok(recording) = queue.recv() {
            give_back(index, recording, error.to_string());
            wake();
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
                give_back(index, recording, error.to_string());
            }
        }
        wake();
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
        run(&index, &Ffmpeg::new("no-such-ffmpeg".into()), &queue, None);
        let given_back = index.get(recording).unwrap();
        assert_eq!(given_back.state, RecordingState::Ready);
        assert!(given_back.finalise_error.unwrap().contains("no-such-ffmpeg"));
    }
}
