//! Scheduled work: meetings that begin and expire, and the deletion of old data.

use std::time::Duration;

use signaling_core::{MeetingId, Timestamp};

use crate::mail::Postman;
use crate::meeting::{Event, Meeting};
use crate::outbox::Courier as _;
use crate::service::Meetings;
use crate::store::{Outbox, StoreError, explain};
use crate::webhook::{self, Messenger};

/// Interval between two checks for due work.
const LOOK: Duration = Duration::from_secs(1);
/// How long a letter waits for a mail server at most; longer than it is retried.
const LETTERS: Duration = Duration::from_hours(4 * 24);
/// A difference of at least this many milliseconds means that the clock was set back.
const SET_BACK: i64 = 2_000;
/// How long a reply is kept for repetition.
const REPLIES: Duration = Duration::from_hours(24);

impl Meetings {
    /// Runs due work, and checks whether rooms have ended without notice: because the process was killed, or a queue
    /// was full.
    pub(crate) async fn look(self) {
        let mut missed = 0_u32;
        let mut ahead = self.ahead();
        loop {
            self.inner.store.look_after().await;
            let before = std::mem::replace(&mut ahead, self.ahead());
            if ahead + SET_BACK < before {
                self.hurry().await;
            }
            // The first check is immediate: it finds what an earlier process left undone.
            let looked = self.look_once(missed.is_multiple_of(30)).await;
            match looked {
                Ok(()) => missed = missed.wrapping_add(1),
                Err(error) => {
                    tracing::debug!(error = explain(&error), "cannot look what is due");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look_once(&self, thoroughly: bool) -> Result<(), StoreError> {
        let store = &self.inner.store;
        // Nothing is decided until the clock has been steady.
        let settled = self.inner.clock.settled();
        if let Some(settled) = settled {
            for id in store.due(settled, 100).await? {
                self.update_alone(id, |meeting| meeting.handle_due(settled)).await?;
            }
        }
        if !thoroughly {
            return Ok(());
        }
        if let Some(rooms) = self.rooms() {
            for (id, room) in store.live().await? {
                if rooms.is_there(room.clone()).await == Some(false) {
                    let at = settled.unwrap_or_else(|| self.now());
                    self.update_alone(id, |meeting| meeting.vanished(at)).await?;
                    self.inner.pending_ends.settle(&room);
                }
            }
        }
        let Some(settled) = settled else { return Ok(()) };
        let ago = |span: Duration| {
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(settled.as_millis().saturating_sub(span))
        };
        if let Some(keep) = self.inner.keep {
            for id in store.over_since(ago(keep), 100).await? {
                store.erase(id).await?;
            }
        }
        store.forget_replies(ago(REPLIES)).await?;
        store.forget_letters(ago(LETTERS)).await?;
        store.forget_deliveries(ago(webhook::KEPT)).await
    }

    /// Changes one of many meetings: one that cannot be read is logged, and set aside so that it does not block the
    /// others.
    async fn update_alone(
        &self,
        id: MeetingId,
        change: impl FnOnce(&mut Meeting) -> Vec<Event>,
    ) -> Result<(), StoreError> {
        match self.update(id, |meeting, _| Ok(((), change(meeting)))).await {
            Err(error @ StoreError::Broken { .. }) => {
                tracing::error!(meeting = %id, error = explain(&error), "a meeting is broken, and left alone");
                let store = &self.inner.store;
                store.set_aside(id).await
            }
            done => done.map(drop),
        }
    }

    /// Milliseconds by which the wall clock is ahead of the ticks.
    fn ahead(&self) -> i64 {
        let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        millis(self.now()).saturating_sub(millis(self.ticks()))
    }

    /// The clock was set back: entries that wait for a time of the earlier clock would wait longer by the difference.
    async fn hurry(&self) {
        let (store, now) = (&self.inner.store, self.now());
        let deliveries = store.hurry(Outbox::Deliveries, now, Messenger::LEASE).await;
        let hurried = deliveries.and(store.hurry(Outbox::Letters, now, Postman::LEASE).await);
        if let Err(error) = hurried {
            tracing::warn!(error = explain(&error), "what waits to be sent may wait for longer");
        }
        self.wake_outboxes();
    }
}
