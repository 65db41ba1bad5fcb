//! Applies events of rooms to their meetings, one after the other.

use std::sync::Arc;
use std::time::Duration;

use signaling_core::RoomObserver;
use signaling_core::meeting::{Happening, RoomHappening};
use tokio::sync::{mpsc, oneshot};

use crate::meeting::Meeting;
use crate::service::{Meetings, Note};
use crate::store::{Present, StoreError, explain};
use crate::webhook;

/// How long a request waits for earlier events to be applied.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long to wait before an unreachable database is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Meetings {
    /// The observer through which rooms report their events to these meetings.
    pub fn observer(&self) -> Arc<dyn RoomObserver> {
        Arc::new(Follower { meetings: self.clone() })
    }

    /// Waits until all earlier events of rooms have been applied, so that messages keep their order. The wait is
    /// limited: no request depends on a database that lags behind.
    pub(crate) async fn catch_up(&self) {
        let (turn, mine) = oneshot::channel();
        let wait = async {
            if self.inner.happenings.send(Note::Barrier(turn)).await.is_ok() {
                let _ = mine.await;
            }
        };
        let _ = tokio::time::timeout(CATCH_UP, wait).await;
    }

    /// Applies events of rooms one after the other, each once the database accepts it.
    pub(crate) async fn follow(self, mut waiting: mpsc::Receiver<Note>) {
        while let Some(note) = waiting.recv().await {
            let happening = match note {
                Note::Happening(happening) => happening,
                Note::Barrier(turn) => {
                    // A request that has waited long enough may be gone.
                    let _ = turn.send(());
                    continue;
                }
            };
            while let Err(error) = self.note(&happening).await {
                // Events that a full disk or an unreachable database does not accept wait here.
                if !error.is_of_its_place() {
                    tracing::error!(
                        room = %happening.room,
                        error = explain(&error),
                        "what happened in a room is not kept"
                    );
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
            if matches!(happening.what, RoomHappening::Ended { .. }) {
                self.inner.pending_ends.settle(&happening.room);
            }
        }
    }

    async fn note(&self, happening: &Happening) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(meeting) = store.by_room(&happening.room).await? else {
            return self.tell_server(happening).await;
        };
        let whom = match &happening.what {
            RoomHappening::Joined(who) | RoomHappening::Left { who, .. } => Present::One(who.peer),
            RoomHappening::Recording { .. } | RoomHappening::Ended { .. } => Present::All,
        };
        let follow = |meeting: &mut Meeting, _| Ok(((), meeting.happened(&happening.what, happening.at)));
        self.change(meeting.id, whom, None, follow).await.map(drop)
    }
}

impl Meetings {
    /// Reports an event in a room without a meeting.
    async fn tell_server(&self, happening: &Happening) -> Result<(), StoreError> {
        let Some(endpoint) = self.server_endpoint().await? else { return Ok(()) };
        let message = self.with_entropy(|entropy| webhook::room_message(happening, endpoint, entropy));
        match message {
            Some(message) => self.send(&[message]).await,
            None => Ok(()),
        }
    }
}

struct Follower {
    meetings: Meetings,
}

impl RoomObserver for Follower {
    fn wants_all(&self) -> bool {
        self.meetings.inner.server_webhook.is_some()
    }

    fn happened(&self, happening: Happening) {
        let inner = &self.meetings.inner;
        if matches!(happening.what, RoomHappening::Ended { .. }) {
            inner.pending_ends.insert(happening.room.clone());
        }
        let room = happening.room.clone();
        if inner.happenings.try_send(Note::Happening(happening)).is_err() {
            tracing::warn!(%room, "what happened in a meeting is not noted: the database is behind");
        }
    }
}
