//! A small WebRTC client, and a network with delay, loss and a bottleneck, both without I/O, for tests and load
//! generators. The client consists of the same parts as the server, each in the opposite role.

mod client;
mod media;
mod network;

pub use client::{Client, ClientKind, Received};
pub use media::{Frame, Playback, SAMPLE_BYTES};
pub use network::{Link, Network};
