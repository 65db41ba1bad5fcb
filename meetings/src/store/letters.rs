//! The outbox of mail: letters to invited people, until the mail server has accepted them.

use signaling_core::{Code, Refusal, Timestamp};
use sqlx::{AssertSqlSafe, Row as _};

use super::database::{Store, writing};
use super::error::StoreError;
use super::pool::{int, on_pool, uint};

/// A letter in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) meeting: String,
    pub(crate) recipient: String,
    /// The complete message according to RFC 5322, in ASCII.
    pub(crate) message: String,
    pub(crate) at: Timestamp,
    pub(crate) attempts: u32,
}

/// Maximum number of letters waiting for the mail server; beyond it, invitations are refused.
pub(super) const WAITING: i64 = 10_000;

/// The detail of that refusal.
pub(super) fn full() -> StoreError {
    Refusal::new(Code::Overloaded, "too many invitations wait for the mail server").into()
}

/// Adds letters to the outbox within a transaction.
macro_rules! enqueue_letters {
    ($tx:expr, $letters:expr) => {
        if !$letters.is_empty() {
            let waiting: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM letters").fetch_one(&mut *$tx).await?;
            let more = i64::try_from($letters.len()).unwrap_or(i64::MAX);
            if waiting.saturating_add(more) > $crate::store::letters::WAITING {
                return Err($crate::store::letters::full());
            }
        }
        for letter in $letters {
            sqlx::query(
                "INSERT INTO letters (id, meeting, recipient, message, created_at, attempts, due_at) \
                 VALUES ($1, $2, $3, $4, $5, 0, $5)",
            )
            .bind(&letter.id)
            .bind(&letter.meeting)
            .bind(&letter.recipient)
            .bind(&letter.message)
            .bind(int(letter.at.as_millis()))
            .execute(&mut *$tx)
            .await?;
        }
    };
}
pub(super) use enqueue_letters;

impl Store {
    /// Claims letters that may be sent now: the oldest for each meeting and address, if it is due.
    pub(crate) async fn claim_letters(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Letter>, StoreError> {
        let query = self.claiming(
            "letters",
            "older.meeting = one.meeting AND older.recipient = one.recipient",
            "id, meeting, recipient, message, created_at, attempts",
        );
        writing!(self, |pool, begin| {
            let rows = sqlx::query(AssertSqlSafe(query))
                .bind(int(now.as_millis()))
                .bind(i64::from(limit))
                .bind(&self.server)
                .bind(int(until.as_millis()))
                .fetch_all(pool)
                .await?;
            Ok(rows
                .into_iter()
                .map(|row| Letter {
                    id: row.get(0),
                    meeting: row.get(1),
                    recipient: row.get(2),
                    message: row.get(3),
                    at: Timestamp::from_millis(uint(row.get(4))),
                    attempts: u32::try_from(row.get::<i64, _>(5)).unwrap_or(u32::MAX),
                })
                .collect())
        })
    }

    /// Defers a letter after an attempt, unless another server has claimed it meanwhile.
    pub(crate) async fn retry_letter(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            sqlx::query(
                "UPDATE letters SET due_at = $2, attempts = attempts + 1, claimed_by = NULL, claimed_until = NULL \
                 WHERE id = $1 AND claimed_by = $3",
            )
            .bind(id)
            .bind(int(at.as_millis()))
            .bind(&self.server)
            .execute(pool)
            .await
            .map(drop)?;
            Ok(())
        })
    }

    /// The number of letters in the outbox.
    #[cfg(test)]
    pub(crate) async fn count_letters(&self) -> Result<i64, StoreError> {
        writing!(self, |pool, begin| {
            Ok(sqlx::query_scalar("SELECT COUNT(*) FROM letters").fetch_one(pool).await?)
        })
    }

    /// Removes a letter that was sent or is given up. The content of a sent letter is not kept.
    pub(crate) async fn forget_letter(&self, id: &str) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            sqlx::query("DELETE FROM letters WHERE id = $1").bind(id).execute(pool).await.map(drop)?;
            Ok(())
        })
    }

    /// Removes older letters in any state, so that a server without a mail server does not keep them for ever.
    pub(crate) async fn forget_letters(&self, before: Timestamp) -> Result<(), StoreError> {
        let permit = self.write_permit().await?;
        on_pool!(permit, |pool, begin| {
            sqlx::query("DELETE FROM letters WHERE created_at < $1")
                .bind(int(before.as_millis()))
                .execute(pool)
                .await
                .map(drop)?;
        });
        Ok(())
    }
}
