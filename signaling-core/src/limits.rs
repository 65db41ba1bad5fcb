//! Limits of the server.

use std::time::Duration;

use crate::{Code, Refusal};

/// Sizes, counts and times that bound what a client can make the server keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Bytes of a `signal`.
    pub signal_bytes: usize,
    /// Nesting of a message's JSON.
    pub json_depth: usize,
    /// Characters of a chat text.
    pub chat_chars: usize,
    /// Characters of a caption.
    pub caption_chars: usize,
    /// Captions per second that a room takes from all programs together.
    pub captions_per_second: u32,
    /// Bytes of `metadata`, which every member's welcome repeats.
    pub metadata_bytes: usize,
    /// Chat messages that a newcomer is given.
    pub chat_history: usize,
    /// Peers of a room, viewers included.
    pub room_peers: usize,
    /// Rooms of a server.
    pub rooms: usize,
    /// Bytes that a room's log keeps for sessions that resume.
    pub log_bytes: u64,
    /// How long a room's log and an outbox keep an entry.
    pub log_age: Duration,
    /// Bytes that one session's outbox keeps.
    pub outbox_bytes: u64,
    /// How far behind, in bytes, a connection may fall before it is closed.
    pub lag_bytes: u64,
    /// How long a connection may take nothing before it is closed.
    pub stall: Duration,
    /// How often a `ping` is sent; a connection that is silent for twice as long is closed.
    pub heartbeat: Duration,
    /// How long a peer without a connection stays in the room.
    pub resume_window: Duration,
    /// How long a peer may be without a connection before it counts as away. A change of transport takes less.
    pub absence: Duration,
    /// As `absence`, for a peer that has joined or resumed over HTTP and has not opened its event stream yet.
    pub stream_wait: Duration,
    /// How long an empty room lives.
    pub empty_room: Duration,
    /// How long a room lives that no peer has ever entered.
    pub unentered_room: Duration,
    /// How long the name of an ended room stays barred, if a person chose the name.
    pub name_rest: Duration,
    /// How long a session's secret is honoured.
    pub secret_lifetime: Duration,
    /// Messages that one session may send in a burst.
    pub message_burst: u32,
    /// Messages per second that one session may send over longer times.
    pub messages_per_second: u32,
    /// Wrong passwords from all addresses together before a room answers `rate-limited`; one is restored every 100 ms.
    /// The limit for each address is much lower, and applies before a guess reaches the room.
    pub password_guesses: u32,
    /// How long a one-to-one call rings.
    pub ring: Duration,
    /// How long a change of topology waits for peers that are not ready.
    pub topology_switch: Duration,
    /// How long a room that no longer needs the SFU stays on it before it returns to a mesh.
    pub mesh_return: Duration,
}

impl Limits {
    /// The refusal of a message that is too large. It names both limits, since the kind of the message may be unknown.
    pub fn too_large(&self) -> Refusal {
        let kib = |bytes: usize| bytes / 1_024;
        let (message, signal) = (kib(self.message_bytes), kib(self.signal_bytes));
        Refusal::new(Code::TooLarge, format!("a message has at most {message} KiB, a `signal` {signal} KiB"))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            signal_bytes: 256 * 1024,
            json_depth: 32,
            chat_chars: 4_000,
            caption_chars: 1_000,
            captions_per_second: 10,
            metadata_bytes: 4 * 1024,
            chat_history: 50,
            room_peers: 5_000,
            rooms: 100_000,
            log_bytes: 2 * 1024 * 1024,
            log_age: Duration::from_mins(1),
            outbox_bytes: 1024 * 1024,
            lag_bytes: 1024 * 1024,
            stall: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            resume_window: Duration::from_secs(30),
            absence: Duration::from_millis(300),
            stream_wait: Duration::from_secs(5),
            empty_room: Duration::from_mins(10),
            unentered_room: Duration::from_hours(24),
            name_rest: Duration::from_mins(1),
            secret_lifetime: Duration::from_hours(24),
            message_burst: 200,
            messages_per_second: 50,
            password_guesses: 1_000,
            ring: Duration::from_secs(30),
            topology_switch: Duration::from_secs(10),
            mesh_return: Duration::from_secs(30),
        }
    }
}
