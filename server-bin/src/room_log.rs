//! The latest chat of rooms in the data folder, erased with the room.
//!
//! Each life of a room has a file of lines. A full one becomes the older of two, and replaces the one before: no message
//! is read again while the room lives.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signaling_core::{Append, Claim, KeptLog, LifeId, LogEvent, LogRecord, RoomId, RoomLog, SessionId, Step};

use crate::config::{OnOff, Settings};
use crate::data_dir::DataDir;
use crate::line_file::{LineFile, json_line};

/// How many messages to everybody a room is given again, and how many to single peers.
const MOST: usize = 50;
/// How many lines make a file full.
const FULL: usize = 4 * MOST;
/// Rooms are divided among so many parts, so that shards seldom wait for each other.
const PARTS: usize = 8;
/// How many files a part keeps open.
const OPEN: usize = 64;
/// The extension of the files.
const EXTENSION: &str = "jsonl";
/// Rooms that nobody has returned to for this long after the start have ended with the process before.
pub(crate) const RETURN: Duration = Duration::from_mins(10);

/// The folder with the files.
#[derive(Clone, Debug)]
pub(crate) struct ChatFolder {
    folder: PathBuf,
    /// The files of earlier processes whose rooms nobody has returned to.
    unclaimed: Arc<Mutex<HashSet<PathBuf>>>,
}

impl ChatFolder {
    /// The folder at this path, which is made if it is missing.
    pub(crate) fn open(folder: &Path) -> Self {
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            tracing::error!(path = %folder.display(), %error, "chat is not kept over a restart");
        }
        let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let unclaimed =
            files.filter(|path| path.extension().is_some_and(|found| found == EXTENSION)).collect();
        Self { folder: folder.to_owned(), unclaimed: Arc::new(Mutex::new(unclaimed)) }
    }

    /// The folder in a server's data folder; `None` if chat is not kept, and then nothing is left of it.
    pub(crate) fn of(settings: &Settings, data: &DataDir) -> Option<Self> {
        let path = data.file("chat");
        if settings.keep_chat == OnOff::On {
            return Some(Self::open(&path));
        }
        if path.exists() {
            Self::open(&path).sweep();
        }
        None
    }

    /// The log of all rooms.
    pub(crate) fn log(&self) -> ChatLog {
        ChatLog { parts: [(); PARTS].map(|()| Mutex::new(self.part())), hasher: RandomState::new() }
    }

    fn part(&self) -> Part {
        Part { folder: self.clone(), rooms: HashMap::new(), open: 0, is_failing: false }
    }

    /// Erases what nobody has returned to.
    pub(crate) fn sweep(&self) {
        for path in self.unclaimed().drain() {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "the chat of a room that has ended is not erased");
            }
        }
    }

    fn unclaimed(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a life that is written, and the older one.
    fn files(&self, life: LifeId) -> [PathBuf; 2] {
        [self.folder.join(format!("{life}.{EXTENSION}")), self.folder.join(format!("{life}.old.{EXTENSION}"))]
    }
}

/// The log of all rooms.
///
/// A line is passed to the kernel before the message is acknowledged, so it survives the process, but not a power cut.
#[derive(Debug)]
pub(crate) struct ChatLog {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
}

/// Some of the rooms.
#[derive(Debug)]
struct Part {
    folder: ChatFolder,
    rooms: HashMap<LifeId, RoomFiles>,
    /// How many of them have an open file.
    open: usize,
    /// The last line could not be written.
    is_failing: bool,
}

/// The files of one life. What is known of them stays known when the file is closed to make room for others.
#[derive(Debug)]
struct RoomFiles {
    paths: [PathBuf; 2],
    file: Option<LineFile>,
    /// Messages in the file that is written.
    lines: usize,
    /// The greatest `seq` of each session.
    sequences: BTreeMap<SessionId, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// The greatest `seq` of each session in the files before.
    Sequences(BTreeMap<SessionId, u64>),
    Chat(LogRecord),
}

/// [`Line`], as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum NewLine<'a> {
    Sequences(&'a BTreeMap<SessionId, u64>),
    Chat(&'a LogRecord),
}

impl RoomFiles {
    fn new(paths: [PathBuf; 2]) -> Self {
        let [new, old] = &paths;
        let mut kept = KeptLog::default();
        read_file(old, &mut kept);
        let older = kept.records.len();
        read_file(new, &mut kept);
        Self { file: None, lines: kept.records.len() - older, sequences: kept.sequences, paths }
    }

    fn append(&mut self, record: &LogRecord) -> io::Result<()> {
        if self.lines >= FULL {
            self.file = None;
            fs::rename(&self.paths[0], &self.paths[1])?;
            self.lines = 0;
        }
        if self.lines == 0 && !self.sequences.is_empty() {
            let sequences = json_line(&NewLine::Sequences(&self.sequences))?;
            self.file()?.append(&sequences)?;
        }
        self.file()?.append(&json_line(&NewLine::Chat(record))?)?;
        self.lines += 1;
        if let (Some(session), Some(seq)) = (record.session, record.seq) {
            self.sequences.insert(session, seq);
        }
        Ok(())
    }

    /// The open file.
    fn file(&mut self) -> io::Result<&mut LineFile> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(LineFile::open(&self.paths[0])?)),
        }
    }
}

impl Part {
    fn write(&mut self, life: LifeId, record: &LogRecord) -> io::Result<()> {
        let paths = || self.folder.files(life);
        let room = self.rooms.entry(life).or_insert_with(|| RoomFiles::new(paths()));
        match &room.file {
            Some(file) if file.has_name()? => return room.append(record),
            // Somebody has removed it, with what it held.
            Some(_) => *room = RoomFiles::new(paths()),
            None => self.open += 1,
        }
        let done = room.append(record);
        if self.open > OPEN {
            self.rooms.values_mut().for_each(|room| room.file = None);
            self.open = 0;
        }
        done
    }
}

impl ChatLog {
    fn part(&self, life: LifeId) -> MutexGuard<'_, Part> {
        let part = usize::try_from(self.hasher.hash_one(life) % PARTS as u64).unwrap_or(0);
        let [first, ..] = &self.parts;
        self.parts.get(part).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomLog for ChatLog {
    fn claim(&self, _room: &RoomId, _attempt: u64, claim: Claim) -> Option<LogEvent> {
        Some(LogEvent::alone(self.part(claim.life).read(claim.life)))
    }

    fn append(&self, _room: &RoomId, _attempt: u64, append: Append<'_>) -> Option<LogEvent> {
        let mut chat = append.steps.iter().flat_map(Step::chat).peekable();
        if chat.peek().is_some() {
            let mut part = self.part(append.life);
            chat.for_each(|record| part.keep(append.life, &record));
        }
        Some(LogEvent::Appended)
    }

    fn ownership(&self, _room: &RoomId, _attempt: u64) -> Option<LogEvent> {
        Some(LogEvent::Owned(None))
    }

    fn erase(&self, _room: &RoomId, life: LifeId) {
        self.part(life).erase_life(life);
    }
}

impl Part {
    /// Writes a message. A failure is reported once, and the call goes on.
    fn keep(&mut self, life: LifeId, record: &LogRecord) {
        match self.write(life, record) {
            Ok(()) if std::mem::take(&mut self.is_failing) => tracing::info!("chat is kept again"),
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    let folder = self.folder.folder.display();
                    tracing::error!(path = %folder, %error, "chat is not kept over a restart until it can be written");
                }
            }
        }
    }

    /// What was kept of a life.
    fn read(&mut self, life: LifeId) -> KeptLog {
        let paths = self.folder.files(life);
        for path in &paths {
            self.folder.unclaimed().remove(path);
        }
        let mut kept = read(&paths);
        kept.trim(MOST);
        kept
    }

    fn erase_life(&mut self, life: LifeId) {
        let room = self.rooms.remove(&life);
        // A file that could not be opened again is counted too.
        self.open = self.open.saturating_sub(usize::from(room.is_some_and(|room| room.file.is_some())));
        for path in self.folder.files(life) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(path = %path.display(), %error, "the chat of a room that has ended is not erased");
                }
                _ => {}
            }
        }
    }
}

/// What the files of a life hold.
fn read([new, old]: &[PathBuf; 2]) -> KeptLog {
    let mut kept = KeptLog::default();
    read_file(old, &mut kept);
    read_file(new, &mut kept);
    kept
}

/// Adds what a file holds. A line cut short by a crash was not acknowledged.
fn read_file(path: &Path, kept: &mut KeptLog) {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::error!(path = %path.display(), %error, "the chat of a room cannot be read");
            }
            return;
        }
    };
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Chat(record)) => kept.push(record),
            Ok(Line::Sequences(sequences)) => kept.sequences.extend(sequences),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a line of chat is skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use signaling_core::room::ChatLine;
    use signaling_core::testing::SeededEntropy;
    use signaling_core::{PeerId, Timestamp};

    use super::*;

    fn record(id: u64, session: SessionId, to: Option<PeerId>) -> LogRecord {
        let from = PeerId::random(&mut SeededEntropy::new(3));
        let (text, at) = (format!("line {id}").into(), Timestamp::from_millis(id));
        LogRecord {
            line: ChatLine { id, from, name: None, text, to, at },
            session: Some(session),
            seq: Some(id),
        }
    }

    fn life(seed: u64) -> LifeId {
        LifeId::random(&mut SeededEntropy::new(seed))
    }

    #[test]
    fn the_latest_are_there_again_in_files_that_do_not_grow() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("chat");
        let mut entropy = SeededEntropy::new(5);
        let [first, second] = [(); 2].map(|()| SessionId::random(&mut entropy));
        let mut log = ChatFolder::open(&path).part();
        log.keep(life(1), &record(1, first, None));
        log.keep(life(1), &record(2, second, Some(PeerId::random(&mut entropy))));
        for id in 3..2_000 {
            log.keep(life(1), &record(id, second, None));
        }
        log.keep(life(2), &record(7, first, None));
        drop(log);

        let mut again = ChatFolder::open(&path).part();
        let kept = again.read(life(1));
        let ids: Vec<u64> = kept.records.iter().map(|record| record.line.id).collect();
        assert_eq!(ids, (1_950..2_000).collect::<Vec<_>>(), "the latest");
        assert_eq!(kept.sequences, BTreeMap::from([(first, 1), (second, 1_999)]));
        assert_eq!(again.read(life(2)).records.len(), 1);
        let file = path.join(format!("{}.jsonl", life(1)));
        let lines = |name: &str| fs::read_to_string(path.join(name)).unwrap().lines().count();
        assert!(lines(&format!("{}.jsonl", life(1))) <= FULL + 1);
        assert!(lines(&format!("{}.old.jsonl", life(1))) <= FULL + 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn a_restart_at_the_change_of_files_loses_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let session = SessionId::random(&mut SeededEntropy::new(5));
        let last = u64::try_from(FULL).unwrap() + 3;
        let mut log = ChatFolder::open(parent.path()).part();
        (1..=last).for_each(|id| log.keep(life(1), &record(id, session, None)));
        let folder = ChatFolder::open(parent.path());
        let mut log = folder.part();
        log.keep(life(1), &record(last + 1, session, None));
        let ids = |log: &mut Part| {
            log.read(life(1)).records.iter().map(|record| record.line.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&mut log), (last - 48..=last + 1).collect::<Vec<_>>());

        // The process ended after the full file got its new name.
        let [new, old] = folder.files(life(1));
        fs::rename(&new, &old).unwrap();
        let mut log = folder.part();
        (0..2).for_each(|id| log.keep(life(1), &record(1_000 + id, session, None)));
        assert_eq!(ids(&mut log)[4..], [1_000, 1_001]);
    }

    #[test]
    fn more_rooms_than_files_may_be_open_lose_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let session = SessionId::random(&mut SeededEntropy::new(5));
        let mut log = ChatFolder::open(parent.path()).part();
        let rooms = 2 * u64::try_from(OPEN).unwrap();
        for id in 1..=3 {
            (0..rooms).for_each(|seed| log.keep(life(seed), &record(id, session, None)));
            let open = log.rooms.values().filter(|room| room.file.is_some()).count();
            assert!(open == log.open && open <= OPEN, "{open} of {}", log.open);
        }
        for seed in 0..rooms {
            assert_eq!(log.read(life(seed)).records.len(), 3);
        }
        log.erase_life(life(rooms - 1));
        assert_eq!(log.open, log.rooms.values().filter(|room| room.file.is_some()).count());
    }

    #[test]
    fn the_end_erases_and_so_does_time_what_nobody_returns_to() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("chat");
        let session = SessionId::random(&mut SeededEntropy::new(5));
        let mut log = ChatFolder::open(&path).part();
        for seed in 1..=3 {
            log.keep(life(seed), &record(1, session, None));
        }
        log.erase_life(life(3));
        log.erase_life(life(4));
        let folder = ChatFolder::open(&path);
        assert_eq!(folder.part().read(life(1)).records.len(), 1);
        folder.sweep();
        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [format!("{}.jsonl", life(1)).as_str()]);
    }

    #[test]
    fn a_line_cut_short_costs_that_line_alone_and_a_lost_file_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let session = SessionId::random(&mut SeededEntropy::new(5));
        let folder = ChatFolder::open(parent.path());
        let (mut log, file) = (folder.part(), folder.files(life(1))[0].clone());
        log.keep(life(1), &record(1, session, None));
        log.keep(life(1), &record(2, session, None));
        let text = fs::read(&file).unwrap();
        fs::write(&file, &text[..text.len() - 9]).unwrap();
        let mut log = folder.part();
        assert_eq!(log.read(life(1)).records.len(), 1);
        log.keep(life(1), &record(3, session, None));
        assert_eq!(log.read(life(1)).records.len(), 2);
        fs::remove_file(&file).unwrap();
        log.keep(life(1), &record(4, session, None));
        assert_eq!(log.read(life(1)).records.len(), 1);
    }
}
