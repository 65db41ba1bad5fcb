//! The database: its connections, who waits for them, and for how long.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::error::{StoreError, explain};
use super::pool::{Pool, on_pool};
use super::queue::{Place, Queue};
use super::tables::Tables;

/// Connections at once.
const CONNECTIONS: u32 = 8;
/// How long a connection may take to be had: a database that is gone is to be noticed within a second.
const CONNECT: Duration = Duration::from_millis(800);
/// How long a writer waits for another program that writes to the file.
const BUSY: Duration = Duration::from_millis(700);

/// How long a question may take to be answered by a server that may be gone.
const ANSWER: Duration = Duration::from_millis(900);

/// The database, connected to when it is first needed.
#[derive(Debug)]
pub struct Store {
    pool: Pool,
    /// A query waits here for a connection, so that the pool's own time is for connecting alone.
    connections: Queue,
    /// A query that writes waits here before, where there is one writer at a time, and lets those pass that read.
    writers: Queue,
    tables: Tables,
    /// Why it could not be used when it was last tried, if so.
    trouble: Mutex<Option<String>>,
    /// The file, for `SQLite`.
    file: Option<PathBuf>,
    /// Which file that is.
    opened: OnceLock<(u64, u64)>,
}

/// Reads in a block, within the time that an answer may take.
macro_rules! reading {
    ($store:expr, |$pool:ident| $body:expr) => {
        $store
            .limited(async {
                let permit = $store.permit().await?;
                $crate::store::pool::on_pool!(permit, |$pool, begin| $body)
            })
            .await
    };
}
pub(super) use reading;

/// The same to write.
macro_rules! writing {
    ($store:expr, |$pool:ident, $begin:ident| $body:expr) => {
        $store
            .limited(async {
                let permit = $store.write_permit().await?;
                $crate::store::pool::on_pool!(permit, |$pool, $begin| $body)
            })
            .await
    };
}
pub(super) use writing;

/// The right to use a connection.
pub(super) struct Permit<'a> {
    pub(super) pool: &'a Pool,
    /// In this order they are given back.
    _connection: Place<'a>,
    _writer: Option<Place<'a>>,
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
            .acquire_timeout(CONNECT)
            .after_release(|connection, _| Box::pin(is_whole(connection)))
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
            .after_release(|connection, _| Box::pin(is_whole(connection)))
            .connect_lazy_with(options);
        Ok(Self::new(Pool::Postgres(pool), None))
    }

    fn new(pool: Pool, file: Option<PathBuf>) -> Self {
        let connections = usize::try_from(CONNECTIONS).unwrap_or(1);
        let writers = if matches!(pool, Pool::Sqlite(_)) { 1 } else { connections };
        Self {
            tables: Tables::of(pool.clone()),
            pool,
            connections: Queue::new(connections),
            writers: Queue::new(writers),
            trouble: Mutex::default(),
            file,
            opened: OnceLock::new(),
        }
    }

    /// Where the database is, without what is secret of it.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "PostgreSQL".to_owned(),
        }
    }

    /// Waits for a connection to read; the tables are brought up to date before the first. What takes it without
    /// [`reading`] or [`writing`] has no time limit: housekeeping, and the operator's commands.
    pub(super) async fn permit(&self) -> Result<Permit<'_>, StoreError> {
        let connection = self.connections.place().await?;
        self.tables.ready(ANSWER).await?;
        self.check_file()?;
        Ok(Permit { pool: &self.pool, _connection: connection, _writer: None })
    }

    /// Whether the file is the one that was opened: what is written to one that was deleted or replaced is lost.
    fn check_file(&self) -> Result<(), StoreError> {
        let Some(path) = &self.file else { return Ok(()) };
        let found = std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        let found = found.map_err(|error| StoreError::Unreachable(Some(sqlx::Error::Io(error))))?;
        if *self.opened.get_or_init(|| found) == found {
            return Ok(());
        }
        let replaced = io::Error::other("the database was replaced by another file");
        Err(StoreError::Unreachable(Some(sqlx::Error::Io(replaced))))
    }

    /// The same to write.
    pub(super) async fn write_permit(&self) -> Result<Permit<'_>, StoreError> {
        let writer = self.writers.place().await?;
        Ok(Permit { _writer: Some(writer), ..self.permit().await? })
    }

    /// Brings the tables up to date, however long that takes.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.tables.ready(Duration::MAX).await
    }

    /// Whether rows must be locked by name.
    pub(super) fn locks_rows(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// What comes of a query within the time that an answer may take: a database that hangs is as good as gone.
    pub(super) async fn limited<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = if self.locks_rows() {
            tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(StoreError::Unreachable(None)))
        } else {
            asking.await
        };
        if let Err(error) = &answer
            && error.is_of_its_place()
        {
            self.note_trouble(Some(explain(error)));
        }
        answer
    }

    /// Why it cannot be used, as far as is known.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_trouble(&self, trouble: Option<String>) {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &trouble) {
            (None, Some(error)) => {
                tracing::warn!(error, "the database of meetings cannot be used: calls go on without it");
            }
            (Some(_), None) => tracing::info!("the database of meetings can be used again"),
            _ => {}
        }
        *known = trouble;
    }

    /// Looks whether it can be used, also for writing where that failed.
    pub(crate) async fn look_after(&self) {
        let has_failed = self.trouble().is_some();
        let looked = self.limited(async {
            self.check().await?;
            if has_failed { self.check_writing().await } else { Ok(()) }
        });
        if looked.await.is_ok() && has_failed {
            self.note_trouble(None);
        }
    }

    /// Whether it can be asked something.
    async fn check(&self) -> Result<(), StoreError> {
        let permit = self.permit().await?;
        on_pool!(permit, |pool, begin| sqlx::query("SELECT id FROM meetings LIMIT 1")
            .execute(pool)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Whether it takes something.
    async fn check_writing(&self) -> Result<(), StoreError> {
        let permit = self.write_permit().await?;
        match permit.pool {
            // A number that nothing reads, written as it is.
            Pool::Sqlite(pool) => {
                sqlx::query("PRAGMA user_version = 0").execute(pool).await.map(drop)?;
            }
            Pool::Postgres(pool) => {
                sqlx::query("SELECT id FROM meetings LIMIT 1 FOR UPDATE").execute(pool).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Whether any meeting was ever booked.
    pub async fn has_meetings(&self) -> Result<bool, StoreError> {
        let permit = self.permit().await?;
        let found = on_pool!(permit, |pool, begin| sqlx::query("SELECT 1 FROM meetings LIMIT 1")
            .fetch_optional(pool)
            .await?
            .is_some());
        Ok(found)
    }

    /// Writes a copy of the database into a file that is not there yet; of `SQLite` alone.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let permit = self.permit().await?;
        let Pool::Sqlite(pool) = permit.pool else {
            return Err(StoreError::Url("PostgreSQL has its own tool for this: pg_dump"));
        };
        let to = to.to_str().ok_or(StoreError::Url("the file's name is not UTF-8"))?;
        sqlx::query("VACUUM INTO $1").bind(to).execute(pool).await?;
        Ok(())
    }
}

/// Whether a connection is fit for the next who needs one: after an error of the disk its rollback may fail, and it stays
/// in a transaction that nothing more can be begun in.
async fn is_whole<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // A rollback that is still to come is done before the answer.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
