//! Where meetings are kept: `SQLite` in a file, or `PostgreSQL`.
//!
//! The queries are the same for both. What is changed by reading and writing goes through one transaction that nothing
//! else gets in between: `SQLite` has one writer, `PostgreSQL` locks the row.

mod deliveries;
mod endpoints;
mod keys;
mod letters;
mod meetings;
mod replies;

use std::path::{Path, PathBuf};
use std::time::Duration;

use signaling_core::{Code, Refusal};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

pub(crate) use deliveries::{Delivery, Outcome};
pub(crate) use endpoints::Endpoint;
pub use keys::KeyRecord;
pub(crate) use meetings::Outgoing;
pub(crate) use replies::{Reply, Request};

/// Connections at once.
const CONNECTIONS: u32 = 8;
/// How long a connection may take to be had: a database that is gone is to be noticed within a second.
const CONNECT: Duration = Duration::from_millis(800);
/// How long one writer waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// How long a question may take to be answered by a server that may be gone.
const ANSWER: Duration = Duration::from_millis(900);
/// How often the tables of a file are brought up to date before that is a failure.
const MIGRATIONS: usize = 5;

/// The database, connected to when it is first needed.
#[derive(Debug)]
pub struct Store {
    pool: Pool,
    /// Who asks waits here for a connection, so that the pool's own time is for connecting alone.
    turns: Semaphore,
    migrated: OnceCell<()>,
    /// The file, for `SQLite`.
    file: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Why the database did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached; later it may be.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Option<sqlx::Error>),
    /// It refuses, or holds what cannot be read.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
    /// Its tables could not be brought to this version's.
    #[error("the tables cannot be brought up to date")]
    Migration(#[source] MigrateError),
    /// A document in it is not one.
    #[error("a document in the database cannot be read")]
    Document(#[source] serde_json::Error),
    /// The version that was to be changed is no longer the newest.
    #[error("another version is the newest")]
    Stale,
    /// A letter about a change cannot be written.
    #[error("an invitation cannot be written")]
    Letter,
    /// What was asked for is refused by the rules, not by the database.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The URL of the database is none.
    #[error("{0}")]
    Url(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_gone = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions and shutdowns of PostgreSQL; a SQLite file that others keep busy.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code.starts_with("53") || code == "5"
            }),
            _ => false,
        };
        if is_gone { Self::Unreachable(Some(error)) } else { Self::Failed(error) }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Document(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal,
            StoreError::Unreachable(_) => {
                tracing::warn!(error = explain(&error), "the database of meetings cannot be reached");
                Self::new(Code::Overloaded, "meetings cannot be looked up at present")
            }
            _ => {
                tracing::error!(error = explain(&error), "the database of meetings failed");
                Self::new(Code::Internal, "the database of meetings failed")
            }
        }
    }
}

/// An error with its causes.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Runs the same block for the pool of either kind; `$begin` begins a transaction that writes.
macro_rules! on_pool {
    ($turn:expr, |$pool:ident, $begin:ident| $body:expr) => {
        match $turn.pool {
            $crate::store::Pool::Sqlite($pool) => {
                #[allow(unused_variables, reason = "reading needs none")]
                let $begin = "BEGIN IMMEDIATE";
                $body
            }
            $crate::store::Pool::Postgres($pool) => {
                #[allow(unused_variables, reason = "reading needs none")]
                let $begin = "BEGIN";
                $body
            }
        }
    };
}
pub(crate) use on_pool;

/// The right to use a connection.
pub(crate) struct Turn<'a> {
    pub(crate) pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Store {
    /// A database in a file, which is made when it is not there.
    pub fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered must be there after a power cut as well.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .connect_lazy_with(options);
        Self::new(Pool::Sqlite(pool), Some(path.to_owned()))
    }

    /// A database on a server, as `postgres://user:password@host/name` names it.
    pub fn postgres(url: &str) -> Result<Self, StoreError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(StoreError::Url("expected postgres://USER:PASSWORD@HOST/NAME"));
        }
        let options: PgConnectOptions =
            url.parse().map_err(|_| StoreError::Url("expected postgres://USER:PASSWORD@HOST/NAME"))?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(options);
        Ok(Self::new(Pool::Postgres(pool), None))
    }

    fn new(pool: Pool, file: Option<PathBuf>) -> Self {
        let turns = Semaphore::new(usize::try_from(CONNECTIONS).unwrap_or(1));
        Self { pool, turns, migrated: OnceCell::new(), file }
    }

    /// Where the database is, without what is secret of it.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "PostgreSQL".to_owned(),
        }
    }

    /// Waits until it is one's turn; brings the tables up to date before the first.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let permit = self.turns.acquire().await.map_err(|_| StoreError::Unreachable(None))?;
        self.migrated.get_or_try_init(|| self.migrate()).await?;
        Ok(Turn { pool: &self.pool, _permit: permit })
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        // Where nobody answers there is nothing to migrate, and that is to be known soon.
        match &self.pool {
            Pool::Sqlite(pool) => drop(pool.acquire().await?),
            Pool::Postgres(pool) => drop(pool.acquire().await?),
        }
        let done = match &self.pool {
            Pool::Sqlite(pool) => migrate_file(pool).await,
            Pool::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await,
        };
        done.map_err(|error| match error {
            MigrateError::Execute(error) => error.into(),
            other => StoreError::Migration(other),
        })
    }

    /// Whether rows must be locked by name.
    pub(crate) fn locks_rows(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// As long as an answer of the database may take: one that hangs is as good as gone.
    pub async fn patiently<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.locks_rows() {
            return asking.await;
        }
        tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(StoreError::Unreachable(None)))
    }

    /// Whether it can be asked something.
    pub async fn check(&self) -> Result<(), StoreError> {
        let turn = self.turn().await?;
        on_pool!(turn, |pool, begin| sqlx::query("SELECT 1").execute(pool).await.map(drop)?);
        Ok(())
    }

    /// Writes a copy of the database into a file that is not there yet; of `SQLite` alone.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let turn = self.turn().await?;
        let Pool::Sqlite(pool) = turn.pool else {
            return Err(StoreError::Url("PostgreSQL has its own tool for this: pg_dump"));
        };
        let to = to.to_str().ok_or(StoreError::Url("the file's name is not UTF-8"))?;
        sqlx::query("VACUUM INTO $1").bind(to).execute(pool).await?;
        Ok(())
    }
}

/// Brings the tables of a file up to date. Unlike a server's they are not locked meanwhile: another process that begins at
/// the same time may be first with a step, which then fails here, and is done.
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

/// Times and counts as the database has them.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The same, the other way.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
