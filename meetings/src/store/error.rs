//! Errors of the database.

use std::sync::Arc;

use signaling_core::{Code, Refusal};
use sqlx::migrate::MigrateError;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached; it may be reachable later.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Option<sqlx::Error>),
    /// The database rejects the query.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
    /// The tables have not been migrated to this version, for this reason.
    #[error(transparent)]
    Unprepared(Arc<StoreError>),
    /// The migration of the tables failed.
    #[error("the tables cannot be brought up to date")]
    Migration(#[source] MigrateError),
    /// A value cannot be serialised as a document.
    #[error("a document cannot be written")]
    Document(#[source] serde_json::Error),
    /// One meeting in the database cannot be read. The others can.
    #[error("the document of meeting {meeting} cannot be read: {why}")]
    Broken {
        /// Its id, or the value it was looked up by.
        meeting: String,
        /// The error.
        why: String,
    },
    /// The version to be changed is no longer the newest.
    #[error("another version is the newest")]
    Stale,
    /// A letter about a change cannot be composed.
    #[error("an invitation cannot be written")]
    Letter,
    /// The request is refused by the rules, not by the database.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The URL of the database is invalid.
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

/// Whether an error lies in the database's environment and not in the query: it disappears with its cause.
fn is_of_its_place(code: &str) -> bool {
    // Five characters are a state of PostgreSQL: connections, authorisation, missing databases, resources, locks,
    // operator intervention, system errors, corruption; a standby, permissions, missing tables.
    const CLASSES: [&str; 8] = ["08", "28", "3D", "53", "55", "57", "58", "XX"];
    const STATES: [&str; 3] = ["25006", "42501", "42P01"];
    // Otherwise it is a code of SQLite, with its kind in the lowest byte: missing tables, permissions, busy, locked,
    // memory, read-only, I/O errors, corruption, full, a file that cannot be opened, lock protocol, not a database.
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
    /// Whether the database cannot be used at present for any query: it is gone, full, locked, damaged, in use by
    /// another program, or of another version.
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
