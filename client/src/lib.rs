//! Takes part in rooms of a Visavis server without a browser: sessions over WebSocket or server-sent events, publishing
//! from files, watching and saving.
//!
//! It is for bots, bridges, recorders, load generators and tests. The calls in the order in which one makes them:
//!
//! 1. [`Server::new`] names the server. [`Server::make_token`] makes join tokens where the server requires them.
//! 2. [`Session::join`] enters a room, [`Session::send`] sends messages of the wire protocol, and [`Session::next`]
//!    returns the events in their order. After an [`Error::Connection`], [`Session::recover`] continues the session as
//!    soon as the server is reached again; no event is lost, and no acknowledged message takes effect twice.
//!    [`Session::credentials`] and [`Session::resume_from`] do the same across processes.
//! 3. [`Publisher::publish`] sends the media of a [`MediaFile`] into a room (WHIP), [`Player::watch`] receives a
//!    broadcast (WHEP), and a [`Saver`] writes it into a file. Each is a peer of its own, with or without a session.
//!
//! ```no_run
//! use client::{Error, Join, MediaFile, Publisher, Server, Session, Transport};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Error> {
//! let server = Server::new("https://calls.example")?;
//! let mut session = Session::join(&server, Transport::WebSocket, &Join::new("lesson", "Robot")).await?;
//! session.send(json!({"type": "chat", "text": "Good morning"})).await?;
//!
//! let film = MediaFile::open("film.ivf")?;
//! let publisher = Publisher::publish(&server, "lesson", "Film", None, &[film.codec()]).await?;
//! publisher.play(&mut [film]).await?;
//! publisher.stop().await?;
//!
//! loop {
//!     match session.next().await {
//!         Ok(event) if event["type"] == "room-ended" => return Ok(()),
//!         Ok(event) => println!("{event}"),
//!         Err(Error::Connection(_)) => session.recover().await?,
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
//!
//! Events and messages are JSON as the wire protocol names them
//! (`docs/signaling-protocol.md`), since there will be more of them than any release of this crate knows.
//!
//! Every call runs on tokio. A future that is dropped leaves its object usable. Media travels by UDP over IPv4 and
//! straight to the server: no relay is used.
#![forbid(unsafe_code)]

mod error;
mod fields;
mod file;
mod http;
mod media;
mod player;
mod publisher;
mod server;
mod session;
mod token;
mod transport;

pub use error::Error;
pub use file::{Codec, Frame, MediaFile, Saver};
pub use player::{Player, Received};
pub use publisher::Publisher;
/// A packet of media, as the `rtc` crate has it.
pub use rtc::rtp::Packet;
pub use server::Server;
pub use session::{Credentials, Join, Role, Session, Topology};
pub use token::{Token, TokenWanted};
pub use transport::Transport;
