//! The connections to a database of either kind, and how values are written to both.

use sqlx::{PgPool, SqlitePool};

/// Connections to a database.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs the same block for the pool of either kind; `$begin` begins a write transaction.
macro_rules! on_pool {
    ($permit:expr, |$pool:ident, $begin:ident| $body:expr) => {
        match $permit.pool {
            $crate::store::pool::Pool::Sqlite($pool) => {
                #[allow(unused_variables, reason = "reading needs none")]
                let $begin = "BEGIN IMMEDIATE";
                $body
            }
            $crate::store::pool::Pool::Postgres($pool) => {
                #[allow(unused_variables, reason = "reading needs none")]
                let $begin = "BEGIN";
                $body
            }
        }
    };
}
pub(super) use on_pool;

/// Converts times and counts to the type stored in the database.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts them back.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
