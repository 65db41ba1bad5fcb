//! What waits to be told to others, and when it is tried next.

use signaling_core::Timestamp;

use super::database::{Store, writing};
use super::error::StoreError;
use super::pool::int;

/// The entries of one kind that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbox {
    /// Messages to receivers of webhooks.
    Deliveries,
    /// Letters for the mail server.
    Letters,
}

impl Store {
    /// Defers an entry until then.
    pub(crate) async fn postpone(
        &self,
        outbox: Outbox,
        id: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let query = match outbox {
            Outbox::Deliveries => "UPDATE deliveries SET due_at = $2 WHERE id = $1",
            Outbox::Letters => "UPDATE letters SET due_at = $2 WHERE id = $1",
        };
        writing!(self, |pool, begin| {
            sqlx::query(query).bind(id).bind(int(until.as_millis())).execute(pool).await.map(drop)?;
            Ok(())
        })
    }

    /// Makes all pending entries due.
    pub(crate) async fn hurry(&self, outbox: Outbox, now: Timestamp) -> Result<(), StoreError> {
        let query = match outbox {
            Outbox::Deliveries => "UPDATE deliveries SET due_at = $1 WHERE due_at > $1",
            Outbox::Letters => "UPDATE letters SET due_at = $1 WHERE due_at > $1",
        };
        writing!(self, |pool, begin| {
            sqlx::query(query).bind(int(now.as_millis())).execute(pool).await.map(drop)?;
            Ok(())
        })
    }
}
