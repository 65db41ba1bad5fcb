//! Where meetings are kept: `SQLite` in a file, or `PostgreSQL`.
//!
//! The queries are the same for both. What is changed by reading and writing goes through one transaction that nothing
//! else gets in between: `SQLite` has one writer, `PostgreSQL` locks the row. Each query has a time limit of its own, so
//! that a database that hangs holds up nobody who asks.

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

pub use database::Store;
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
