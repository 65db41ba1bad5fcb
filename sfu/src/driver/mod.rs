//! Runs the shards: threads, sockets, mailboxes and the clock. Nothing here knows about media.

mod handle;
mod neighbours;
mod relay;
mod socket;
mod worker;

pub use handle::{Handle, Overloaded, open};
pub use relay::Relay;
pub use socket::MediaSocket;
pub use worker::Worker;
