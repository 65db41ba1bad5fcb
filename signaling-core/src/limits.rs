//! The limits that hold from the first day.

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
    /// Bytes of `metadata`, which every member's welcome repeats.
    pub metadata_bytes: usize,
    /// Chat messages that somebody who joins is given.
    pub chat_history: usize,
    /// Members of a room, viewers included.
    pub room_peers: usize,
    /// Rooms of a server.
    pub rooms: usize,
    /// Bytes that a room's log keeps for those who resume.
    pub log_bytes: u64,
    /// How long a room's log and an outbox keep an entry.
    pub log_age: Duration,
    /// Bytes that one session's outbox keeps.
    pub outbox_bytes: u64,
    /// How far behind, in bytes, a connection may fall before it is cut off.
    pub lag_bytes: u64,
    /// How long a connection may take nothing before it is cut off.
    pub stall: Duration,
    /// How often a `ping` goes out; a connection silent for twice that is gone.
    pub heartbeat: Duration,
    /// How long a peer without a transport stays in the room.
    pub resume_window: Duration,
    /// How long a peer may be without a transport before the others are told that it is away: who changes from one
    /// transport to another is not.
    pub absence: Duration,
    /// As `absence`, for who has joined or resumed over HTTP and has not opened the event stream yet.
    pub stream_wait: Duration,
    /// How long a room without anybody lives.
    pub empty_room: Duration,
    /// How long a room lives that was made and never entered.
    pub unentered_room: Duration,
    /// How long the name of an ended room stays barred, for names chosen by people.
    pub name_rest: Duration,
    /// How long a session's secret is honoured.
    pub secret_lifetime: Duration,
    /// Messages of one session in a burst.
    pub message_burst: u32,
    /// Messages of one session for each second, over longer times.
    pub messages_per_second: u32,
    /// Wrong passwords of all addresses together before a room answers `rate-limited`, one given back each 100 ms. Each
    /// address is limited much more narrowly before its guesses reach the room.
    pub password_guesses: u32,
    /// How long a one-to-one call rings.
    pub ring: Duration,
    /// How long a switch of topology waits for those who are not ready.
    pub topology_switch: Duration,
    /// How long two stay on the SFU before the room goes back to a mesh.
    pub mesh_return: Duration,
}

impl Limits {
    /// What is said of a message that is too large: what kind it was meant to be is not known of all of them.
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
