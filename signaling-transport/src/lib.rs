//! WebSocket, server-sent events and plain HTTP in front of signaling-core.
#![forbid(unsafe_code)]

pub mod net;
