//! Erasure of meetings.

use signaling_core::{MeetingId, Timestamp};

use super::database::{Store, writing};
use super::error::StoreError;
use super::pool::{int, on_pool};

impl Store {
    /// Meetings that have been over since then or longer.
    pub(crate) async fn over_since(&self, at: Timestamp, limit: u32) -> Result<Vec<MeetingId>, StoreError> {
        let query = "SELECT id FROM meetings WHERE over_at <= $1 ORDER BY over_at LIMIT $2";
        let permit = self.permit().await?;
        let ids: Vec<String> = on_pool!(permit, |pool, begin| {
            sqlx::query_scalar(query).bind(int(at.as_millis())).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Erases a meeting with all data that identifies its people: the document, ways in, presences, replies that repeat
    /// it, and completed messages. Pending messages are delivered first, and then erased by [`Self::forget_deliveries`]
    /// and by the outbox of letters.
    pub(crate) async fn erase(&self, id: MeetingId) -> Result<bool, StoreError> {
        // Replies from before the column `meeting` name it only in their text.
        let named = format!("%\"meeting\":\"{id}\"%");
        writing!(self, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            let erased =
                sqlx::query("DELETE FROM meetings WHERE id = $1").bind(id.as_str()).execute(&mut *tx).await?;
            for query in [
                "DELETE FROM invitations WHERE meeting = $1",
                "DELETE FROM presences WHERE meeting = $1",
                "DELETE FROM replies WHERE meeting = $1",
                "DELETE FROM deliveries WHERE meeting = $1 AND due_at IS NULL",
            ] {
                sqlx::query(query).bind(id.as_str()).execute(&mut *tx).await?;
            }
            sqlx::query("DELETE FROM replies WHERE meeting IS NULL AND body LIKE $1")
                .bind(&named)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "DELETE FROM endpoints WHERE owner = $1 AND NOT EXISTS \
                 (SELECT 1 FROM deliveries WHERE deliveries.endpoint = endpoints.id)",
            )
            .bind(format!("@{id}"))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(erased.rows_affected() > 0)
        })
    }
}
