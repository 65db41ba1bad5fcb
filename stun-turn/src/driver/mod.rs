//! The driver: sockets, threads and the clock around the state machine.
//!
//! [`Server::bind`] opens the sockets. Each shard has sockets of its own on the same ports as the others
//! (`SO_REUSEPORT`), and an [`EventLoop`] that owns its state machine and waits by epoll. [`Server::run`] runs a thread for
//! each; [`Server::into_event_loops`] gives them to a caller that has threads of its own.

mod associations;
mod clock;
mod config;
mod connections;
mod context;
mod error;
mod event_loop;
mod flow;
mod handle;
mod inbox;
mod listeners;
mod metrics;
mod peer_stream;
mod ports;
mod relay_socket;
mod server;
mod server_state;
mod stream;
mod tls;
mod token;

pub use config::{Certificate, CertificateError, Config, Heartbeat, Listener};
pub use error::BindError;
pub use event_loop::EventLoop;
pub use handle::Handle;
pub use metrics::Metrics;
pub use server::Server;
pub use stream::ClientConnection;
