//! WebSocket, server-sent events, Socket.IO and plain HTTP in front of [`signaling_core`].
//!
//! [`Signaling`] runs the core's shards as tasks of the current tokio runtime and gives an axum [`Router`](axum::Router)
//! that speaks the wire protocol. It can be merged into any axum service; [`net::Server`] is the accept loop that goes
//! well with it. The calls in the order in which one makes them:
//!
//! 1. [`SignalingConfig::new`] takes the server's key. Its fields are the service's own parts, each with a default:
//!    [`authenticator`](SignalingConfig::authenticator) decides who may enter; [`rooms`](SignalingConfig::rooms) is what the
//!    core's rooms are given, such as STUN and TURN servers and a media server, which
//!    [`http_media`](SignalingConfig::http_media) reaches from WHIP and WHEP.
//! 2. [`Signaling::start`] starts the shards, on the current runtime.
//! 3. [`Signaling::router`] goes into the service's router, and [`Signaling::hub`] reaches rooms from its other parts.
//! 4. [`Signaling::go_away`] sends the clients away before the end, so that they resume at the next server.
//!
//! ```
//! use signaling_core::ServerKey;
//! use signaling_transport::{Signaling, SignalingConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // A server keeps 32 random bytes as its key.
//! let config = SignalingConfig::new(ServerKey::new([7; 32]));
//! let signaling = Signaling::start(config);
//! let app: axum::Router = axum::Router::new().merge(signaling.router());
//! # drop(app);
//! # }
//! ```

#![forbid(unsafe_code)]

mod address_limit;
mod authenticator;
mod cause_counts;
mod driver;
mod duplex;
mod http;
mod log_summary;
pub mod net;
mod router;
mod service;
mod socketio;
mod tickets;
mod tokens;
mod websocket;

pub use address_limit::GateLimits;
pub use authenticator::{Authenticator, OpenAuthenticator};
pub use cause_counts::CauseCounts;
pub use driver::{Hub, Stopped, SystemClock};
pub use http::OPENAPI;
pub use service::{OnJoin, Signaling, SignalingConfig, Transports};
pub use tokens::{JoinTokens, KeyError, TokenKey, TokenMinter, TokenTerms};
