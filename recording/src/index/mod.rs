//! The index of recordings: a JSON note beside each media file, replaced as a whole on every change.

mod entry;
mod id;
mod name;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::captions::EXTENSION;
use crate::claim;
use crate::upload::Upload;
#[cfg(test)]
pub(crate) use entry::testing;
pub use entry::{Entry, EntryState};
pub use id::{MalformedRecordingId, RecordingId};
pub(crate) use name::{Stray, file_name, is_plain_name};

/// All recordings in a folder.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    /// Held as long as the index is open, because two processes must not write to one folder.
    _lock: Option<File>,
    entries: Mutex<BTreeMap<RecordingId, Entry>>,
    /// Objects of deleted recordings that are to be removed from object storage, by file name.
    forgotten: Mutex<BTreeMap<String, Upload>>,
    /// Held while notes are written or removed, so that no note of a deleted recording reappears.
    notes: Mutex<()>,
    /// Whether each note is synced to disk.
    fsync: bool,
}

impl Index {
    /// Reads the notes in the folder, which is created if it does not exist.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = lock(folder)?;
        let mut entries = BTreeMap::new();
        let mut forgotten = BTreeMap::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if let Some((name, upload)) = read_forgotten(&path) {
                forgotten.insert(name, upload);
            }
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path)
                .map_err(serde_json::Error::io)
                .and_then(|text| serde_json::from_slice::<Entry>(&text))
            {
                // The name is used as a path later, so it must be a plain name in this folder.
                Ok(entry) if is_plain_name(&entry.file) => drop(entries.insert(entry.recording, entry)),
                Ok(_) => {
                    tracing::warn!(path = %path.display(), "a recording's file is elsewhere; it is left alone");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "what is known of a recording cannot be read");
                }
            }
        }
        let (entries, forgotten) = (Mutex::new(entries), Mutex::new(forgotten));
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
            entries,
            forgotten,
            notes: Mutex::default(),
            fsync: false,
        })
    }

    /// Sets whether notes, and the directory entries of the files before them, are synced to disk
    /// before anything else happens.
    #[must_use]
    pub fn with_fsync(self, fsync: bool) -> Self {
        Self { fsync, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordingId, Entry>> {
        hold(&self.entries)
    }

    /// The folder of the index.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a recording's file.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.file)
    }

    /// The path of a recording's captions, if it has any.
    pub fn captions_path(&self, entry: &Entry) -> PathBuf {
        self.path(entry).with_extension(EXTENSION)
    }

    /// The entry of a recording.
    pub fn get(&self, recording: RecordingId) -> Option<Entry> {
        self.lock().get(&recording).cloned()
    }

    /// All recordings, oldest first.
    pub fn all(&self) -> Vec<Entry> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|entry| (entry.started_at, entry.recording));
        all
    }

    /// At most `limit` of the wanted recordings, newest first, after the recording `after` if it is given. If that
    /// recording is gone, the page is empty.
    pub fn page(
        &self,
        after: Option<RecordingId>,
        limit: usize,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let mut all = self.all();
        all.reverse();
        let begin = match after {
            None => 0,
            Some(after) => {
                all.iter().position(|entry| entry.recording == after).map_or(all.len(), |at| at + 1)
            }
        };
        all.into_iter().skip(begin).filter(is_wanted).take(limit).collect()
    }

    /// The recording with the least key, among those for which `key` returns one.
    pub fn first_by_key<K: Ord>(&self, mut key: impl FnMut(&Entry) -> Option<K>) -> Option<Entry> {
        let entries = self.lock();
        let keyed = entries.values().filter_map(|entry| Some((key(entry)?, entry)));
        keyed.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, entry)| entry.clone())
    }

    /// The media files in the folder that have no note.
    pub(crate) fn strays(&self) -> io::Result<Vec<Stray>> {
        let mut strays = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let Some(stray) = name.to_str().and_then(Stray::of) else { continue };
            if self.get(stray.recording).is_none() {
                strays.push(stray);
            }
        }
        Ok(strays)
    }

    /// Adds an entry for a media file without a note, in memory only.
    pub(crate) fn adopt(&self, entry: Entry) {
        self.lock().entry(entry.recording).or_insert(entry);
    }

    /// Saves an entry. The entry in memory is updated even if writing fails.
    pub fn save(&self, entry: &Entry) -> io::Result<()> {
        let _notes = hold(&self.notes);
        self.lock().insert(entry.recording, entry.clone());
        self.write_note(&self.note_path(entry.recording), entry)
    }

    /// Changes an entry in memory only, such as its growing size.
    pub fn update(&self, recording: RecordingId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(&recording) {
            change(entry);
        }
    }

    /// Changes and saves an entry; `None` if the recording no longer exists. The entry in memory is
    /// changed even if writing fails.
    pub fn change(
        &self,
        recording: RecordingId,
        change: impl FnOnce(&mut Entry),
    ) -> io::Result<Option<Entry>> {
        let _notes = hold(&self.notes);
        self.update(recording, change);
        let Some(entry) = self.get(recording) else { return Ok(None) };
        self.write_note(&self.note_path(recording), &entry)?;
        Ok(Some(entry))
    }

    /// Deletes a recording from the disk, and records its object for removal from object storage.
    pub fn delete(&self, recording: RecordingId) -> io::Result<()> {
        let _notes = hold(&self.notes);
        let Some(entry) = self.lock().remove(&recording) else { return Ok(()) };
        let forgotten =
            entry.upload.as_ref().map_or(Ok(()), |upload| self.note_forgotten(&entry.file, upload));
        for path in [self.path(&entry), self.captions_path(&entry), self.note_path(recording)] {
            remove(&path)?;
        }
        forgotten
    }

    /// Removes the file of a recording that is in object storage.
    pub fn release(&self, recording: RecordingId) -> io::Result<()> {
        let Some(entry) = self.get(recording) else { return Ok(()) };
        remove(&self.path(&entry))?;
        self.change(recording, |entry| entry.local = false).map(drop)
    }

    /// Records an object that is to be removed from object storage.
    pub fn forget(&self, file: &str, upload: &Upload) -> io::Result<()> {
        let _notes = hold(&self.notes);
        self.note_forgotten(file, upload)
    }

    fn note_forgotten(&self, file: &str, upload: &Upload) -> io::Result<()> {
        if upload.object().is_none() {
            return Ok(());
        }
        hold(&self.forgotten).insert(file.to_owned(), upload.clone());
        self.write_note(&self.forgotten_path(file), upload)
    }

    /// The objects that are to be removed from object storage, by file name.
    pub fn forgotten(&self) -> BTreeMap<String, Upload> {
        hold(&self.forgotten).clone()
    }

    /// Records that an object has been removed from object storage.
    pub fn is_forgotten(&self, file: &str) -> io::Result<()> {
        let _notes = hold(&self.notes);
        hold(&self.forgotten).remove(file);
        remove(&self.forgotten_path(file))
    }

    fn write_note(&self, path: &Path, note: &impl Serialize) -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::with_prefix_in(NOTE, &self.folder)?;
        serde_json::to_writer(&mut new, note)?;
        new.flush()?;
        if self.fsync {
            new.as_file().sync_all()?;
        }
        new.persist(path)?;
        if self.fsync {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn forgotten_path(&self, file: &str) -> PathBuf {
        self.folder.join(format!("{file}.{FORGOTTEN}"))
    }

    fn note_path(&self, recording: RecordingId) -> PathBuf {
        self.folder.join(format!("{recording}.json"))
    }
}

/// The prefix of notes while they are written.
pub(crate) const NOTE: &str = ".tmp";
/// The extension of the notes of forgotten objects, which follows the names of their files.
const FORGOTTEN: &str = "forget";

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads the note of a forgotten object; `None` for any other file.
fn read_forgotten(path: &Path) -> Option<(String, Upload)> {
    let name =
        path.extension().is_some_and(|extension| extension == FORGOTTEN).then(|| path.file_stem())??;
    let name = name.to_str().filter(|name| is_plain_name(name))?;
    let upload = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some((name.to_owned(), upload))
}

/// Locks the folder against other processes; `None` if nothing can be written to it anyway.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let Ok(file) = File::create(folder.join(".lock")) else { return Ok(None) };
    match claim::lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process records into this folder"))
        }
        // The file system does not support locks.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::entry;
    use super::*;

    #[test]
    fn what_was_saved_is_there_again_and_what_was_deleted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let (one, two) = (entry(1), entry(2));
        for entry in [&two, &one] {
            index.save(entry).unwrap();
            fs::write(index.path(entry), "media").unwrap();
        }
        assert!(Index::open(folder.path()).is_err(), "two at a time");
        drop(index);
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(index.all(), [one.clone(), two.clone()]);
        index.delete(one.recording).unwrap();
        drop(index);
        assert_eq!(Index::open(folder.path()).unwrap().all(), [two]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "with the lock");
    }

    #[test]
    fn a_recording_that_is_gone_does_not_come_back_and_its_object_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let stored = Upload::Stored { object: "s3://bucket/a".into() };
        let (one, two) = (Entry { upload: Some(stored.clone()), ..entry(1) }, entry(2));
        for entry in [&one, &two] {
            index.save(entry).unwrap();
            index.delete(entry.recording).unwrap();
            assert_eq!(index.change(entry.recording, |entry| entry.bytes = 5).unwrap(), None);
        }
        drop(index);
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(index.all(), []);
        assert_eq!(index.forgotten(), BTreeMap::from([(one.file.clone(), stored)]));
        index.is_forgotten(&one.file).unwrap();
        drop(index);
        assert_eq!(Index::open(folder.path()).unwrap().forgotten(), BTreeMap::new());
    }

    #[test]
    fn a_file_elsewhere_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (n, name) in (0..).zip(["../secret", "/etc/passwd", "-i", ".", "..", "a/b", "", "a b"]) {
            let entry = Entry { file: name.to_owned(), ..entry(n) };
            let text = serde_json::to_string(&entry).unwrap();
            fs::write(folder.path().join(format!("{}.json", entry.recording)), text).unwrap();
        }
        assert_eq!(Index::open(folder.path()).unwrap().all(), []);
    }
}
