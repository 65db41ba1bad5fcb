//! Utilities for scenarios: the program `visavis`, started on a free port with a folder of its own, and a plain HTTP
//! client.
//!
//! Scenarios wait for events, never for time: a line of the log, a response, the end of a process or of a connection.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "what fails in a test fails the test"
)]

pub mod api;
pub mod client;
pub mod connection;
pub mod hooks;
mod http;
pub mod mime;
mod port;
pub mod postgres;
mod process;
pub mod smtp;
pub mod socketio;
pub mod tokens;

pub use http::{Answer, ask, get, request, try_request};
pub use port::free_port;
pub use process::{Visavis, command, on_a_full_disk, remove_folder, run};
