//! Migration of the tables to this version before the first query.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, SqlitePool};
use tokio::sync::watch;

use super::error::StoreError;
use super::pool::{Pool, int, on_pool};
use crate::meeting::Meeting;

/// Maximum number of attempts to migrate the tables of a file.
const MIGRATIONS: usize = 5;

/// The result of an attempt, once there is one.
type Done = Option<Result<(), Arc<StoreError>>>;

/// Whether the tables are of this version, and the migration in progress.
#[derive(Debug)]
pub(super) struct Tables {
    pool: Pool,
    /// Keeps the files open that SQLite creates beside its own: on a full disk it could not create them again, and
    /// could not read.
    anchor: Arc<Mutex<Option<SqliteConnection>>>,
    /// The latest attempt.
    attempt: Mutex<Option<watch::Receiver<Done>>>,
}

impl Tables {
    pub(super) fn of(pool: Pool) -> Self {
        Self { pool, anchor: Arc::default(), attempt: Mutex::default() }
    }

    /// Waits for the migration, at most this long. It continues when nobody waits any more: large tables take time.
    pub(super) async fn ready(&self, patience: Duration) -> Result<(), StoreError> {
        let mut attempt = self.attempt();
        let done = tokio::time::timeout(patience, attempt.wait_for(Option::is_some));
        match done.await {
            Ok(Ok(done)) => done.clone().unwrap_or(Ok(())).map_err(StoreError::Unprepared),
            Ok(Err(_)) | Err(_) => Err(StoreError::Unreachable(None)),
        }
    }

    /// The attempt that is in progress or has succeeded, or a new one.
    fn attempt(&self) -> watch::Receiver<Done> {
        let mut latest = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = &*latest {
            let is_lost = attempt.borrow().is_none() && attempt.has_changed().is_err();
            let has_failed = matches!(&*attempt.borrow(), Some(Err(_)));
            if !is_lost && !has_failed {
                return attempt.clone();
            }
        }
        let (done, attempt) = watch::channel(None);
        *latest = Some(attempt.clone());
        let (pool, anchor) = (self.pool.clone(), Arc::clone(&self.anchor));
        tokio::spawn(async move {
            let result = migrate(&pool).await;
            if result.is_ok()
                && let Pool::Sqlite(pool) = &pool
                && let Ok(connection) = open_beside(pool).await
            {
                *anchor.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            }
            done.send_replace(Some(result.map_err(Arc::new)));
        });
        attempt
    }
}

/// A connection outside the pool, which has read something.
async fn open_beside(pool: &SqlitePool) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = pool.connect_options().connect().await?;
    sqlx::query("SELECT id FROM meetings LIMIT 1").execute(&mut connection).await?;
    Ok(connection)
}

async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    // If the database does not answer, there is nothing to migrate, and this should be known soon.
    match pool {
        Pool::Sqlite(pool) => drop(pool.acquire().await?),
        Pool::Postgres(pool) => drop(pool.acquire().await?),
    }
    let done = match pool {
        Pool::Sqlite(pool) => migrate_file(pool).await,
        Pool::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await,
    };
    done.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Migration(other),
    })?;
    fill_in(pool).await
}

/// Fills in the columns that meetings are looked up by, where an earlier version did not write them.
async fn fill_in(pool: &Pool) -> Result<(), StoreError> {
    /// A document that cannot be read has no status; it is not examined again.
    const UNREADABLE: &str = "unreadable";
    const AT_ONCE: i64 = 500;
    let query = "SELECT id, document FROM meetings WHERE status IS NULL LIMIT $1";
    let update = "UPDATE meetings SET status = $2, starts_at = $3, over_at = $4 WHERE id = $1";
    loop {
        let asked = Asked { pool };
        let filled = on_pool!(asked, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            let rows = sqlx::query(query).bind(AT_ONCE).fetch_all(&mut *tx).await?;
            for row in &rows {
                let document = row.try_get::<String, _>(1).ok();
                let meeting: Option<Meeting> =
                    document.and_then(|document| serde_json::from_str(&document).ok());
                let status = meeting.as_ref().map_or(UNREADABLE, |meeting| meeting.status.as_str());
                let starts_at = meeting.as_ref().map(|meeting| int(meeting.starts_at.as_millis()));
                let over_at = meeting.and_then(|meeting| meeting.over_at()).map(|at| int(at.as_millis()));
                sqlx::query(update)
                    .bind(row.get::<String, _>(0))
                    .bind(status)
                    .bind(starts_at)
                    .bind(over_at)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            rows.len()
        });
        if filled == 0 {
            return Ok(());
        }
    }
}

/// Queries that run before any permit is given.
struct Asked<'a> {
    pool: &'a Pool,
}

/// Migrates the tables of a file. Unlike those of a server, they are not locked meanwhile: another process that starts
/// at the same time may complete a step first, which then fails here although it is done.
async fn migrate_file(pool: &SqlitePool) -> Result<(), MigrateError> {
    let migrator = sqlx::migrate!("migrations/sqlite");
    for _ in 1..MIGRATIONS {
        match migrator.run(pool).await {
            Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) => {}
            done => return done,
        }
    }
    migrator.run(pool).await
}
