//! Removes recordings that are not to be kept.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use signaling_core::Timestamp;

use crate::index::{Entry, Index};
use crate::retention::{Cause, Retention};

/// The interval between two checks of the age and the size of recordings.
const LOOK: Duration = Duration::from_secs(300);

/// Deletes one recording per turn, because deleting a large file may take time, and the writing thread has other work.
#[derive(Debug)]
pub(super) struct Sweeper {
    retention: Retention,
    next_look: Instant,
    leaving: VecDeque<(Entry, Cause)>,
}

impl Sweeper {
    /// Creates a sweeper whose first check is due after one interval.
    pub(super) fn new(retention: Retention, now: Instant) -> Self {
        Self { retention, next_look: now + LOOK, leaving: VecDeque::new() }
    }

    /// Schedules a check for the next turn, because the folder has grown.
    pub(super) fn on_recorded(&mut self, now: Instant) {
        self.next_look = self.next_look.min(now);
    }

    /// The time until there is work to do.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        if self.leaving.is_empty() { self.next_look.saturating_duration_since(now) } else { Duration::ZERO }
    }

    /// Deletes one recording, or checks which ones to delete if that is due.
    pub(super) fn turn(&mut self, index: &Index, now: Instant, believed: Option<Timestamp>) {
        if let Some((entry, cause)) = self.leaving.pop_front() {
            delete(index, &entry, cause);
        } else if now >= self.next_look {
            self.next_look = now + LOOK;
            self.leaving = leaving(index, self.retention, believed).into();
        }
    }
}

/// Deletes all recordings that are not to be kept, at once.
pub(super) fn sweep(index: &Index, retention: Retention, believed: Option<Timestamp>) {
    for (entry, cause) in leaving(index, retention, believed) {
        delete(index, &entry, cause);
    }
}

fn leaving(index: &Index, retention: Retention, believed: Option<Timestamp>) -> Vec<(Entry, Cause)> {
    if retention.is_everything() {
        return Vec::new();
    }
    let owned = |(entry, cause): (&Entry, Cause)| (entry.clone(), cause);
    retention.leaving(&index.all(), believed).into_iter().map(owned).collect()
}

fn delete(index: &Index, entry: &Entry, cause: Cause) {
    let Entry { recording, room, bytes, .. } = entry;
    let Some(known) = index.get(*recording) else { return }; // somebody was faster
    match known.upload {
        Some(upload) if cause == Cause::Size && upload.is_stored() => return release(index, entry),
        Some(_) if cause == Cause::Size => return, // it is to be uploaded anew
        _ => {}
    }
    match index.delete(*recording) {
        Ok(()) => tracing::info!(%recording, %room, bytes, %cause, "a recording is kept no longer"),
        Err(error) => tracing::error!(%recording, %room, %error, "a recording could not be deleted"),
    }
}

/// Removes the file of a recording that is in object storage.
pub(super) fn release(index: &Index, entry: &Entry) {
    let Entry { recording, room, bytes, .. } = entry;
    match index.release(*recording) {
        Ok(()) => tracing::info!(%recording, %room, bytes, "a recording is in object storage alone now"),
        Err(error) => tracing::error!(%recording, %room, %error, "a recording's file could not be removed"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::time::now;
    use super::*;
    use crate::index::EntryState;
    use crate::index::testing::entry;
    use crate::upload::Upload;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Three recordings of one byte that ended on the first, second and third day.
    fn three_days(index: &Index) -> [Entry; 3] {
        [1, 2, 3].map(|day| {
            let ended_at = Some(Timestamp::default() + DAY * day);
            let entry = Entry { ended_at, state: EntryState::Ready, bytes: 1, ..entry(day.into()) };
            index.save(&entry).unwrap();
            fs::write(index.path(&entry), "x").unwrap();
            entry
        })
    }

    fn names(index: &Index) -> Vec<String> {
        let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
        let mut names: Vec<_> =
            fs::read_dir(index.folder()).unwrap().map(|file| name(file.unwrap())).collect();
        names.retain(|name| name != ".lock");
        names.sort();
        names
    }

    fn names_of(entries: &[&Entry]) -> Vec<String> {
        let both = |entry: &&Entry| [entry.file.clone(), format!("{}.json", entry.recording)];
        let mut names: Vec<_> = entries.iter().flat_map(both).collect();
        names.sort();
        names
    }

    #[test]
    fn a_start_deletes_files_and_what_is_known_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let [one, two, three] = three_days(&index);
        let later = Timestamp::default() + DAY * 4;
        let later = Some(later);
        sweep(&index, Retention::default(), later);
        assert_eq!(names(&index), names_of(&[&one, &two, &three]));
        sweep(&index, Retention { age: Some(DAY * 2), bytes: None }, later);
        assert_eq!(names(&index), names_of(&[&two, &three]));
        sweep(&index, Retention { age: None, bytes: Some(1) }, later);
        assert_eq!(names(&index), names_of(&[&three]));
        drop(index);
        assert_eq!(Index::open(folder.path()).unwrap().all(), [three], "after a restart, too");
    }

    #[test]
    fn where_there_is_no_room_a_stored_recording_is_left_to_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let [one, ..] = three_days(&index);
        let upload = Some(Upload::Stored { object: "s3://bucket/a".into() });
        index.save(&Entry { upload, ..one.clone() }).unwrap();
        sweep(&index, Retention { age: None, bytes: Some(2) }, Some(Timestamp::default() + DAY * 4));
        assert!(!index.path(&one).exists());
        assert!(!index.get(one.recording).unwrap().local, "it is still known");
    }

    #[test]
    fn one_goes_in_a_turn_once_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let [one, two, three] = three_days(&index);
        let (start, believed) = (now(), Some(Timestamp::default() + DAY * 4));
        let mut sweeper = Sweeper::new(Retention { age: Some(DAY), bytes: None }, start);
        assert_eq!(sweeper.rest(start), LOOK);
        sweeper.turn(&index, start, believed);
        assert_eq!(names(&index), names_of(&[&one, &two, &three]));

        let due = start + LOOK;
        sweeper.turn(&index, due, believed); // looks
        assert_eq!(sweeper.rest(due), Duration::ZERO);
        sweeper.turn(&index, due, believed);
        assert_eq!(names(&index), names_of(&[&two, &three]));
        index.delete(two.recording).unwrap(); // by somebody else
        sweeper.turn(&index, due, believed);
        assert_eq!(names(&index), names_of(&[&three]), "a day old is not older than a day");
        assert_eq!(sweeper.rest(due), LOOK);
    }
}
