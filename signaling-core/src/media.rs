//! The exchange between a room and its media plane.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{
    Attention, Name, PeerLevel, PublishTrack, QualityReason, RecordingState, Role, SubscribeTrack, Track,
};
use crate::room::Caption;
use crate::{LifeId, PeerId};

/// A demand of a room on its media plane.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaDemand {
    /// The peer is in the room and uses the SFU.
    Join {
        /// The peer.
        peer: PeerId,
        /// The role; a viewer sends nothing.
        role: Role,
    },
    /// The peer is gone, or no longer uses the SFU.
    Leave {
        /// The peer.
        peer: PeerId,
    },
    /// The peer offers to publish.
    Offer {
        /// The peer.
        peer: PeerId,
        /// The session description.
        sdp: Arc<str>,
        /// The number of the offer, which the answer repeats.
        negotiation: Option<u64>,
    },
    /// The peer answers the server's offer.
    Answer {
        /// The peer.
        peer: PeerId,
        /// The session description.
        sdp: Arc<str>,
        /// The number of the offer; `None` stands for the newest.
        negotiation: Option<u64>,
    },
    /// The peer asks for new ICE credentials for the connection by which it receives (RFC 8445 section 9).
    RestartIce {
        /// The peer.
        peer: PeerId,
    },
    /// The peer may have missed the server's standing offer: send it again.
    Resend {
        /// The peer.
        peer: PeerId,
    },
    /// The peer's session has resumed: what it was told without an id is told again.
    Returned {
        /// The peer.
        peer: PeerId,
    },
    /// Describes the tracks of the peer's next publish offer.
    Publish {
        /// The peer.
        peer: PeerId,
        /// One for each media line.
        tracks: Arc<[PublishTrack]>,
    },
    /// How the peer wants to receive one track.
    Subscribe {
        /// The peer.
        peer: PeerId,
        /// The track's id.
        track: Arc<str>,
        /// Whether and in which quality it is wanted.
        attention: Attention,
    },
    /// Stop or resume forwarding the peer's sound.
    Mute {
        /// The peer.
        peer: PeerId,
        /// Whether to stop.
        muted: bool,
    },
    /// Start or stop recording the room.
    Record {
        /// The life of the room, to which the recording belongs.
        life: LifeId,
        /// Which peers to record.
        scope: RecordScope,
    },
    /// A line of captions of a recorded room, for media planes that record.
    Caption(Caption),
    /// The peer's name, for media planes that record.
    Name {
        /// The peer.
        peer: PeerId,
        /// The name.
        name: Name,
    },
    /// The room has ended.
    End,
}

/// Which peers of a room are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordScope {
    /// No peer.
    #[default]
    Nobody,
    /// Broadcasters.
    Broadcasters,
    /// Every peer that publishes.
    Everybody,
}

/// A report of a media plane to its room.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The server's answer to a peer's offer to publish.
    Answer {
        /// The recipient.
        peer: PeerId,
        /// The session description.
        sdp: String,
        /// The number of the offer, if the peer gave it one.
        negotiation: Option<u64>,
    },
    /// The server's offer to a peer that receives.
    Offer {
        /// The recipient.
        peer: PeerId,
        /// The session description.
        sdp: String,
        /// The number of the offer, which the answer repeats.
        negotiation: u64,
        /// Which media section carries which track.
        tracks: Vec<SubscribeTrack>,
    },
    /// The peer's published tracks have changed.
    Tracks {
        /// The peer.
        peer: PeerId,
        /// All of its tracks.
        tracks: Vec<Track>,
    },
    /// The peer's media began to flow, or stopped.
    Flowing {
        /// The peer.
        peer: PeerId,
        /// Whether it flows now.
        flowing: bool,
    },
    /// A WHIP or WHEP client is connected, or connected again.
    Connected {
        /// The peer.
        peer: PeerId,
    },
    /// A WHIP or WHEP client has closed its connection.
    Closed {
        /// The peer.
        peer: PeerId,
    },
    /// The peer's connection to the SFU has failed for good; only a WHIP or WHEP client may come back.
    Failed {
        /// The peer.
        peer: PeerId,
    },
    /// The peers that speak, the loudest first.
    Speakers(Vec<PeerLevel>),
    /// The quality of a peer's media.
    Quality {
        /// The peer.
        peer: PeerId,
        /// From 0 (no media gets through) to 4 (good).
        level: u8,
        /// The track, or `None` for all tracks of the peer.
        track: Option<Arc<str>>,
        /// The name of the layer that is sent, if the track has several.
        layer: Option<Arc<str>>,
        /// The reason, if known.
        reason: Option<QualityReason>,
        /// The recipient, or `None` for every peer.
        to: Option<PeerId>,
    },
    /// The layers of a peer's track that somebody watches.
    Layers {
        /// The publisher, which is told.
        peer: PeerId,
        /// The track.
        track: Arc<str>,
        /// The names of the layers.
        active: Arc<[Arc<str>]>,
    },
    /// The state of a recording has changed.
    Recording {
        /// The new state.
        state: RecordingState,
        /// The recorded peer, or `None` for the whole room.
        peer: Option<PeerId>,
        /// The id of the recording.
        recording: Option<Arc<str>>,
    },
}
