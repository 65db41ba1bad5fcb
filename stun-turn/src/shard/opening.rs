//! Allocations whose sockets are being opened.

use std::time::Duration;

use super::allocation::RelayedTransport;
use super::verified::Verified;
use crate::five_tuple::FiveTuple;
use crate::wire::AddressFamily;

/// An allocation that waits for its sockets.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) tuple: FiveTuple,
    pub(super) verified: Verified,
    pub(super) username: Box<str>,
    pub(super) lifetime: Duration,
    pub(super) transport: RelayedTransport,
    /// The requested family that this server has no address of.
    pub(super) missing: Option<AddressFamily>,
    pub(super) wants_ticket: bool,
    /// The client left before the sockets came.
    pub(super) is_abandoned: bool,
}
