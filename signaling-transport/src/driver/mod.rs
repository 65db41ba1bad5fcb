//! What gives the core its clock, its randomness, its tasks and its connections.

mod clock;
mod hub;
mod mailbox;
mod pace;
mod shard;

pub use clock::{SystemClock, SystemEntropy};
pub(crate) use hub::Opened;
pub use hub::{Hub, HubConfig, Stopped};
pub(crate) use mailbox::{Batch, Inbox, Next, mailbox};
