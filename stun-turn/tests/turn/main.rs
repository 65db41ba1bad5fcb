//! The state machine in virtual time: no socket, no clock.

mod allocations;
mod authentication;
mod malformed;
mod property;
mod relaying;
mod rfc5769;
mod support;
mod tcp;
