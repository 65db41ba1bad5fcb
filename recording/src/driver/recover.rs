//! Recordings that a crash left open.

use std::fs::OpenOptions;
use std::io;
use std::time::Duration;

use crate::container::HEAD_LEN;
use crate::container::measure::{Measured, measure};
use crate::index::{Entry, Index, RecordingState};

/// Closes what is still said to be recording: measures what is there, and cuts off half a fragment at its end. What is said
/// to be in finalising is ready for it once more.
pub fn recover(index: &Index) {
    for mut entry in index.all() {
        match entry.state {
            RecordingState::Recording => {}
            // It is whole; nobody is at it any more.
            RecordingState::Finalising => {
                index.update(entry.recording, |entry| entry.state = RecordingState::Ready);
                continue;
            }
            RecordingState::Ready | RecordingState::Failed => continue,
        }
        match close(index, &entry) {
            Ok(measured) if measured.duration > Duration::ZERO => {
                entry.state = RecordingState::Ready;
                entry.bytes = measured.whole;
                entry.duration_ms = u64::try_from(measured.duration.as_millis()).unwrap_or(u64::MAX);
                entry.ended_at = Some(entry.started_at + measured.duration);
                tracing::info!(recording = %entry.recording, room = %entry.room, "a recording that was cut off is closed");
            }
            Ok(_) => {
                entry.state = RecordingState::Failed;
                entry.error = Some("nothing was written before the server ended".to_owned());
            }
            Err(error) => {
                entry.state = RecordingState::Failed;
                entry.error = Some(error.to_string());
                tracing::warn!(recording = %entry.recording, %error, "a recording that was cut off cannot be read");
            }
        }
        if let Err(error) = index.save(&entry) {
            tracing::warn!(recording = %entry.recording, %error, "what became of a recording is not kept");
        }
    }
}

fn close(index: &Index, entry: &Entry) -> io::Result<Measured> {
    let mut file = OpenOptions::new().read(true).write(true).open(index.path(entry))?;
    let measured = measure(entry.container, &mut file)?;
    if measured.whole >= HEAD_LEN as u64 && measured.whole < file.metadata()?.len() {
        file.set_len(measured.whole)?;
        file.sync_all()?;
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::entry;

    #[test]
    fn what_was_being_finalised_can_be_had_again() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let busy = Entry { state: RecordingState::Finalising, ..entry(1) };
        index.save(&busy).unwrap();
        drop(index);
        let index = Index::open(folder.path()).unwrap();
        recover(&index);
        assert_eq!(index.all(), [Entry { state: RecordingState::Ready, ..busy }]);
    }
}
