//! The state machine in virtual time: no socket, no clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, to fail is to tell"
)]

mod allocations;
mod authentication;
mod inside;
mod malformed;
mod property;
mod relaying;
mod rfc5769;
mod support;
mod tcp;
