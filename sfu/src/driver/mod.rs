//! Runs the shards: threads, sockets, mailboxes and the clock. Nothing here knows about media.

mod handle;
mod load;
mod neighbours;
mod relay;
mod socket;
mod stream;
mod streams;
mod worker;

pub use handle::{Handle, NotAccepted, Overloaded, open};
pub use relay::Relay;
pub use socket::MediaSocket;
pub use streams::MediaConnection;
pub use worker::Worker;
