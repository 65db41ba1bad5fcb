//! What of rooms outlives the process: a journal in the data folder.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use signaling_core::room::RoomRecord;
use signaling_core::{RoomId, RoomStore, SessionId};

/// Lines beyond those that are needed, before the journal is written anew.
const SLACK: usize = 10_000;

/// A store in one file of JSON lines: the newest line about a room counts. Clones share it.
///
/// A line is handed to the kernel before the room goes on, so that it survives the process, though not a power cut: what
/// is lost with the power is at most the settings of the last moments.
#[derive(Clone, Debug)]
pub(crate) struct RoomJournal {
    journal: Arc<Mutex<Journal>>,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    rooms: HashMap<RoomId, RoomRecord>,
    lines: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Saved(RoomRecord),
    SessionEnded { room: RoomId, session: SessionId },
    Forgotten(RoomId),
}

impl RoomJournal {
    /// Reads the journal, and writes it anew without what is out of date.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut rooms = HashMap::new();
        match fs::read_to_string(path) {
            Ok(text) => {
                for line in text.lines() {
                    match serde_json::from_str(line) {
                        Ok(line) => apply(&mut rooms, &line),
                        // The last line may be cut short by a crash: the room is then as it was before it.
                        Err(error) => {
                            tracing::warn!(path = %path.display(), %error, "a line about a room is skipped");
                        }
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (file, lines) = write_anew(path, &rooms)?;
        let journal = Journal { path: path.to_owned(), file, rooms, lines };
        Ok(Self { journal: Arc::new(Mutex::new(journal)) })
    }

    fn change(&self, line: &Line) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = journal.write(line) {
            tracing::error!(path = %journal.path.display(), %error, "what a host has set is not kept over a restart");
        }
    }
}

impl Journal {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        apply(&mut self.rooms, line);
        if self.lines > self.rooms.len() * 2 + SLACK {
            (self.file, self.lines) = write_anew(&self.path, &self.rooms)?;
            return Ok(());
        }
        self.check_file()?;
        self.lines += 1;
        self.file.write_all(&json_line(line)?)
    }

    /// Whether the file is the one that was opened: what is written to one that was deleted or replaced is lost.
    fn check_file(&self) -> io::Result<()> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if identity(fs::metadata(&self.path)?) == identity(self.file.metadata()?) {
            return Ok(());
        }
        Err(io::Error::other("the file was replaced by another"))
    }
}

fn apply(rooms: &mut HashMap<RoomId, RoomRecord>, line: &Line) {
    match line {
        Line::Saved(record) => drop(rooms.insert(record.room.clone(), record.clone())),
        Line::SessionEnded { room, session } => {
            if let Some(record) = rooms.get_mut(room) {
                record.end_session(*session);
            }
        }
        Line::Forgotten(room) => drop(rooms.remove(room)),
    }
}

fn json_line(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// A journal of these rooms in the place of the old one, whole at every moment.
fn write_anew(path: &Path, rooms: &HashMap<RoomId, RoomRecord>) -> io::Result<(File, usize)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    for record in rooms.values() {
        new.write_all(&json_line(&Line::Saved(record.clone()))?)?;
    }
    new.as_file().sync_all()?;
    new.persist(path)?;
    let file = OpenOptions::new().append(true).mode(0o600).open(path)?;
    Ok((file, rooms.len()))
}

impl RoomStore for RoomJournal {
    fn load(&mut self) -> Vec<RoomRecord> {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.rooms.values().cloned().collect()
    }

    fn save(&mut self, record: &RoomRecord) {
        self.change(&Line::Saved(record.clone()));
    }

    fn end_session(&mut self, room: &RoomId, session: SessionId) {
        self.change(&Line::SessionEnded { room: room.clone(), session });
    }

    fn forget(&mut self, room: &RoomId) {
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
        let mut journal = RoomJournal::open(&path).unwrap();
        for room in ["a", "b", "c"] {
            journal.save(&record(room));
        }
        journal.forget(&"b".parse().unwrap());
        let mut locked = record("c");
        locked.settings.locked = true;
        journal.save(&locked);
        drop(journal);

        let mut again = RoomJournal::open(&path).unwrap();
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
        let mut journal = RoomJournal::open(&path).unwrap();
        journal.save(&record("a"));
        journal.end_session(&"a".parse().unwrap(), one);
        journal.end_session(&"gone".parse().unwrap(), one);
        drop(journal);
        let mut again = RoomJournal::open(&path).unwrap();
        again.end_session(&"a".parse().unwrap(), two);
        drop(again);
        let rooms = RoomJournal::open(&path).unwrap().load();
        assert!(rooms[0].ended_sessions.contains(one) && rooms[0].ended_sessions.contains(two));
        assert_eq!(rooms.len(), 1);
    }

    #[test]
    fn nothing_is_written_to_a_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let journal = RoomJournal::open(&path).unwrap();
        let write = || journal.journal.lock().unwrap().write(&Line::Saved(record("a")));
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
        let mut journal = RoomJournal::open(&path).unwrap();
        journal.save(&record("a"));
        journal.save(&record("b"));
        drop(journal);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(rooms(&mut RoomJournal::open(&path).unwrap()), ["a"]);
    }

    #[test]
    fn a_long_life_does_not_grow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.jsonl");
        let mut journal = RoomJournal::open(&path).unwrap();
        for _ in 0..SLACK + 100 {
            journal.save(&record("a"));
        }
        assert!(fs::read_to_string(&path).unwrap().lines().count() < 200);
        assert_eq!(rooms(&mut RoomJournal::open(&path).unwrap()), ["a"]);
    }
}
