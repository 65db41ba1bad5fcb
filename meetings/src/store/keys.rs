//! API keys in the database: only their digests are stored.

use http_api::Scope;
use signaling_core::Timestamp;
use sqlx::Row as _;

use super::database::{Store, reading};
use super::error::StoreError;
use super::pool::{int, on_pool, uint};

/// The stored record of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Identifies the key without granting access.
    pub id: String,
    /// The SHA-256 of the key, in hex.
    pub hash: String,
    /// The customer, if several keys belong together.
    pub customer: Option<String>,
    /// The scopes it grants.
    pub scopes: Vec<Scope>,
    /// The operator's note.
    pub note: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

fn scopes_of(text: &str) -> Vec<Scope> {
    let known = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
    text.split_whitespace().filter_map(known).collect()
}

macro_rules! key_of {
    ($row:expr) => {{
        let row = $row;
        KeyRecord {
            id: row.get(0),
            hash: row.get(1),
            customer: row.get(2),
            scopes: scopes_of(row.get(3)),
            note: row.get(4),
            created_at: Timestamp::from_millis(uint(row.get(5))),
            revoked_at: row.get::<Option<i64>, _>(6).map(|at| Timestamp::from_millis(uint(at))),
        }
    }};
}

impl Store {
    /// Stores a new key.
    pub async fn add_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let permit = self.write_permit().await?;
        on_pool!(permit, |pool, begin| {
            sqlx::query(
                "INSERT INTO api_keys (id, hash, customer, scopes, note, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(&key.id)
            .bind(&key.hash)
            .bind(&key.customer)
            .bind(scopes.join(" "))
            .bind(&key.note)
            .bind(int(key.created_at.as_millis()))
            .execute(pool)
            .await
            .map(drop)?;
        });
        Ok(())
    }

    /// The key with this digest.
    pub async fn key(&self, hash: &str) -> Result<Option<KeyRecord>, StoreError> {
        reading!(self, |pool| {
            let row = sqlx::query(
                "SELECT id, hash, customer, scopes, note, created_at, revoked_at FROM api_keys WHERE hash = $1",
            )
            .bind(hash)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(|row| key_of!(row)))
        })
    }

    /// All keys, oldest first.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let permit = self.permit().await?;
        on_pool!(permit, |pool, begin| {
            let rows = sqlx::query(
                "SELECT id, hash, customer, scopes, note, created_at, revoked_at FROM api_keys ORDER BY created_at, id",
            )
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(|row| key_of!(row)).collect())
        })
    }

    /// Revokes a key; returns whether it was valid before.
    pub async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let permit = self.write_permit().await?;
        on_pool!(permit, |pool, begin| {
            let done =
                sqlx::query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
                    .bind(id)
                    .bind(int(now.as_millis()))
                    .execute(pool)
                    .await?;
            Ok(done.rows_affected() > 0)
        })
    }
}
