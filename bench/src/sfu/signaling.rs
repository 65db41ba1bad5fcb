//! The interface between a load generator and the server under test.

use std::time::Duration;

use super::shape::Member;

/// Messages from a server to a member.
pub(crate) enum Said {
    /// The answer to the member's publishing offer.
    Answer { member: usize, sdp: String },
    /// An offer of media for the member, to be answered with the same number.
    Offer { member: usize, number: Option<u64>, sdp: String },
}

/// The signaling of a server.
pub(crate) trait Signaling {
    /// A member joins its room.
    fn join(&mut self, member: usize, is: Member) -> anyhow::Result<()>;

    /// A member publishes.
    fn publish(&mut self, member: usize, offer: &str) -> anyhow::Result<()>;

    /// A member subscribes to all other members of its room. All publishers are publishing by now.
    fn watch(&mut self, member: usize) -> anyhow::Result<()>;

    /// A member answers an offer.
    fn answer(&mut self, member: usize, number: Option<u64>, sdp: &str) -> anyhow::Result<()>;

    /// The server's next message, if it arrives within this time.
    fn poll(&mut self, wait: Duration) -> anyhow::Result<Option<Said>>;
}
