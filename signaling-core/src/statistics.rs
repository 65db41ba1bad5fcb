//! What the media plane measures in a room.

use std::sync::Arc;

use serde::Serialize;

use crate::PeerId;
use crate::message::QualityReason;

/// The statistics of a peer's media. Bitrates are in bits per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatistics {
    /// The peer.
    pub peer: PeerId,
    /// The round-trip time of the connection by which it is sent media, or else of that by which it sends, in
    /// milliseconds; `None` before it has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u64>,
    /// The bitrate that its path is estimated to carry towards it; `None` if its client does not report arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_bps: Option<u64>,
    /// The time that a packet waits in queues of that path, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// The tracks that it is sent.
    pub sent: Vec<SentTrack>,
    /// The tracks that are received from it: one entry per layer.
    pub received: Vec<ReceivedTrack>,
}

/// A track that a peer is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentTrack {
    /// The track.
    pub track: Arc<str>,
    /// The layer (its rid), if the track has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Arc<str>>,
    /// The bitrate of the layer; 0 while it is paused.
    pub bps: u64,
    /// The loss in the client's last report, in percent.
    pub loss_percent: f32,
    /// The packets that were sent again on its request.
    pub retransmitted: u32,
    /// Whether none of it is sent at present.
    pub paused: bool,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<QualityReason>,
}

/// A layer of a track that is received from a peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedTrack {
    /// The track.
    pub track: Arc<str>,
    /// The layer (its rid), if the track has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Arc<str>>,
    /// The bitrate at which it arrives.
    pub bps: u64,
    /// The loss in the server's last report, in percent.
    pub loss_percent: f32,
    /// Whether the publisher was told that nobody watches the layer.
    pub paused: bool,
}

impl PeerStatistics {
    /// The statistics of a peer without media.
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            rtt_ms: None,
            estimate_bps: None,
            queue_ms: None,
            sent: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Adds what another part of the media plane has measured of the same peer. The path of the part that sends to it
    /// counts.
    pub fn add(&mut self, other: Self) {
        if self.sent.is_empty() {
            self.rtt_ms = other.rtt_ms.or(self.rtt_ms);
        }
        self.estimate_bps = self.estimate_bps.or(other.estimate_bps);
        self.queue_ms = self.queue_ms.or(other.queue_ms);
        self.sent.extend(other.sent);
        self.received.extend(other.received);
    }
}
