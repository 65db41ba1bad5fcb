//! The queue for access to the database.

#![allow(clippy::disallowed_methods, reason = "tests pause the time of tokio, by which this waits")]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::StoreError;

/// A waiter that held a place for this long got no answer from the database, or barely did.
const IN_VAIN: Duration = Duration::from_millis(500);

/// A queue for a number of places. It is unlimited while the database answers. When it does not, waiters behind one
/// that waited in vain fail at once and do not wait anew.
#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    /// When a waiter last waited in vain.
    in_vain: Mutex<Option<Instant>>,
}

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        Self { places: Semaphore::new(places), in_vain: Mutex::default() }
    }

    /// Waits for a free place.
    pub(super) async fn place(&self) -> Result<Place<'_>, StoreError> {
        let came = Instant::now();
        let permit = self.places.acquire().await.map_err(|_| StoreError::Unreachable(None))?;
        let in_vain = *self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if in_vain.is_some_and(|at| at > came) {
            return Err(StoreError::Unreachable(None));
        }
        Ok(Place { queue: self, since: Instant::now(), _permit: permit })
    }
}

/// A place at the head of a queue, released on drop.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    since: Instant,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Before the next waiter gets the place.
        if self.since.elapsed() >= IN_VAIN {
            *self.queue.in_vain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_anew_behind_one_who_waited_in_vain() {
        let queue = Queue::new(1);
        let first = queue.place().await.unwrap();
        let behind = async {
            let begun = Instant::now();
            assert!(queue.place().await.is_err());
            begun.elapsed()
        };
        let (waited, other, ()) = tokio::join!(behind, async { queue.place().await.is_err() }, async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            drop(first);
        });
        assert_eq!((waited, other), (Duration::from_millis(700), true));
        assert!(queue.place().await.is_ok(), "who comes later tries anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_queue_that_moves_is_waited_in() {
        let queue = Arc::new(Queue::new(1));
        let (begun, mut waiting) = (Instant::now(), JoinSet::new());
        for _ in 0..100 {
            let queue = Arc::clone(&queue);
            waiting.spawn(async move {
                let place = queue.place().await.unwrap();
                tokio::time::sleep(Duration::from_millis(40)).await;
                drop(place);
            });
        }
        waiting.join_all().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(4));
    }
}
