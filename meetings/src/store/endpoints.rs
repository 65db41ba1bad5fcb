//! Webhook endpoints, and the secrets that sign their messages.

use signaling_core::Timestamp;
use sqlx::Row as _;

use super::database::{Store, reading, writing};
use super::error::StoreError;
use super::pool::{int, uint};

/// A webhook receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// The owner.
    pub owner: String,
    /// The URL.
    pub url: String,
    /// The signing secret, `whsec_` and base64.
    pub secret: String,
    /// The previous secret, and until when it also signs.
    pub previous: Option<(String, Timestamp)>,
    /// When the receiver was disabled.
    pub disabled_at: Option<Timestamp>,
}

macro_rules! endpoint_of {
    ($row:expr) => {{
        let row = $row;
        let previous: Option<String> = row.get(4);
        let until: Option<i64> = row.get(5);
        Endpoint {
            id: row.get(0),
            owner: row.get(1),
            url: row.get(2),
            secret: row.get(3),
            previous: previous.zip(until.map(|at| Timestamp::from_millis(uint(at)))),
            disabled_at: row.get::<Option<i64>, _>(6).map(|at| Timestamp::from_millis(uint(at))),
        }
    }};
}

impl Store {
    /// The endpoint of this owner and URL: the existing one, otherwise `new`. A disabled one is enabled again.
    pub(crate) async fn endpoint_for(&self, new: &Endpoint, now: Timestamp) -> Result<Endpoint, StoreError> {
        writing!(self, |pool, begin| {
            let row = sqlx::query(
                "INSERT INTO endpoints (id, owner, url, secret, created_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (owner, url) DO UPDATE SET disabled_at = NULL \
                 RETURNING id, owner, url, secret, previous_secret, previous_until, disabled_at",
            )
            .bind(&new.id)
            .bind(&new.owner)
            .bind(&new.url)
            .bind(&new.secret)
            .bind(int(now.as_millis()))
            .fetch_one(pool)
            .await?;
            Ok(endpoint_of!(row))
        })
    }

    /// The endpoint of this id.
    pub async fn endpoint(&self, id: &str) -> Result<Option<Endpoint>, StoreError> {
        reading!(self, |pool| {
            let row = sqlx::query(
                "SELECT id, owner, url, secret, previous_secret, previous_until, disabled_at FROM endpoints \
                 WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(|row| endpoint_of!(row)))
        })
    }

    /// Sets a new secret; the present one also signs until `until`.
    pub async fn rotate_secret(&self, id: &str, secret: &str, until: Timestamp) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            sqlx::query(
                "UPDATE endpoints SET previous_secret = secret, previous_until = $3, secret = $2 WHERE id = $1",
            )
            .bind(id)
            .bind(secret)
            .bind(int(until.as_millis()))
            .execute(pool)
            .await
            .map(drop)?;
            Ok(())
        })
    }

    /// Disables an endpoint and gives up its pending messages.
    pub(crate) async fn disable_endpoint(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            sqlx::query("UPDATE endpoints SET disabled_at = $2 WHERE id = $1")
                .bind(id)
                .bind(int(now.as_millis()))
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE deliveries SET due_at = NULL WHERE endpoint = $1 AND due_at IS NOT NULL")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(())
        })
    }
}
