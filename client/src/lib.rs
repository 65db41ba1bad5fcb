//! Takes part in rooms of a Visavis server: sessions over WebSocket or server-sent events, publishing from files,
//! watching and saving.
//!
//! It is for programs that are in a room without a browser: bots, bridges, recorders, tests. The calls in the order in
//! which one makes them:
//!
//! 1. [`Server::new`] names the server. [`Server::make_token`] makes join tokens where the server requires them.
//! 2. [`Session::join`] enters a room, [`Session::send`] sends messages of the wire protocol, and [`Session::next`]
//!    returns the events in their order. After an [`Error::Connection`], [`Session::resume`] continues the session, over
//!    either transport; no event is lost, and no acknowledged message takes effect twice.
//! 3. [`Publisher::publish`] sends the media of a [`MediaFile`] into a room (WHIP), [`Player::watch`] receives a
//!    broadcast (WHEP), and a [`Saver`] writes it into a file. Each is a peer of its own, with or without a session.
//!
//! ```no_run
//! use client::{Error, Join, MediaFile, Over, Publisher, Server, Session};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Error> {
//! let server = Server::new("https://calls.example")?;
//! let mut session = Session::join(&server, Over::WebSocket, &Join::new("lesson", "Robot")).await?;
//! session.send(json!({"type": "chat", "text": "Good morning"})).await?;
//!
//! let mut film = MediaFile::open("film.ivf")?;
//! let publisher = Publisher::publish(&server, "lesson", "Film", None, &[film.codec()]).await?;
//! publisher.play(&mut [film]).await?;
//! publisher.stop().await?;
//!
//! loop {
//!     match session.next().await {
//!         Ok(event) if event["type"] == "room-ended" => return Ok(()),
//!         Ok(event) => println!("{event}"),
//!         Err(Error::Connection(_)) => session.resume(Over::Events).await?,
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
//!
//! Events and messages are JSON as the wire protocol names them
//! (`docs/signaling-protocol.md`), since there will be more of them than any release of this crate knows.
#![forbid(unsafe_code)]

mod connection;
mod error;
mod file;
mod http;
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
pub use server::Server;
pub use session::{Credentials, Join, Over, Session};
pub use token::{Token, TokenWanted};
