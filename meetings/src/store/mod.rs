//! Storage of meetings: `SQLite` in a file, or `PostgreSQL`.
//!
//! The queries are the same for both. Each read-modify-write change is one isolated transaction: `SQLite` has one
//! writer, `PostgreSQL` locks the row. Each query has a time limit of its own, so that a database that hangs does not
//! block requests.

mod database;
mod deliveries;
mod endpoints;
mod erasure;
mod error;
mod keys;
mod letters;
mod meetings;
mod outbox;
mod pool;
mod presences;
mod queue;
mod replies;
mod tables;

pub use database::{Store, copy_database};
pub(crate) use deliveries::{Delivery, Message, Outcome};
pub(crate) use endpoints::Endpoint;
pub use error::StoreError;
pub(crate) use error::explain;
pub use keys::KeyRecord;
pub(crate) use letters::Letter;
pub(crate) use meetings::{Filter, Outgoing};
pub(crate) use outbox::Outbox;
pub(crate) use presences::{Presences, Present};
pub(crate) use replies::Reply;
