//! Recovers recordings that were interrupted by a crash.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::container::HEAD_LEN;
use crate::container::measure::{Measured, measure};
use crate::finalise::{PART, PARTS};
use crate::index::{Entry, EntryState, Index, NOTE};

/// Closes the recordings in the state `Recording`: measures the file and truncates a partial fragment at its end.
/// Recordings in the state `Finalising` become `Ready` and are finalised again. Temporary files are removed.
pub fn recover(index: &Index) {
    clear(index.folder());
    for mut entry in index.all() {
        match entry.state {
            EntryState::Recording => {}
            // The file is complete, but no thread is processing it any more.
            EntryState::Finalising => {
                index.update(entry.recording, |entry| entry.state = EntryState::Ready);
                continue;
            }
            EntryState::Ready | EntryState::Failed => continue,
        }
        match close(index, &entry) {
            Ok(measured) if measured.duration > Duration::ZERO => {
                entry.state = EntryState::Ready;
                entry.bytes = measured.whole;
                entry.captions = index.captions_path(&entry).exists();
                entry.duration_ms = u64::try_from(measured.duration.as_millis()).unwrap_or(u64::MAX);
                entry.ended_at = Some(entry.started_at + measured.duration);
                tracing::info!(recording = %entry.recording, room = %entry.room, "a recording that was cut off is closed");
            }
            Ok(_) => {
                entry.state = EntryState::Failed;
                entry.error = Some("nothing was written before the server ended".to_owned());
            }
            Err(error) => {
                entry.state = EntryState::Failed;
                entry.error = Some(error.to_string());
                tracing::warn!(recording = %entry.recording, %error, "a recording that was cut off cannot be read");
            }
        }
        if let Err(error) = index.save(&entry) {
            tracing::warn!(recording = %entry.recording, %error, "what became of a recording is not kept");
        }
    }
}

/// Removes the temporary files of a process that ended during its work.
fn clear(folder: &Path) {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_leftover) {
            continue;
        }
        let len = entry.metadata().map_or(0, |metadata| metadata.len());
        match fs::remove_file(entry.path()) {
            Ok(()) => (files, bytes) = (files + 1, bytes + len),
            Err(error) => {
                tracing::warn!(path = %entry.path().display(), %error, "a file that was half made stays");
            }
        }
    }
    if files > 0 {
        tracing::info!(folder = %folder.display(), files, bytes, "files that were half made are taken away");
    }
}

/// Whether a file is a temporary file of ffmpeg, or a note that was being written.
fn is_leftover(name: &str) -> bool {
    let is_part = PARTS.iter().any(|prefix| name.starts_with(prefix)) && name.ends_with(PART);
    is_part || name.starts_with(NOTE) && name.len() == NOTE.len() + 6
}

fn close(index: &Index, entry: &Entry) -> io::Result<Measured> {
    let path = index.path(entry);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        // The recording is available all the same; a partial fragment stays at its end.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            return measure(entry.container, &mut fs::File::open(&path)?);
        }
        opened => opened?,
    };
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
    fn what_was_half_made_is_taken_away_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [kept, gone] = [
            &["2026-11-21_04-00-00_a.mp4", "a.json", "notes.part", ".finalise-notes", ".tmp"][..],
            &[".finalise-Ab12.part", ".composite-Ab12.part", ".tmpAb12Cd"],
        ];
        for name in kept.iter().chain(gone) {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        clear(folder.path());
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".finalise-notes", ".tmp", "2026-11-21_04-00-00_a.mp4", "a.json", "notes.part"]);
    }

    #[test]
    fn what_was_being_finalised_can_be_had_again() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let busy = Entry { state: EntryState::Finalising, ..entry(1) };
        index.save(&busy).unwrap();
        drop(index);
        let index = Index::open(folder.path()).unwrap();
        recover(&index);
        assert_eq!(index.all(), [Entry { state: EntryState::Ready, ..busy }]);
    }
}
