//! Scheduled meetings: what they are, where they are kept, and the HTTP interface that other applications book through.
//!
//! [`Meetings`] is both sides' partner: rooms ask it for the room behind a code ([`signaling_core::MeetingDirectory`]),
//! and tell it what happens there ([`Meetings::observer`]); [`router`] serves `/api/v1/meetings`. It knows rooms only by
//! the trait [`Rooms`], so that it can be tested, and run, without any.

#![forbid(unsafe_code)]

mod api;
mod calendar;
mod keys;
mod mail;
pub mod meeting;
mod over;
mod payer;
mod service;
mod store;
mod webhook;

pub use api::{Client, router};
pub use keys::make_key;
pub use mail::{MailError, Mailer};
pub use service::{Config, Meetings, Rooms};
pub use store::{KeyRecord, Store, StoreError};
