//! Settings of a media server.

use std::net::SocketAddr;
use std::time::Duration;

/// What the media server is made with, see [`driver::open`](crate::driver::open).
#[derive(Clone, Debug)]
pub struct Config {
    /// Shards to make: one for each core that should forward media. 1 to 1,024.
    pub shards: u16,
    /// The addresses that clients are told, best first, all with the media port. Loopback addresses among them are
    /// told only to clients who came by loopback, or who came an unknown way.
    pub candidates: Vec<SocketAddr>,
    /// Seeds what is random in SDP and ICE. Whoever guesses it knows every ICE password.
    pub seed: [u8; 32],
    /// A peer that sends no ICE check for so long has lost its connection (RFC 7675 asks for one every 5 s).
    pub consent_timeout: Duration,
    /// Peers in one room; further ones are refused.
    pub max_peers_per_room: usize,
    /// Tracks that one peer may publish.
    pub max_tracks_per_peer: usize,
    /// The bitrate asked of a publisher who understands no transport-wide feedback, in bits per second.
    pub max_publish_bitrate: u64,
}

impl Config {
    /// Defaults for these addresses and this seed.
    pub fn new(candidates: Vec<SocketAddr>, seed: [u8; 32]) -> Self {
        Self {
            shards: 1,
            candidates,
            seed,
            consent_timeout: Duration::from_secs(20),
            max_peers_per_room: 5_000,
            max_tracks_per_peer: 16,
            max_publish_bitrate: 4_000_000,
        }
    }
}
