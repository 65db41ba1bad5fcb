//! The log from which a session catches up after its connection was lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::{Frame, Timestamp};

/// A queue of numbered frames, bounded in bytes and age: a room's log, or the outbox of one session.
///
/// A reader keeps a position and no copy. Positions count from the first frame ever kept.
#[derive(Clone, Debug)]
pub(crate) struct Log<T> {
    entries: VecDeque<Kept<T>>,
    /// Position of the oldest kept entry.
    first: u64,
    /// Id of the newest dropped entry: a reader that has not seen it has missed something.
    floor: u64,
    /// Bytes ever appended.
    written: u64,
    /// `written` before the oldest kept entry. The entry has it too, but lies far away in memory.
    dropped: u64,
    max_bytes: u64,
    max_age: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
    pub(crate) frame: Arc<Frame>,
    pub(crate) recipients: T,
    /// `written` before this entry.
    offset: u64,
}

impl<T> Log<T> {
    pub(crate) fn new(max_bytes: u64, max_age: Duration) -> Self {
        Self { entries: VecDeque::new(), first: 0, floor: 0, written: 0, dropped: 0, max_bytes, max_age }
    }

    pub(crate) fn append(&mut self, id: u64, at: Timestamp, frame: Arc<Frame>, recipients: T) {
        let offset = self.written;
        self.written += frame.json.len() as u64;
        self.entries.push_back(Kept { id, at, frame, recipients, offset });
        while self.written - self.dropped > self.max_bytes && !self.entries.is_empty() {
            self.drop_oldest();
        }
    }

    /// Begins after entries up to this id, which are not kept.
    pub(crate) fn begin_after(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// The id of the newest dropped entry.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The kept entries, the oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept<T>> {
        self.entries.iter()
    }

    /// Drops entries that are older than the log keeps.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while self.entries.front().is_some_and(|oldest| oldest.at + self.max_age <= now) {
            self.drop_oldest();
        }
        // A room that was busy once must not keep the memory.
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries.shrink_to_fit();
        }
    }

    /// Drops every entry and frees its memory.
    pub(crate) fn forget(&mut self) {
        while !self.entries.is_empty() {
            self.drop_oldest();
        }
        self.entries.shrink_to_fit();
    }

    /// Drops every entry, for a reader that needs none of them: whatever comes later is all there is.
    pub(crate) fn start_anew(&mut self) {
        while !self.entries.is_empty() {
            self.drop_oldest();
        }
        self.floor = 0;
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.floor = oldest.id;
        self.first += 1;
        self.dropped = self.entries.front().map_or(self.written, |next| next.offset);
    }

    /// The entry at a position, if it is kept.
    pub(crate) fn at(&self, position: u64) -> Option<&Kept<T>> {
        self.entries.get(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }

    /// The position after the newest entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The position of the first entry with an id above `cursor`.
    pub(crate) fn after(&self, cursor: u64) -> u64 {
        self.first + self.entries.partition_point(|kept| kept.id <= cursor) as u64
    }

    /// Whether an entry with this id is kept.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.entries.binary_search_by_key(&id, |kept| kept.id).is_ok()
    }

    /// Whether everything after `cursor` is still kept.
    pub(crate) fn reaches_back_to(&self, cursor: u64) -> bool {
        cursor >= self.floor
    }

    /// Bytes from `position` to the end.
    pub(crate) fn bytes_after(&self, position: u64) -> u64 {
        self.at(position).map_or(0, |kept| self.written - kept.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log<()> {
        Log::new(30, Duration::from_secs(10))
    }

    fn append(log: &mut Log<()>, id: u64, at_s: u64) {
        let frame = Arc::new(Frame { id: Some(id), json: "0123456789".into() });
        log.append(id, Timestamp::from_millis(at_s * 1000), frame, ());
    }

    #[test]
    fn keeps_what_fits_and_says_how_far_back() {
        let mut log = log();
        for id in [10, 20, 30, 40] {
            append(&mut log, id, 0);
        }
        assert!(!log.reaches_back_to(9));
        assert!(log.reaches_back_to(10), "all after 10 is there");
        assert_eq!(log.at(log.after(10)).unwrap().id, 20);
        assert_eq!(log.at(log.after(25)).unwrap().id, 30);
        assert_eq!(log.after(40), log.end());
        assert_eq!(log.bytes_after(log.after(20)), 20);
    }

    #[test]
    fn drops_what_is_old() {
        let mut log = log();
        append(&mut log, 1, 0);
        append(&mut log, 2, 5);
        log.expire(Timestamp::from_millis(10_000));
        assert!(log.reaches_back_to(1));
        assert!(!log.reaches_back_to(0));
        assert_eq!(log.at(log.after(0)).unwrap().id, 2);
    }
}
