//! Entries that wait to be sent, and which server attempts them.
//!
//! Several servers may use one database. A server claims an entry before it attempts it, for longer than an attempt may
//! last; nobody else takes the entry meanwhile. After the time of a claim, its server counts as gone.

use std::time::Duration;

use signaling_core::Timestamp;

use super::database::{Store, reading, writing};
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
    /// The query that claims due entries of a table for server `$3` until `$4`: those due at `$1`, at most `$2`, that
    /// nobody has claimed, and of those that must keep their order (`same`) the oldest.
    pub(super) fn claiming(&self, table: &str, same: &str, columns: &str) -> String {
        // Another server that claims at this moment is not waited for.
        let lock = if self.locks_rows() { "FOR UPDATE SKIP LOCKED" } else { "" };
        format!(
            "WITH due AS MATERIALIZED (SELECT position FROM {table} AS one WHERE due_at <= $1 \
             AND (claimed_until IS NULL OR claimed_until <= $1) AND NOT EXISTS (SELECT 1 FROM {table} AS older \
             WHERE {same} AND older.position < one.position) ORDER BY due_at, position LIMIT $2 {lock}) \
             UPDATE {table} SET claimed_by = $3, claimed_until = $4 FROM due \
             WHERE {table}.position = due.position RETURNING {columns}"
        )
    }

    /// Whether any entry is due that nobody has claimed.
    pub(crate) async fn has_due(&self, outbox: Outbox, now: Timestamp) -> Result<bool, StoreError> {
        let query = match outbox {
            Outbox::Deliveries => {
                "SELECT 1 FROM deliveries WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1) LIMIT 1"
            }
            Outbox::Letters => {
                "SELECT 1 FROM letters WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1) LIMIT 1"
            }
        };
        reading!(self, |pool| {
            let row = sqlx::query(query).bind(int(now.as_millis())).fetch_optional(pool).await?;
            Ok(row.is_some())
        })
    }

    /// Releases a claim of this server without an attempt, and defers the entry.
    pub(crate) async fn release(
        &self,
        outbox: Outbox,
        id: &str,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let query = match outbox {
            Outbox::Deliveries => {
                "UPDATE deliveries SET due_at = $2, claimed_by = NULL, claimed_until = NULL \
                 WHERE id = $1 AND claimed_by = $3"
            }
            Outbox::Letters => {
                "UPDATE letters SET due_at = $2, claimed_by = NULL, claimed_until = NULL \
                 WHERE id = $1 AND claimed_by = $3"
            }
        };
        writing!(self, |pool, begin| {
            sqlx::query(query)
                .bind(id)
                .bind(int(due_at.as_millis()))
                .bind(&self.server)
                .execute(pool)
                .await
                .map(drop)?;
            Ok(())
        })
    }

    /// Releases the claims of this server's former process, which no longer attempts anything.
    pub(crate) async fn release_all(&self, outbox: Outbox) -> Result<(), StoreError> {
        let query = match outbox {
            Outbox::Deliveries => {
                "UPDATE deliveries SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = $1"
            }
            Outbox::Letters => {
                "UPDATE letters SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = $1"
            }
        };
        writing!(self, |pool, begin| {
            sqlx::query(query).bind(&self.server).execute(pool).await.map(drop)?;
            Ok(())
        })
    }

    /// Makes all waiting entries due, and shortens claims that last longer than `lease` from now: a clock that was
    /// ahead made them.
    pub(crate) async fn hurry(
        &self,
        outbox: Outbox,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let [due, claims] = match outbox {
            Outbox::Deliveries => [
                "UPDATE deliveries SET due_at = $1 WHERE due_at > $1",
                "UPDATE deliveries SET claimed_until = $1 WHERE claimed_until > $1",
            ],
            Outbox::Letters => [
                "UPDATE letters SET due_at = $1 WHERE due_at > $1",
                "UPDATE letters SET claimed_until = $1 WHERE claimed_until > $1",
            ],
        };
        writing!(self, |pool, begin| {
            let latest = int((now + lease).as_millis());
            sqlx::query(due).bind(int(now.as_millis())).execute(pool).await.map(drop)?;
            sqlx::query(claims).bind(latest).execute(pool).await.map(drop)?;
            Ok(())
        })
    }
}
