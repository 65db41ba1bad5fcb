//! How a load generator speaks to the server under test.

use std::time::Duration;

use super::shape::Member;

/// What a server says to a member.
pub(super) enum Said {
    /// The answer to what the member offered to publish.
    Answer { member: usize, sdp: String },
    /// An offer of what the member is to receive, to be answered with the same number.
    Offer { member: usize, number: Option<u64>, sdp: String },
}

/// The signaling of a server.
pub(super) trait Signaling {
    /// A member comes into its room.
    fn join(&mut self, member: usize, is: Member) -> anyhow::Result<()>;

    /// A member publishes.
    fn publish(&mut self, member: usize, offer: &str) -> anyhow::Result<()>;

    /// A member wants to receive everybody else of its room. All who publish do so by now.
    fn watch(&mut self, member: usize) -> anyhow::Result<()>;

    /// A member answers an offer.
    fn answer(&mut self, member: usize, number: Option<u64>, sdp: &str) -> anyhow::Result<()>;

    /// What the server says next, if it does so within this time.
    fn poll(&mut self, wait: Duration) -> anyhow::Result<Option<Said>>;
}
