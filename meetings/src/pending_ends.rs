//! Rooms whose end has not yet been written to the database.

#![allow(clippy::disallowed_methods, reason = "tests pause the time of tokio, by which this waits")]

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signaling_core::{Code, Refusal, RoomId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::meeting::Meeting;
use crate::store::StoreError;

/// How long a join waits until an end has been written to the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rooms whose end has not yet been written to the database.
#[derive(Debug)]
pub(crate) struct PendingEnds {
    rooms: Mutex<HashSet<RoomId>>,
    /// Changes whenever an end has been written to the database.
    known: watch::Sender<()>,
}

impl PendingEnds {
    pub(crate) fn new() -> Self {
        Self { rooms: Mutex::default(), known: watch::Sender::new(()) }
    }

    /// Notes that a room has ended.
    pub(crate) fn insert(&self, room: RoomId) {
        self.rooms().insert(room);
    }

    /// Notes that the database reflects the end of the room.
    pub(crate) fn settle(&self, room: &RoomId) {
        let mut rooms = self.rooms();
        rooms.remove(room);
        // Under the lock, so that readers see both or neither.
        self.known.send_replace(());
    }

    /// Returns a meeting as `read` finds it in the database once all ends so far have been written.
    pub(crate) async fn current<Reading>(
        &self,
        read: impl Fn() -> Reading,
    ) -> Result<Option<Meeting>, Refusal>
    where
        Reading: Future<Output = Result<Option<Meeting>, StoreError>>,
    {
        let mut known = self.known.subscribe();
        let deadline = Instant::now() + PATIENCE;
        loop {
            known.mark_unchanged();
            let Some(meeting) = read().await? else { return Ok(None) };
            {
                let rooms = self.rooms();
                // An end that was written after the read is no longer among the rooms.
                if !rooms.contains(&meeting.room) && !known.has_changed().unwrap_or_default() {
                    return Ok(Some(meeting));
                }
            }
            if timeout_at(deadline, known.changed()).await.is_err() {
                return Err(Refusal::new(Code::RoomEnded, "the meeting has ended"));
            }
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::planned;

    fn meeting() -> Meeting {
        planned("open", 1)
    }

    /// Reads the meeting, which is titled "open", and "ended" once its end is written. `before` and `after` run around
    /// the first read.
    async fn read_around(
        pending: &PendingEnds,
        before: impl Fn(&RoomId, &Cell<bool>),
        after: impl Fn(&RoomId, &Cell<bool>),
    ) -> (Result<String, Code>, u32) {
        let (meeting, has_ended, readings) = (meeting(), Cell::new(false), Cell::new(0));
        let read = async || {
            let is_first = readings.get() == 0;
            readings.set(readings.get() + 1);
            if is_first {
                before(&meeting.room, &has_ended);
            }
            let title = if has_ended.get() { "ended" } else { "open" };
            if is_first {
                after(&meeting.room, &has_ended);
            }
            Ok(Some(Meeting { title: title.to_owned(), ..meeting.clone() }))
        };
        let found = pending.current(read).await;
        (found.map(|meeting| meeting.unwrap().title).map_err(|refusal| refusal.code), readings.get())
    }

    fn nothing(_: &RoomId, _: &Cell<bool>) {}

    #[tokio::test]
    async fn an_end_that_is_written_after_the_reading_has_it_read_again() {
        let pending = PendingEnds::new();
        let ends = |room: &RoomId, has_ended: &Cell<bool>| {
            pending.insert(room.clone());
            has_ended.set(true);
            pending.settle(room);
        };
        assert_eq!(read_around(&pending, nothing, ends).await, (Ok("ended".to_owned()), 2));
        assert_eq!(read_around(&pending, nothing, nothing).await, (Ok("open".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_not_written_yet_is_waited_for() {
        let pending = PendingEnds::new();
        let ends = |room: &RoomId, _: &Cell<bool>| pending.insert(room.clone());
        let room = meeting().room;
        let later = async {
            tokio::time::sleep(PATIENCE / 2).await;
            pending.settle(&room);
        };
        let (found, ()) = tokio::join!(read_around(&pending, ends, nothing), later);
        assert_eq!(
            found,
            (Ok("open".to_owned()), 2),
            "what ended may be open again: an occurrence of several"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_nobody_writes_is_one() {
        let pending = PendingEnds::new();
        let ends = |room: &RoomId, _: &Cell<bool>| pending.insert(room.clone());
        assert_eq!(read_around(&pending, ends, nothing).await, (Err(Code::RoomEnded), 1));
    }
}
