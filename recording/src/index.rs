//! The index of recordings: a JSON note beside each media file, replaced as a whole on every change.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use signaling_core::message::{Name, TrackSource};
use signaling_core::{Entropy, LifeId, PeerId, RoomId, Timestamp};

use crate::container::Container;
use crate::upload::Upload;

/// Identifies a recording: 16 unguessable letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId([u8; 16]);

impl RecordingId {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// Generates an id.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes.map(|byte| Self::ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a')))
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the id of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no id of a recording")]
pub struct MalformedRecordingId;

impl FromStr for RecordingId {
    type Err = MalformedRecordingId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; 16] = text.as_bytes().try_into().map_err(|_| MalformedRecordingId)?;
        bytes
            .iter()
            .all(|byte| Self::ALPHABET.contains(byte))
            .then_some(Self(bytes))
            .ok_or(MalformedRecordingId)
    }
}

impl Serialize for RecordingId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordingId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far the recording of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// The recording is being written.
    Recording,
    /// The recording is complete and is being remuxed or transcoded.
    Finalising,
    /// The recording is available.
    Ready,
    /// The recording has failed or is not available.
    Failed,
}

/// One recording: the audio and video of a publisher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The id of the recording.
    pub recording: RecordingId,
    /// The room.
    pub room: RoomId,
    /// The life of the room.
    pub life: LifeId,
    /// The publishing peer; `None` for a composite of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerId>,
    /// The display name of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The source, such as a camera or a screen.
    pub source: TrackSource,
    /// The capture time of the first frame.
    pub started_at: Timestamp,
    /// The end of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The state of the recording.
    pub state: EntryState,
    /// The container format of the file.
    pub container: Container,
    /// The clockwise rotation of the pictures, in degrees. An MP4 contains it itself.
    #[serde(default, skip_serializing_if = "is_upright")]
    pub rotation: u16,
    /// The file's name in the folder of recordings.
    pub file: String,
    /// The size of the file.
    pub bytes: u64,
    /// The duration of the file.
    pub duration_ms: u64,
    /// The codecs in the file.
    pub codecs: Vec<String>,
    /// The number of packets that were never received.
    pub lost_packets: u64,
    /// The number of packets that were dropped because the disk was too slow.
    pub dropped_packets: u64,
    /// The error that occurred, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the recording has been finalised.
    #[serde(default)]
    pub finalised: bool,
    /// Why finalising failed, if it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalise_error: Option<String>,
    /// Whether the file is in the folder, rather than only in object storage.
    #[serde(default = "is_local")]
    pub local: bool,
    /// The progress of the upload, if the recording is to be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// The last error of the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_error: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_upright(rotation: &u16) -> bool {
    *rotation == 0
}

/// The default for notes written before object storage was supported.
fn is_local() -> bool {
    true
}

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
        for path in [self.path(&entry), self.note_path(recording)] {
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

/// The format of the time in file names.
const TIME: &str = "%Y-%m-%d_%H-%M-%S";

/// `<date>_<time>_<id>.<container>`, in UTC.
pub(crate) fn file_name(at: Timestamp, recording: RecordingId, container: Container) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{}_{recording}.{}", at.strftime(TIME), container.extension())
}

/// A media file in the folder, with the data encoded in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) recording: RecordingId,
    pub(crate) started_at: Timestamp,
    pub(crate) container: Container,
    pub(crate) file: String,
}

impl Stray {
    /// Parses a name made by [`file_name`].
    fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let (time, recording) = stem.rsplit_once('_')?;
        let container =
            [Container::Mp4, Container::WebM].into_iter().find(|kind| kind.extension() == extension)?;
        let at = jiff::civil::DateTime::strptime(TIME, time).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let millis = u64::try_from(at.timestamp().as_millisecond()).ok()?;
        let (recording, started_at) = (recording.parse().ok()?, Timestamp::from_millis(millis));
        Some(Self { recording, started_at, container, file: name.to_owned() })
    }
}

/// Locks the folder against other processes; `None` if nothing can be written to it anyway.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let Ok(file) = File::create(folder.join(".lock")) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process records into this folder"))
        }
        // The file system does not support locks.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Whether this is a plain file name, not a path and not an option of a program.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.bytes().all(fits) && !name.starts_with(['-', '.']) && !name.is_empty()
}

#[cfg(test)]
pub(crate) mod testing {
    use signaling_core::testing::SeededEntropy;

    use super::*;

    /// A recording that has just started.
    pub(crate) fn entry(seed: u64) -> Entry {
        let mut entropy = SeededEntropy::new(seed);
        let recording = RecordingId::random(&mut entropy);
        Entry {
            recording,
            room: "standup".parse().unwrap(),
            life: LifeId::random(&mut entropy),
            peer: Some(PeerId::random(&mut entropy)),
            name: None,
            source: TrackSource::Camera,
            started_at: Timestamp::from_millis(seed),
            ended_at: None,
            state: EntryState::Recording,
            container: Container::Mp4,
            file: format!("2026-11-21_04-00-00_{recording}.mp4"),
            bytes: 0,
            duration_ms: 0,
            codecs: vec![],
            lost_packets: 0,
            dropped_packets: 0,
            error: None,
            finalised: false,
            finalise_error: None,
            rotation: 0,
            local: true,
            upload: None,
            upload_error: None,
        }
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
        for bad in
            ["", "..", "-i", "abcdefghijklmno", "abcdefghijklmnopq", "ABCDEFGHIJKLMNOP", "../abcdefghijklm"]
        {
            assert!(bad.parse::<RecordingId>().is_err(), "{bad}");
        }
    }
}
