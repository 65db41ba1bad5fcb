//! The outbox of webhooks: messages to their receivers, kept for a while after completion.

use signaling_core::Timestamp;
use sqlx::{AssertSqlSafe, Row as _};

use super::database::{Store, reading, writing};
use super::error::StoreError;
use super::pool::{int, on_pool, uint};

/// A message to be added to the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) meeting: String,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) at: Timestamp,
}

/// Adds messages to the outbox within a transaction.
macro_rules! enqueue_messages {
    ($tx:expr, $messages:expr) => {
        for message in $messages {
            sqlx::query(
                "INSERT INTO deliveries (id, endpoint, meeting, kind, body, created_at, attempts, due_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, 0, $6)",
            )
            .bind(&message.id)
            .bind(&message.endpoint)
            .bind(&message.meeting)
            .bind(message.kind)
            .bind(&message.body)
            .bind(int(message.at.as_millis()))
            .execute(&mut *$tx)
            .await?;
        }
    };
}
pub(super) use enqueue_messages;

/// One message to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The id, the same for every attempt.
    pub id: String,
    /// The endpoint.
    pub endpoint: String,
    /// The meeting that the message concerns, or what else orders it; messages with the same one are delivered in order.
    pub meeting: String,
    /// The type of the event.
    pub kind: String,
    /// The body as it is signed and sent.
    pub body: String,
    /// When the message was created.
    pub created_at: Timestamp,
    /// The number of attempts so far.
    pub attempts: u32,
    /// When the next attempt is due, if any.
    pub due_at: Option<Timestamp>,
    /// When it was accepted.
    pub delivered_at: Option<Timestamp>,
    /// The status of the last response.
    pub last_status: Option<u16>,
    /// The last error.
    pub last_error: Option<String>,
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// The error, if there was one.
    pub error: Option<String>,
    /// When to try again; `None` if it was accepted or is given up.
    pub retry_at: Option<Timestamp>,
    /// Whether it was accepted.
    pub delivered: bool,
}

macro_rules! delivery_of {
    ($row:expr) => {{
        let row = $row;
        let time = |at: Option<i64>| at.map(|at| Timestamp::from_millis(uint(at)));
        Delivery {
            id: row.get(0),
            endpoint: row.get(1),
            meeting: row.get(2),
            kind: row.get(3),
            body: row.get(4),
            created_at: Timestamp::from_millis(uint(row.get(5))),
            attempts: u32::try_from(row.get::<i64, _>(6)).unwrap_or(u32::MAX),
            due_at: time(row.get(7)),
            delivered_at: time(row.get(8)),
            last_status: row.get::<Option<i64>, _>(9).and_then(|status| u16::try_from(status).ok()),
            last_error: row.get(10),
        }
    }};
}

impl Store {
    /// Claims messages that may be sent now: the oldest pending one of each meeting, if it is due.
    pub(crate) async fn claim_deliveries(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let query = self.claiming(
            "deliveries",
            "older.meeting = one.meeting AND older.due_at IS NOT NULL",
            "id, endpoint, meeting, kind, body, created_at, attempts, due_at, delivered_at, last_status, last_error",
        );
        writing!(self, |pool, begin| {
            let rows = sqlx::query(AssertSqlSafe(query))
                .bind(int(now.as_millis()))
                .bind(i64::from(limit))
                .bind(&self.server)
                .bind(int(until.as_millis()))
                .fetch_all(pool)
                .await?;
            Ok(rows.into_iter().map(|row| delivery_of!(row)).collect())
        })
    }

    /// Adds messages that belong to no change of a meeting.
    pub(crate) async fn enqueue(&self, messages: &[Message]) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            enqueue_messages!(tx, messages);
            tx.commit().await?;
            Ok(())
        })
    }

    /// Records the result of an attempt, unless another server has claimed the message meanwhile.
    pub(crate) async fn note(&self, id: &str, outcome: &Outcome, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            sqlx::query(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = $2, delivered_at = $3, last_status = $4, \
                 last_error = $5, claimed_by = NULL, claimed_until = NULL WHERE id = $1 AND claimed_by = $6",
            )
            .bind(id)
            .bind(outcome.retry_at.map(|at| int(at.as_millis())))
            .bind(outcome.delivered.then(|| int(now.as_millis())))
            .bind(outcome.status.map(i64::from))
            .bind(&outcome.error)
            .bind(&self.server)
            .execute(pool)
            .await
            .map(drop)?;
            Ok(())
        })
    }

    /// The most recent messages about a meeting, newest first.
    pub async fn deliveries(&self, meeting: &str, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        reading!(self, |pool| {
            let rows = sqlx::query(
                "SELECT id, endpoint, meeting, kind, body, created_at, attempts, due_at, delivered_at, last_status, \
                 last_error FROM deliveries WHERE meeting = $1 ORDER BY position DESC LIMIT $2",
            )
            .bind(meeting)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(|row| delivery_of!(row)).collect())
        })
    }

    /// Schedules a message about a meeting again, also if an attempt is in progress; returns whether it exists.
    pub async fn replay(&self, meeting: &str, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        writing!(self, |pool, begin| {
            let done = sqlx::query(
                "UPDATE deliveries SET due_at = $3, attempts = 0, claimed_by = NULL, claimed_until = NULL \
                 WHERE meeting = $1 AND id = $2",
            )
            .bind(meeting)
            .bind(id)
            .bind(int(now.as_millis()))
            .execute(pool)
            .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Deletes completed messages that are older, or that concern an erased meeting.
    pub(crate) async fn forget_deliveries(&self, before: Timestamp) -> Result<(), StoreError> {
        let permit = self.write_permit().await?;
        on_pool!(permit, |pool, begin| {
            sqlx::query(
                "DELETE FROM deliveries WHERE due_at IS NULL AND (created_at < $1 OR NOT EXISTS \
                 (SELECT 1 FROM meetings WHERE meetings.id = deliveries.meeting))",
            )
            .bind(int(before.as_millis()))
            .execute(pool)
            .await
            .map(drop)?;
        });
        Ok(())
    }
}
