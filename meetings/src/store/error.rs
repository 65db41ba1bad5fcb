//! Why the database did not do what it was asked for.

use std::sync::Arc;

use signaling_core::{Code, Refusal};
use sqlx::migrate::MigrateError;

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
