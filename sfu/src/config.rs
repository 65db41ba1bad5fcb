//! Settings of a media server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::milestone::MilestoneObserver;

/// The settings of [`driver::open`](crate::driver::open) and [`Shard::new`](crate::Shard::new).
#[derive(Clone, Debug)]
pub struct Config {
    /// The number of shards, 1 to 1,024: one for each core that should forward media.
    pub shards: u16,
    /// The addresses announced to clients, best first, all with the media port. Loopback addresses are announced only
    /// to clients that connected over loopback, or whose local address is unknown.
    pub candidates: Vec<SocketAddr>,
    /// The TCP port at which the same addresses accept media, if they do: its connections go to
    /// [`Handle::accept`](crate::Handle::accept).
    pub tcp_port: Option<u16>,
    /// The seed of the random values in SDP and ICE. It is secret: ICE passwords can be derived from it.
    pub seed: [u8; 32],
    /// The time without an ICE check after which a peer has lost its connection (RFC 7675 requires one every 5 s).
    pub consent_timeout: Duration,
    /// Maximum number of peers in one room; further ones are refused.
    pub max_peers_per_room: usize,
    /// Maximum number of tracks that one peer may publish.
    pub max_tracks_per_peer: usize,
    /// The bitrate limit for a publisher that does not support transport-wide feedback, in bits per second.
    pub max_publish_bitrate: u64,
    /// Learns how far connections have come.
    pub observer: Option<Arc<dyn MilestoneObserver>>,
}

impl Config {
    /// The default settings with these addresses and this seed.
    pub fn new(candidates: Vec<SocketAddr>, seed: [u8; 32]) -> Self {
        Self {
            shards: 1,
            candidates,
            tcp_port: None,
            seed,
            consent_timeout: Duration::from_secs(20),
            max_peers_per_room: 5_000,
            max_tracks_per_peer: 16,
            max_publish_bitrate: 4_000_000,
            observer: None,
        }
    }
}
