//! Where meetings are kept: `SQLite` in a file, or `PostgreSQL`.
//!
//! The queries are the same for both. What is changed by reading and writing goes through one transaction that nothing
//! else gets in between: `SQLite` has one writer, `PostgreSQL` locks the row.

mod deliveries;
mod endpoints;
mod erasure;
mod keys;
mod letters;
mod meetings;
mod presences;
mod queue;
mod replies;
mod tables;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use signaling_core::{Code, Refusal};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgPool, SqlitePool};

pub(crate) use deliveries::{Delivery, Outcome};
pub(crate) use endpoints::Endpoint;
pub use keys::KeyRecord;
pub(crate) use meetings::{Filter, Outgoing};
pub(crate) use presences::{Presences, Present};
pub(crate) use replies::Reply;

use queue::{Place, Queue};
use tables::Tables;

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
    /// Who asks waits here for a connection, so that the pool's own time is for connecting alone.
    turns: Queue,
    /// Who writes waits here before, where there is one writer at a time, and lets those pass who read.
    writing: Queue,
    tables: Tables,
    /// Why it could not be used when it was last tried, if so.
    trouble: Mutex<Option<String>>,
    /// The file, for `SQLite`.
    file: Option<PathBuf>,
    /// Which file that is.
    opened: OnceLock<(u64, u64)>,
}

#[derive(Clone, Debug)]
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
    /// It refuses what it was asked.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
    /// Its tables are not this version's yet, because of this.
    #[error(transparent)]
    Unprepared(Arc<StoreError>),
    /// Its tables could not be brought to this version's.
    #[error("the tables cannot be brought up to date")]
    Migration(#[source] MigrateError),
    /// Something cannot be written as a document.
    #[error("a document cannot be written")]
    Document(#[source] serde_json::Error),
    /// A meeting in it cannot be read. The others can.
    #[error("the document of meeting {meeting} cannot be read: {why}")]
    Broken {
        /// Its id, or what it was looked for by.
        meeting: String,
        /// What is wrong with it.
        why: String,
    },
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
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_of_its_place(&code)),
            _ => false,
        };
        if is_gone { Self::Unreachable(Some(error)) } else { Self::Failed(error) }
    }
}

/// Whether an error is one of the place where the database is, not of what it was asked: it goes away with its cause.
fn is_of_its_place(code: &str) -> bool {
    // Five letters are a state of PostgreSQL: connections, authorisation, databases that are not there, resources, locks,
    // operators' interventions, the system, corruption; a standby, rights, tables that are not there.
    const CLASSES: [&str; 8] = ["08", "28", "3D", "53", "55", "57", "58", "XX"];
    const STATES: [&str; 3] = ["25006", "42501", "42P01"];
    // Else it is one of SQLite's, its kind in the lowest byte: tables that are not there, rights, busy, locked, memory,
    // read-only, the disk, corruption, full, a file that cannot be opened, locks again, a file that is none.
    const KINDS: [u32; 14] = [1, 3, 5, 6, 7, 8, 10, 11, 13, 14, 15, 22, 23, 26];
    if code.len() == 5 {
        return CLASSES.iter().any(|class| code.starts_with(class)) || STATES.contains(&code);
    }
    code.parse().is_ok_and(|code: u32| KINDS.contains(&(code & 0xff)))
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
            _ if error.is_of_its_place() => {
                tracing::warn!(error = explain(&error), "the database of meetings cannot be used");
                Self::new(Code::Overloaded, "meetings cannot be looked up or kept at present")
            }
            StoreError::Broken { .. } => {
                tracing::error!(error = explain(&error), "a meeting is broken");
                Self::new(Code::Internal, error.to_string())
            }
            _ => {
                tracing::error!(error = explain(&error), "the database of meetings failed");
                Self::new(Code::Internal, "the database of meetings failed")
            }
        }
    }
}

impl StoreError {
    /// Whether the database cannot be used at present, whatever it is asked: it is gone, full, locked, broken, another's,
    /// of another version.
    pub fn is_of_its_place(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Migration(_) => true,
            Self::Unprepared(error) => error.is_of_its_place(),
            _ => false,
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
    /// In this order they are given back.
    _connection: Place<'a>,
    _writing: Option<Place<'a>>,
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
            turns: Queue::new(connections),
            writing: Queue::new(writers),
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

    /// Waits until it is one's turn to read; brings the tables up to date before the first.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let connection = self.turns.place().await?;
        self.tables.ready(ANSWER).await?;
        self.check_file()?;
        Ok(Turn { pool: &self.pool, _connection: connection, _writing: None })
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
    pub(crate) async fn turn_to_write(&self) -> Result<Turn<'_>, StoreError> {
        let writing = self.writing.place().await?;
        Ok(Turn { _writing: Some(writing), ..self.turn().await? })
    }

    /// Brings the tables up to date, however long that takes.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.tables.ready(Duration::MAX).await
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
        let looked = self.patiently(async {
            self.check().await?;
            if has_failed { self.check_writing().await } else { Ok(()) }
        });
        if looked.await.is_ok() && has_failed {
            self.note_trouble(None);
        }
    }

    /// Whether it can be asked something.
    pub async fn check(&self) -> Result<(), StoreError> {
        let turn = self.turn().await?;
        on_pool!(turn, |pool, begin| sqlx::query("SELECT id FROM meetings LIMIT 1")
            .execute(pool)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Whether it takes something.
    async fn check_writing(&self) -> Result<(), StoreError> {
        let turn = self.turn_to_write().await?;
        match turn.pool {
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
        let turn = self.turn().await?;
        let found = on_pool!(turn, |pool, begin| sqlx::query("SELECT 1 FROM meetings LIMIT 1")
            .fetch_optional(pool)
            .await?
            .is_some());
        Ok(found)
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

/// Whether a connection is fit for the next who needs one: after an error of the disk its rollback may fail, and it stays
/// in a transaction that nothing more can be begun in.
async fn is_whole<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    // A rollback that is still to come is done before the answer.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Times and counts as the database has them.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The same, the other way.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
