//! Rooms whose end the database does not know yet.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signaling_core::{Code, Refusal, RoomId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::meeting::Meeting;
use crate::store::StoreError;

/// How long whoever wants to come in waits for the database to hear of an end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rooms whose end the database does not know yet.
#[derive(Debug)]
pub(crate) struct Over {
    rooms: Mutex<HashSet<RoomId>>,
    /// Changes with each end that the database has come to know.
    known: watch::Sender<()>,
}

impl Over {
    pub(crate) fn new() -> Self {
        Self { rooms: Mutex::default(), known: watch::Sender::new(()) }
    }

    /// A room is over.
    pub(crate) fn insert(&self, room: RoomId) {
        self.rooms().insert(room);
    }

    /// What the database says of the room is true again.
    pub(crate) fn settle(&self, room: &RoomId) {
        let mut rooms = self.rooms();
        rooms.remove(room);
        // Under the lock: who looks sees both, or neither.
        self.known.send_replace(());
    }

    /// A meeting as `read` finds it in the database once that knows of every end until now.
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
                // An end that was written after the reading has left no trace among the rooms.
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

    use signaling_core::testing::SeededEntropy;
    use signaling_core::{ServerKey, Timestamp};

    use super::*;
    use crate::meeting::Wanted;

    fn meeting() -> Meeting {
        let wanted: Wanted =
            serde_json::from_str(r#"{"title": "open", "timeZone": "UTC", "durationMinutes": 30}"#).unwrap();
        let draft = wanted.check(Timestamp::from_millis(0)).unwrap();
        let entropy = &mut SeededEntropy::new(1);
        Meeting::new(&draft, None, &ServerKey::new([1; 32]), Timestamp::from_millis(0), entropy)
    }

    /// Reads the meeting, which is titled "open", and "ended" once its end is written. `before` and `after` happen around
    /// the first reading.
    async fn read_around(
        over: &Over,
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
        let found = over.current(read).await;
        (found.map(|meeting| meeting.unwrap().title).map_err(|refusal| refusal.code), readings.get())
    }

    fn nothing(_: &RoomId, _: &Cell<bool>) {}

    #[tokio::test]
    async fn an_end_that_is_written_after_the_reading_has_it_read_again() {
        let over = Over::new();
        let ends = |room: &RoomId, has_ended: &Cell<bool>| {
            over.insert(room.clone());
            has_ended.set(true);
            over.settle(room);
        };
        assert_eq!(read_around(&over, nothing, ends).await, (Ok("ended".to_owned()), 2));
        assert_eq!(read_around(&over, nothing, nothing).await, (Ok("open".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_not_written_yet_is_waited_for() {
        let over = Over::new();
        let ends = |room: &RoomId, _: &Cell<bool>| over.insert(room.clone());
        let room = meeting().room;
        let later = async {
            tokio::time::sleep(PATIENCE / 2).await;
            over.settle(&room);
        };
        let (found, ()) = tokio::join!(read_around(&over, ends, nothing), later);
        assert_eq!(
            found,
            (Ok("open".to_owned()), 2),
            "what ended may be open again: an occurrence of several"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_nobody_writes_is_one() {
        let over = Over::new();
        let ends = |room: &RoomId, _: &Cell<bool>| over.insert(room.clone());
        assert_eq!(read_around(&over, ends, nothing).await, (Err(Code::RoomEnded), 1));
    }
}
