//! Replies that are given again to a request that comes again (the `Idempotency-Key` header).

use signaling_core::{Code, Refusal, Repeatable, Timestamp};
use sqlx::Row as _;

use super::{Store, StoreError, Turn, int, on_pool};

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The body, JSON.
    pub body: String,
    /// The version that it shows.
    pub etag: String,
}

/// The reply to the earlier request of that key; `idempotency-mismatch` when it asked for something else.
pub(super) async fn former_reply(turn: &Turn<'_>, request: &Repeatable) -> Result<Reply, StoreError> {
    on_pool!(turn, |pool, begin| {
        let row =
            sqlx::query("SELECT request, body, etag FROM replies WHERE owner = $1 AND idempotency_key = $2")
                .bind(&request.owner)
                .bind(&request.key)
                .fetch_optional(pool)
                .await?;
        match row {
            Some(row) if row.get::<&str, _>(0) == request.digest => {
                Ok(Reply { body: row.get(1), etag: row.get(2) })
            }
            Some(_) => Err(Refusal::new(
                Code::IdempotencyMismatch,
                "this `Idempotency-Key` was used before, for another request",
            )
            .into()),
            None => Err(StoreError::Unreachable(None)),
        }
    })
}

impl Store {
    /// The reply that was given to this request before, if it was.
    pub(crate) async fn replied(&self, request: &Repeatable) -> Result<Option<Reply>, StoreError> {
        let turn = self.turn().await?;
        match former_reply(&turn, request).await {
            Ok(reply) => Ok(Some(reply)),
            Err(StoreError::Unreachable(None)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a reply that is about no meeting; the former one, if there is one by now.
    pub(crate) async fn keep_reply(
        &self,
        request: &Repeatable,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<Option<Reply>, StoreError> {
        let turn = self.turn_to_write().await?;
        let kept = on_pool!(turn, |pool, begin| {
            sqlx::query(
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
            .await?
            .rows_affected()
        });
        if kept == 0 { former_reply(&turn, request).await.map(Some) } else { Ok(None) }
    }

    /// Forgets replies that are older.
    pub(crate) async fn forget_replies(&self, before: Timestamp) -> Result<(), StoreError> {
        let turn = self.turn_to_write().await?;
        on_pool!(turn, |pool, begin| {
            sqlx::query("DELETE FROM replies WHERE created_at < $1")
                .bind(int(before.as_millis()))
                .execute(pool)
                .await
                .map(drop)?;
        });
        Ok(())
    }
}
