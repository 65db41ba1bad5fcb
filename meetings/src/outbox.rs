//! Outgoing messages, retried until they are accepted or given up.
//!
//! Webhooks and mail work the same way: a due entry is claimed, so that no other server takes it up, and one attempt is
//! made, concurrently with others; the [`Courier`] then records the result. If the process ends before the result is
//! recorded, the attempt is repeated: delivery is at least once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use signaling_core::{Timestamp, WallClock};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::store::{Outbox, Store, StoreError, explain};

/// Polling interval when nothing reports a new entry.
const LOOK: Duration = Duration::from_secs(1);
/// Delay of an entry whose receiver already has its maximum of attempts.
const BUSY: Duration = Duration::from_millis(500);

/// Delivers the entries of one outbox to their receivers.
pub(crate) trait Courier: Clone + Send + Sync + 'static {
    /// An entry of the outbox.
    type Entry: Send + Sync + 'static;

    /// The type of the entries that it delivers.
    const OUTBOX: Outbox;
    /// Maximum number of concurrent attempts.
    const AT_ONCE: usize;
    /// Maximum number of concurrent attempts for one receiver, so that one that hangs leaves room for others.
    const TO_ONE: usize;
    /// Duration of a claim; longer than an attempt may last.
    const LEASE: Duration;

    /// Claims entries that are due, for the duration of a claim.
    fn claim(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Entry>, StoreError>> + Send;

    /// The id of an entry, and its receiver.
    fn address(entry: &Self::Entry) -> (&str, &str);

    /// Makes one attempt, and records the result.
    fn attempt(&self, entry: &Self::Entry) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The attempts in progress.
struct Attempts {
    tasks: JoinSet<()>,
    /// The receiver of each attempt.
    receivers: HashMap<Id, String>,
}

/// Delivers the entries of an outbox for the life of the process. `filled` signals a new entry.
pub(crate) async fn run<C: Courier>(
    courier: C,
    store: Arc<Store>,
    clock: Arc<dyn WallClock>,
    mut filled: watch::Receiver<()>,
) {
    let mut attempts = Attempts { tasks: JoinSet::new(), receivers: HashMap::new() };
    while let Err(error) = start_anew(C::OUTBOX, C::LEASE, &store, clock.now()).await {
        tell(C::OUTBOX, &error);
        tokio::time::sleep(LOOK).await;
    }
    loop {
        if let Err(error) = take_up(&courier, &store, clock.now(), &mut attempts).await {
            tell(C::OUTBOX, &error);
            tokio::time::sleep(LOOK).await;
        }
        tokio::select! {
            is_there = filled.changed() => if is_there.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK) => {}
            Some(ended) = attempts.tasks.join_next_with_id(), if !attempts.tasks.is_empty() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                attempts.receivers.remove(&id);
            }
        }
    }
}

/// Attempts of this server's former process are over, and what waits for a retry need not wait any longer.
async fn start_anew(
    outbox: Outbox,
    lease: Duration,
    store: &Store,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.release_all(outbox).await?;
    store.hurry(outbox, now, lease).await
}

fn tell(outbox: Outbox, error: &StoreError) {
    tracing::debug!(?outbox, error = explain(error), "cannot look what is to be sent");
}

async fn take_up<C: Courier>(
    courier: &C,
    store: &Store,
    now: Timestamp,
    attempts: &mut Attempts,
) -> Result<(), StoreError> {
    let free = C::AT_ONCE.saturating_sub(attempts.tasks.len());
    // Reading is cheaper than claiming, which writes.
    if free == 0 || !store.has_due(C::OUTBOX, now).await? {
        return Ok(());
    }
    for entry in courier.claim(now, u32::try_from(free).unwrap_or(1)).await? {
        let (id, receiver) = C::address(&entry);
        let under_way = attempts.receivers.values().filter(|other| *other == receiver).count();
        if under_way >= C::TO_ONE {
            store.release(C::OUTBOX, id, now + BUSY).await?;
            continue;
        }
        let (receiver, courier) = (receiver.to_owned(), courier.clone());
        let task = attempts.tasks.spawn(async move {
            if let Err(error) = courier.attempt(&entry).await {
                let id = C::address(&entry).0;
                tracing::warn!(error = explain(&error), id, "what came of an attempt is not kept");
            }
        });
        attempts.receivers.insert(task.id(), receiver);
    }
    Ok(())
}

/// When to retry after a failed attempt, the first being number 0; `None` after the last.
pub(crate) fn retry_at(waits: &[u64], attempt: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = usize::try_from(attempt).ok().and_then(|attempt| waits.get(attempt))?;
    Some(now + Duration::from_secs(*wait))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::store::{Letter, Outgoing};
    use crate::testing::{FixedClock, planned};

    /// Reports each attempt, and blocks it until it is released.
    #[derive(Clone)]
    struct Held {
        store: Arc<Store>,
        tried: mpsc::Sender<String>,
        release: Arc<Semaphore>,
        panics: Arc<AtomicUsize>,
    }

    impl Courier for Held {
        type Entry = Letter;
        const OUTBOX: Outbox = Outbox::Letters;
        const AT_ONCE: usize = 3;
        const TO_ONE: usize = 2;
        const LEASE: Duration = Duration::from_mins(5);

        async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Letter>, StoreError> {
            self.store.claim_letters(now, now + Self::LEASE, limit).await
        }

        fn address(entry: &Letter) -> (&str, &str) {
            // All letters of one meeting count as one receiver here.
            (&entry.id, &entry.meeting)
        }

        async fn attempt(&self, entry: &Letter) -> Result<(), StoreError> {
            self.tried.send(entry.id.clone()).await.unwrap();
            self.release.acquire().await.unwrap().forget();
            let left =
                self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "this attempt panics");
            self.store.forget_letter(&entry.id).await
        }
    }

    fn letter(meeting: &str, number: usize) -> Letter {
        Letter {
            id: format!("{meeting}-{number}"),
            meeting: meeting.to_owned(),
            recipient: format!("{number}@example.org"),
            message: String::new(),
            at: FixedClock::NOON,
            attempts: 0,
        }
    }

    struct Running {
        held: Held,
        tried: mpsc::Receiver<String>,
        filled: watch::Sender<()>,
        _folder: tempfile::TempDir,
    }

    /// An outbox with these letters, with its delivery running.
    async fn running(letters: Vec<Letter>, panics: usize) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::sqlite(&folder.path().join("meetings.db")));
        let meeting = planned("Standup", 1);
        let reply = crate::store::Reply { body: String::new(), etag: String::new() };
        store.create(&meeting, &Outgoing { letters, ..Outgoing::default() }, None, &reply).await.unwrap();
        let (tried, trials) = mpsc::channel(16);
        let held = Held {
            store: Arc::clone(&store),
            tried,
            release: Arc::new(Semaphore::new(0)),
            panics: Arc::new(AtomicUsize::new(panics)),
        };
        let (filled, is_filled) = watch::channel(());
        tokio::spawn(run(held.clone(), store, Arc::new(FixedClock), is_filled));
        Running { held, tried: trials, filled, _folder: folder }
    }

    async fn waiting(store: &Store) -> i64 {
        store.count_letters().await.unwrap()
    }

    #[tokio::test]
    async fn one_receiver_takes_only_its_share_and_all_are_told_in_the_end() {
        let letters = vec![letter("a", 1), letter("a", 2), letter("a", 3), letter("b", 1)];
        let Running { held, mut tried, filled, _folder } = running(letters, 0).await;
        let mut first = Vec::new();
        while first.len() < 3 {
            first.push(tried.recv().await.unwrap());
        }
        first.sort();
        // Two attempts for the one receiver; the other receiver is not delayed.
        assert_eq!(first.iter().filter(|id| id.starts_with('a')).count(), 2, "{first:?}");
        assert!(first.contains(&"b-1".to_owned()), "{first:?}");
        held.release.add_permits(16);
        // The clock stands still: a deferred or claimed entry is due once the outbox starts anew.
        while waiting(&held.store).await > 0 {
            start_anew(Outbox::Letters, Held::LEASE, &held.store, FixedClock::NOON).await.unwrap();
            filled.send_replace(());
            while tried.try_recv().is_ok() {}
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_attempt_that_panics_frees_its_place() {
        let letters = vec![letter("a", 1), letter("a", 2), letter("a", 3)];
        let Running { held, mut tried, filled, _folder } = running(letters, 2).await;
        tried.recv().await.unwrap();
        tried.recv().await.unwrap();
        held.release.add_permits(2);
        // The clock stands still: a claimed entry is due again once the outbox starts anew.
        while tried.try_recv().is_err() {
            start_anew(Outbox::Letters, Held::LEASE, &held.store, FixedClock::NOON).await.unwrap();
            filled.send_replace(());
            tokio::task::yield_now().await;
        }
        assert_eq!(waiting(&held.store).await, 3, "an attempt that panicked took nothing out");
    }

    #[test]
    fn the_waits_are_taken_one_after_the_other_and_end() {
        let now = FixedClock::NOON;
        assert_eq!(retry_at(&[1, 60], 0, now), Some(now + Duration::from_secs(1)));
        assert_eq!(retry_at(&[1, 60], 1, now), Some(now + Duration::from_mins(1)));
        assert_eq!(retry_at(&[1, 60], 2, now), None);
    }
}
