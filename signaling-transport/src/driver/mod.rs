//! The driver: it gives the core its clock, randomness, tasks and connections.

mod clock;
mod entries;
mod hub;
mod mailbox;
mod pace;
mod shard;

pub use clock::SystemClock;
pub(crate) use entries::turned_away;
pub(crate) use hub::Opened;
pub use hub::{Hub, Stopped};
pub(crate) use mailbox::{Batch, Inbox, Next, mailbox};
