//! The drivers: sockets, threads and clocks around the state machine.
//!
//! A shard is a [`Worker`]: it has its own sockets on the same ports as the others (`SO_REUSEPORT`), its own state machine and
//! its own epoll. [`Server::run`] runs the workers on the blocking threads of the caller's tokio runtime;
//! [`Server::into_workers`] gives them to a caller that has threads of its own.

mod clock;
mod config;
mod connections;
mod dtls;
mod flow;
mod inbox;
mod peer_stream;
mod ports;
mod server;
mod stream;
mod tls;
mod token;
mod worker;
mod worker_dtls;
mod worker_flows;
mod worker_relays;
mod worker_streams;

pub use config::{Certificate, CertificateError, Config, Listener, OnTurn};
pub use server::{BindError, Handle, Metrics, Server};
pub use worker::Worker;
