//! Persistent data of rooms: a journal in the data folder.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use signaling_core::room::RoomRecord;
use signaling_core::{RoomId, RoomStore, SessionId};

use crate::line_file::{LineFile, json_line};

/// Number of obsolete lines after which the journal is rewritten.
const SLACK: usize = 10_000;

/// A store in one file of JSON lines: the newest line about a room is valid. Clones share it.
///
/// A line is passed to the kernel before the room continues, so it survives the process, but not a power cut: a power
/// cut loses at most the settings of the last moments.
#[derive(Clone, Debug)]
pub(crate) struct RoomJournal {
    journal: Arc<Mutex<Journal>>,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// `None` while it cannot be opened.
    file: Option<LineFile>,
    rooms: HashMap<RoomId, RoomRecord>,
    lines: usize,
    /// Why the file is missing something in `rooms`, if so.
    trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Saved(Box<RoomRecord>),
    SessionEnded { room: RoomId, session: SessionId },
    Forgotten(RoomId),
}

impl RoomJournal {
    /// Reads the journal, and rewrites it without obsolete lines. On a disk that cannot be written, the store works
    /// with what was read and what is set later, and writes it when possible.
    pub(crate) fn open(path: &Path) -> Self {
        let rooms = read(path);
        let mut journal = Journal { path: path.to_owned(), file: None, rooms, lines: 0, trouble: None };
        if let Err(error) = journal.write_anew() {
            journal.file = LineFile::open(path).ok();
            journal.note(&error);
        }
        Self { journal: Arc::new(Mutex::new(journal)) }
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, line: &Line) {
        let mut journal = self.lock();
        if let Err(error) = journal.write(line) {
            journal.note(&error);
        }
    }

    /// Writes what could not be written when it was set. Returns the reason if it still cannot.
    pub(crate) fn mend(&self) -> Option<String> {
        let mut journal = self.lock();
        journal.trouble.as_ref()?;
        // A different file in its place belongs to somebody else.
        let replaced = journal.file.as_ref().and_then(|file| file.check(&journal.path).err());
        if replaced.is_some() && journal.path.exists() {
            return journal.trouble.clone();
        }
        match journal.write_anew() {
            Ok(()) => {
                tracing::info!(path = %journal.path.display(), "what hosts have set is kept again");
                journal.trouble = None;
            }
            Err(error) => journal.note(&error),
        }
        journal.trouble.clone()
    }
}

impl Journal {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        apply(&mut self.rooms, line);
        if self.lines > self.rooms.len() * 2 + SLACK && self.trouble.is_none() {
            return self.write_anew();
        }
        self.lines += 1;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(LineFile::open(&self.path)?),
        };
        file.check(&self.path)?;
        file.append(&json_line(line)?)
    }

    /// Replaces the journal atomically with a new one of the rooms.
    fn write_anew(&mut self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        for record in self.rooms.values() {
            new.write_all(&json_line(&Line::Saved(Box::new(record.clone())))?)?;
        }
        new.as_file().sync_all()?;
        new.persist(&self.path)?;
        self.file = Some(LineFile::open(&self.path)?);
        self.lines = self.rooms.len();
        Ok(())
    }

    fn note(&mut self, error: &io::Error) {
        if self.trouble.is_none() {
            tracing::error!(
                path = %self.path.display(), %error,
                "what hosts set is not kept over a restart until it can be written"
            );
        }
        self.trouble = Some(format!("{} cannot be written: {error}", self.path.display()));
    }
}

/// Parses the rooms of a journal. An unreadable part affects only the rooms it concerns.
fn read(path: &Path) -> HashMap<RoomId, RoomRecord> {
    let mut rooms = HashMap::new();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return rooms,
        Err(error) => {
            // It is not overwritten: somebody may make it readable again.
            let aside = path.with_extension("jsonl.unreadable");
            let kept = fs::rename(path, &aside).is_ok().then(|| aside.display().to_string());
            tracing::error!(path = %path.display(), %error, kept, "the rooms of before are not known: their file cannot be read");
            return rooms;
        }
    };
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(line) => apply(&mut rooms, &line),
            // A line cut short by a crash: the room keeps its earlier state.
            Err(error) => {
                tracing::warn!(path = %path.display(), line = at + 1, %error, "a line about a room is skipped");
            }
        }
    }
    rooms
}

fn apply(rooms: &mut HashMap<RoomId, RoomRecord>, line: &Line) {
    match line {
        Line::Saved(record) => drop(rooms.insert(record.room.clone(), (**record).clone())),
        Line::SessionEnded { room, session } => {
            if let Some(record) = rooms.get_mut(room) {
                record.end_session(*session);
            }
        }
        Line::Forgotten(room) => drop(rooms.remove(room)),
    }
}

impl RoomStore for RoomJournal {
    fn load(&self) -> Vec<RoomRecord> {
        self.lock().rooms.values().cloned().collect()
    }

    fn save(&self, record: &RoomRecord) {
        self.change(&Line::Saved(Box::new(record.clone())));
    }

    fn end_session(&self, room: &RoomId, session: SessionId) {
        self.change(&Line::SessionEnded { room: room.clone(), session });
    }

    fn forget(&self, room: &RoomId) {
        self.change(&Line::Forgotten(room.clone()));
    }
}

#[cfg(test)]
mod tests {
    use signaling_core::message::TopologyChoice;
    use signaling_core::testing::SeededEntropy;
    use signaling_core::{LifeId, Timestamp};

    use super::*;

    fn record(room: &str) -> RoomRecord {
        let life = LifeId::random(&mut SeededEntropy::new(1));
        RoomRecord::new(room.parse().unwrap(), life, Timestamp::from_millis(5), TopologyChoice::Auto)
    }

    fn rooms(journal: &mut RoomJournal) -> Vec<String> {
        let mut rooms: Vec<_> = journal.load().iter().map(|record| record.room.to_string()).collect();
        rooms.sort();
        rooms
    }

    #[test]
    fn what_was_saved_is_there_again_and_what_was_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let journal = RoomJournal::open(&path);
        for room in ["a", "b", "c"] {
            journal.save(&record(room));
        }
        journal.forget(&"b".parse().unwrap());
        let mut locked = record("c");
        locked.settings.locked = true;
        journal.save(&locked);
        drop(journal);

        let mut again = RoomJournal::open(&path);
        assert_eq!(rooms(&mut again), ["a", "c"]);
        assert!(again.load().contains(&locked));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2, "it was written anew");
    }

    #[test]
    fn sessions_that_ended_stay_so_whether_their_line_or_the_record_says_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let mut entropy = SeededEntropy::new(2);
        let [one, two] = [(); 2].map(|()| SessionId::random(&mut entropy));
        let journal = RoomJournal::open(&path);
        journal.save(&record("a"));
        journal.end_session(&"a".parse().unwrap(), one);
        journal.end_session(&"gone".parse().unwrap(), one);
        drop(journal);
        let again = RoomJournal::open(&path);
        again.end_session(&"a".parse().unwrap(), two);
        drop(again);
        let rooms = RoomJournal::open(&path).load();
        assert!(rooms[0].ended_sessions.contains(one) && rooms[0].ended_sessions.contains(two));
        assert_eq!(rooms.len(), 1);
    }

    #[test]
    fn nothing_is_written_to_a_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let journal = RoomJournal::open(&path);
        let write = || journal.journal.lock().unwrap().write(&Line::Saved(Box::new(record("a"))));
        write().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(write().is_err());
        fs::write(&path, "").unwrap();
        assert!(write().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_line_cut_short_costs_that_line_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let journal = RoomJournal::open(&path);
        journal.save(&record("a"));
        journal.save(&record("b"));
        drop(journal);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(rooms(&mut RoomJournal::open(&path)), ["a"]);
    }

    #[test]
    fn what_is_no_text_or_no_record_costs_that_line_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let line = |room: &str| json_line(&Line::Saved(Box::new(record(room)))).unwrap();
        let text =
            [&line("a")[..], b"\xff\xfe\x00\n", b"{\"saved\": 1}\n\n", &line("b")[..30], b"\n", &line("c")]
                .concat();
        fs::write(&path, text).unwrap();
        assert_eq!(rooms(&mut RoomJournal::open(&path)), ["a", "c"]);
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_neither_written_over_nor_the_end_of_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("something"), "").unwrap();
        let journal = RoomJournal::open(&path);
        journal.save(&record("a"));
        assert_eq!(rooms(&mut RoomJournal::open(&path)), ["a"]);
        assert!(path.with_extension("jsonl.unreadable").join("something").exists());
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("folder/rooms.jsonl");
        let mut journal = RoomJournal::open(&path);
        journal.save(&record("a"));
        assert_eq!(rooms(&mut journal), ["a"], "it is known all the same");
        assert!(journal.mend().is_some());
        fs::create_dir(parent.path().join("folder")).unwrap();
        journal.save(&record("b"));
        assert_eq!(journal.mend(), None);
        assert_eq!(rooms(&mut RoomJournal::open(&path)), ["a", "b"]);
    }

    #[test]
    fn a_long_life_does_not_grow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let journal = RoomJournal::open(&path);
        for _ in 0..SLACK + 100 {
            journal.save(&record("a"));
        }
        assert!(fs::read_to_string(&path).unwrap().lines().count() < 200);
        assert_eq!(rooms(&mut RoomJournal::open(&path)), ["a"]);
    }
}
