//! Scheduled meetings, their storage, and the HTTP interface through which other applications book them.
//!
//! [`Meetings`] connects two sides. Rooms ask it for the room of a code ([`http_api::MeetingDirectory`]) and
//! report their events to it ([`Meetings::observer`]); applications and people use the routes of [`router`] under
//! `/api/v1/meetings` and `/api/v1/invitations`. It reaches rooms only through the trait [`Rooms`], so that it can be
//! tested, and run, without any.
//!
//! The calls in the order in which one makes them: [`Store::sqlite`] or [`Store::postgres`], [`Meetings::new`],
//! [`router`] into the service's own, [`Meetings::start`] once there are rooms; [`make_key`] makes an API key.
//!
//! From the inside out, each importing only those listed before it:
//!
//! - [`meeting`]: a meeting as a pure state machine, its recurrence, and the drafts and changes sent by applications;
//!   `calendar` writes it as iCalendar.
//! - `store`: the queries, the same for `SQLite` and `PostgreSQL`. Every query has a time limit of its own.
//! - `mail` and `webhook` compose letters and messages; `outbox` delivers both, with retries until they are accepted or
//!   given up.
//! - `service` is [`Meetings`] itself. `follower` applies events of rooms, `timer` runs what is due, `directory`
//!   answers the rooms.
//! - `api`: the routes.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::body::Body;
//! use http::{Request, StatusCode};
//! use meetings::{Config, Meetings, Store, router};
//! use signaling_core::testing::SeededEntropy;
//! use signaling_core::{ServerKey, Timestamp, WallClock};
//! use tower::ServiceExt as _;
//!
//! struct Noon;
//!
//! impl WallClock for Noon {
//!     fn now(&self) -> Timestamp {
//!         Timestamp::from_millis(1_795_780_800_000)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let meetings = Meetings::new(Config {
//!     key: ServerKey::new([7; 32]), // that of the signaling
//!     store: Store::sqlite(&folder.path().join("meetings.db")),
//!     clock: Arc::new(Noon),
//!     entropy: Box::new(SeededEntropy::new(1)), // random bytes of the system
//!     public_url: Some("https://calls.example".to_owned()),
//!     anonymous: true,
//!     keep: None,
//!     private_webhooks: false,
//!     server_webhook: None,
//!     mailer: None,
//! });
//! // `meetings.start(rooms, &watch)` follows the rooms and the clock from then on.
//! let wanted = r#"{"title": "Standup", "timeZone": "Europe/Berlin", "durationMinutes": 15}"#;
//! let booking = Request::post("/api/v1/meetings").header("content-type", "application/json").body(Body::from(wanted))?;
//! let booked = router(meetings, &[]).oneshot(booking).await?;
//! assert_eq!(booked.status(), StatusCode::CREATED);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod access;
mod api;
mod calendar;
mod directory;
mod follower;
mod keys;
mod mail;
pub mod meeting;
mod outbox;
mod pending_ends;
mod presence;
mod rate_limits;
mod service;
mod store;
#[cfg(test)]
mod testing;
mod timer;
mod webhook;

pub use api::router;
pub use keys::make_key;
pub use mail::{MailError, Mailer};
pub use service::{Config, Meetings, Rooms};
pub use store::{KeyRecord, Store, StoreError, copy_database};
pub use webhook::ServerWebhook;
