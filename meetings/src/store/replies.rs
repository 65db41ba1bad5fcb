//! Stored replies for repeated requests (the `Idempotency-Key` header).

use http_api::Repeatable;
use signaling_core::{Code, Refusal, Timestamp};
use sqlx::Row as _;

use super::database::{Store, reading, writing};
use super::error::StoreError;
use super::pool::{int, on_pool};

/// A stored reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The body as JSON.
    pub body: String,
    /// The version shown in it.
    pub etag: String,
}

impl Store {
    /// The reply to an earlier request with this key, if any; `idempotency-mismatch` if the key was used for a
    /// different request.
    pub(crate) async fn replied(&self, request: &Repeatable) -> Result<Option<Reply>, StoreError> {
        let row = reading!(self, |pool| {
            let query = "SELECT request, body, etag FROM replies WHERE owner = $1 AND idempotency_key = $2";
            let row = sqlx::query(query).bind(&request.owner).bind(&request.key).fetch_optional(pool).await?;
            Ok(row.map(|row| (row.get::<String, _>(0), Reply { body: row.get(1), etag: row.get(2) })))
        })?;
        match row {
            Some((digest, reply)) if digest == request.digest => Ok(Some(reply)),
            Some(_) => {
                let why = "this `Idempotency-Key` was used before, for another request";
                Err(Refusal::new(Code::IdempotencyMismatch, why).into())
            }
            None => Ok(None),
        }
    }

    /// Stores a reply that concerns no meeting; returns the existing one if there is one by now.
    pub(crate) async fn keep_reply(
        &self,
        request: &Repeatable,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<Option<Reply>, StoreError> {
        let kept = writing!(self, |pool, begin| {
            let kept = sqlx::query(
                "INSERT INTO replies (owner, idempotency_key, request, body, etag, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner, idempotency_key) DO NOTHING",
            )
            .bind(&request.owner)
            .bind(&request.key)
            .bind(&request.digest)
            .bind(&reply.body)
            .bind(&reply.etag)
            .bind(int(now.as_millis()))
            .execute(pool)
            .await?;
            Ok(kept.rows_affected() > 0)
        })?;
        if kept { Ok(None) } else { self.replied(request).await }
    }

    /// Deletes older replies.
    pub(crate) async fn forget_replies(&self, before: Timestamp) -> Result<(), StoreError> {
        let permit = self.write_permit().await?;
        on_pool!(permit, |pool, begin| {
            sqlx::query("DELETE FROM replies WHERE created_at < $1")
                .bind(int(before.as_millis()))
                .execute(pool)
                .await
                .map(drop)?;
        });
        Ok(())
    }
}
