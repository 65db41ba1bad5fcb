//! The accept loop in front of any axum [`Router`](axum::Router).
//!
//! `axum::serve` sets no header timeout and does not count connections, so a few slow clients can hold a server open.
//! [`Server`] provides what a public server needs between the kernel and the router:
//!
//! - HTTP and HTTPS on one port: the first byte of a connection tells which (22 opens a TLS handshake), HTTP/1.1 with
//!   upgrades on both and HTTP/2 by ALPN on TLS;
//! - media over TCP (RFC 6544), STUN and TURN on the same port, told by the first bytes as well, the latter also under TLS
//!   ([`MediaListener`], [`RelayListener`]);
//! - a deadline for the first byte, the handshake, every request's head and its body;
//! - limits on connections by address ([`AddressLimits`]), IPv6 by /64; some of those over the limit are answered with 429;
//! - the caller's address, scheme and host, seen through proxies that are trusted ([`ClientAddr`], an extension of every
//!   request);
//! - certificates that can be exchanged while connections live ([`Certificates`]), also self-signed ones ([`self_signed`]);
//! - responses that last for hours without the memory of HTTP's state ([`Takeover`]);
//! - a shutdown that lets requests finish ([`Server::serve`]).
//!
//! ```
//! use std::time::Duration;
//! use axum::{Extension, Router, routing::get};
//! use signaling_transport::net::{ClientAddr, Server, ServerConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new().route("/", get(|Extension(client): Extension<ClientAddr>| async move { client.ip.to_string() }));
//! let server = Server::bind("127.0.0.1:0".parse()?, ServerConfig::default())?;
//! println!("listening on {}", server.local_addr());
//! // A real program cancels on a signal.
//! let shutdown = CancellationToken::new();
//! shutdown.cancel();
//! server.serve(router, shutdown, Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

mod certificates;
mod challenge;
mod connection;
mod connection_limits;
mod forwarded;
mod interfaces;
mod listener;
mod mount;
mod opening;
mod plain_http;
mod refused;
pub mod self_signed;
mod server;
mod stream;
mod takeover;
mod timed_body;
mod upgraded;

pub use certificates::{CertificateError, Certificates, Validity};
pub use challenge::ChallengeAnswer;
pub use connection_limits::AddressLimits;
pub use forwarded::TrustedProxies;
pub use http_api::ClientAddr;
pub use listener::BindError;
pub use mount::Mount;
pub use opening::{ConnectionPlace, MediaConnection, MediaListener, Opening, RelayConnection, RelayListener};
pub use plain_http::PlainHttp;
pub use server::{Server, ServerConfig, Shutdown};
pub use takeover::Takeover;
pub(crate) use upgraded::{RawStream, take_over};
