//! The database: its connections, the queue for them, and time limits.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection};

use super::error::{StoreError, explain};
use super::pool::{Pool, on_pool};
use super::queue::{Place, Queue};
use super::tables::Tables;

/// Maximum number of connections.
const CONNECTIONS: u32 = 8;
/// Time limit for obtaining a connection: a database that is gone must be noticed within a second.
const CONNECT: Duration = Duration::from_millis(800);
/// How long a writer waits for another program that writes to the file.
const BUSY: Duration = Duration::from_millis(700);

/// Time limit for a query to a server that may be gone.
const ANSWER: Duration = Duration::from_millis(900);

/// The database, connected to on first use.
#[derive(Debug)]
pub struct Store {
    pool: Pool,
    /// The name of this server among those that use the database.
    pub(super) server: String,
    /// Queries wait here for a connection, so that the pool's time limit applies to connecting only.
    connections: Queue,
    /// Write queries wait here first if there is one writer at a time, so that reads can pass.
    writers: Queue,
    tables: Tables,
    /// Why the last attempt to use it failed, if it did.
    trouble: Mutex<Option<String>>,
    /// The path of the file, for `SQLite`.
    file: Option<PathBuf>,
    /// The identity of that file.
    opened: OnceLock<(u64, u64)>,
}

/// Runs a block of reads within the time limit of a query.
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

/// The same for writes.
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

/// Permission to use a connection.
pub(super) struct Permit<'a> {
    pub(super) pool: &'a Pool,
    /// Dropped in this order.
    _connection: Place<'a>,
    _writer: Option<Place<'a>>,
}

impl Store {
    /// A database in a file, which is created if missing. One server at a time uses it.
    pub fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Acknowledged changes must also survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .after_release(|connection, _| Box::pin(is_whole(connection)))
            .connect_lazy_with(options);
        Self::new(Pool::Sqlite(pool), Some(path.to_owned()), "")
    }

    /// A database at `url`, in the form `postgres://user:password@host/name`, which several servers may use. `server`
    /// is the name of this one among them; it keeps the name when it is restarted.
    pub fn postgres(url: &str, server: &str) -> Result<Self, StoreError> {
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
        Ok(Self::new(Pool::Postgres(pool), None, server))
    }

    fn new(pool: Pool, file: Option<PathBuf>, server: &str) -> Self {
        let connections = usize::try_from(CONNECTIONS).unwrap_or(1);
        let writers = if matches!(pool, Pool::Sqlite(_)) { 1 } else { connections };
        Self {
            tables: Tables::of(pool.clone()),
            pool,
            server: server.to_owned(),
            connections: Queue::new(connections),
            writers: Queue::new(writers),
            trouble: Mutex::default(),
            file,
            opened: OnceLock::new(),
        }
    }

    /// The location of the database, without secrets.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "PostgreSQL".to_owned(),
        }
    }

    /// Waits for a connection to read; the tables are migrated before the first one is returned. Callers outside
    /// [`reading`] and [`writing`] have no time limit: housekeeping, and the operator's commands.
    pub(super) async fn permit(&self) -> Result<Permit<'_>, StoreError> {
        let connection = self.connections.place().await?;
        self.tables.ready(ANSWER).await?;
        self.check_file()?;
        Ok(Permit { pool: &self.pool, _connection: connection, _writer: None })
    }

    /// Whether the file is still the one that was opened: writes to a deleted or replaced file are lost.
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

    /// The same for writing.
    pub(super) async fn write_permit(&self) -> Result<Permit<'_>, StoreError> {
        let writer = self.writers.place().await?;
        Ok(Permit { _writer: Some(writer), ..self.permit().await? })
    }

    /// Whether the database answers. Its tables stay as they are.
    pub async fn answers(&self) -> Result<(), StoreError> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                sqlx::query("SELECT count(*) FROM sqlite_master").execute(pool).await.map(drop)?;
            }
            Pool::Postgres(pool) => sqlx::query("SELECT 1").execute(pool).await.map(drop)?,
        }
        Ok(())
    }

    /// Migrates the tables, without a time limit.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.tables.ready(Duration::MAX).await
    }

    /// Whether rows must be locked explicitly.
    pub(super) fn locks_rows(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Runs a query within the time limit: a database that hangs is treated as gone.
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

    /// Why the database cannot be used, as far as is known.
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

    /// Checks whether the database can be used, also for writing if that failed before.
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

    /// Whether it can be read.
    async fn check(&self) -> Result<(), StoreError> {
        let permit = self.permit().await?;
        on_pool!(permit, |pool, begin| sqlx::query("SELECT id FROM meetings LIMIT 1")
            .execute(pool)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Whether it can be written.
    async fn check_writing(&self) -> Result<(), StoreError> {
        let permit = self.write_permit().await?;
        match permit.pool {
            // A number that nothing reads, rewritten unchanged.
            Pool::Sqlite(pool) => {
                sqlx::query("PRAGMA user_version = 0").execute(pool).await.map(drop)?;
            }
            Pool::Postgres(pool) => {
                sqlx::query("SELECT id FROM meetings LIMIT 1 FOR UPDATE").execute(pool).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Whether any meeting has ever been booked.
    pub async fn has_meetings(&self) -> Result<bool, StoreError> {
        let permit = self.permit().await?;
        let found = on_pool!(permit, |pool, begin| sqlx::query("SELECT 1 FROM meetings LIMIT 1")
            .fetch_optional(pool)
            .await?
            .is_some());
        Ok(found)
    }
}

/// Copies an `SQLite` database, which may be in use, to a file that does not exist or is empty. The copy is as of one
/// moment. Neither is migrated: the server that uses the original may be older than this program.
pub async fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let to = to.to_str().ok_or(StoreError::Url("the file's name is not UTF-8"))?;
    let options = SqliteConnectOptions::new().filename(from).busy_timeout(BUSY);
    let mut connection = options.connect().await?;
    sqlx::query("VACUUM INTO $1").bind(to).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Whether a connection can be reused: after a disk error its rollback may fail, which leaves it in a transaction in
/// which no other can be begun.
async fn is_whole<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // A pending rollback runs before the query is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
