//! What a room and its media plane say to each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::{
    Attention, Name, PeerLevel, PublishTrack, QualityReason, RecordingState, Role, SubscribeTrack, Track,
};
use crate::{LifeId, PeerId};

/// What a room asks of its media plane.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaDemand {
    /// The peer is in the room and uses the SFU.
    Join {
        /// Who.
        peer: PeerId,
        /// Viewers send nothing.
        role: Role,
    },
    /// The peer is gone, or no longer uses the SFU.
    Leave {
        /// Who.
        peer: PeerId,
    },
    /// The peer offers to publish.
    Offer {
        /// Who.
        peer: PeerId,
        /// The description.
        sdp: Arc<str>,
        /// The number of the offer, which the answer repeats.
        negotiation: Option<u64>,
    },
    /// The peer answers the server's offer.
    Answer {
        /// Who.
        peer: PeerId,
        /// The description.
        sdp: Arc<str>,
        /// The number of the offer; without one, the newest.
        negotiation: Option<u64>,
    },
    /// The peer asks for new ICE credentials of the connection by which it receives (RFC 8445 section 9).
    RestartIce {
        /// Who.
        peer: PeerId,
    },
    /// The server's standing offer to the peer may have been lost: send it again.
    Resend {
        /// Who.
        peer: PeerId,
    },
    /// What the tracks of the next publish offer are.
    Publish {
        /// Who.
        peer: PeerId,
        /// One for each media line.
        tracks: Arc<[PublishTrack]>,
    },
    /// What the peer wants of one track.
    Subscribe {
        /// Who.
        peer: PeerId,
        /// Which track.
        track: Arc<str>,
        /// What of it.
        attention: Attention,
    },
    /// Stop, or go on, forwarding the peer's sound.
    Mute {
        /// Who.
        peer: PeerId,
        /// Whether to stop.
        muted: bool,
    },
    /// Begin to record the room, or stop it.
    Record {
        /// Which life of the room: recordings belong to it, not to the name.
        life: LifeId,
        /// Whom to record, if anybody.
        whom: RecordWhom,
    },
    /// What the peer is called; told to media planes that record.
    Name {
        /// Who.
        peer: PeerId,
        /// By what name.
        name: Name,
    },
    /// The room is over.
    End,
}

/// Who in a room is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordWhom {
    /// Nobody.
    #[default]
    Nobody,
    /// Broadcasters.
    Broadcasters,
    /// Everybody who publishes.
    Everybody,
}

/// What a media plane reports to its room.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The server's answer to a peer's offer to publish.
    Answer {
        /// For whom.
        peer: PeerId,
        /// The description.
        sdp: String,
        /// The number of the offer, if the peer gave it one.
        negotiation: Option<u64>,
    },
    /// The server's offer to a peer that receives.
    Offer {
        /// For whom.
        peer: PeerId,
        /// The description.
        sdp: String,
        /// The number of the offer, which the answer repeats.
        negotiation: u64,
        /// Which section carries which track.
        tracks: Vec<SubscribeTrack>,
    },
    /// What a peer publishes now.
    Tracks {
        /// Who.
        peer: PeerId,
        /// All of it.
        tracks: Vec<Track>,
    },
    /// Media of the peer began to flow, or stopped.
    Flowing {
        /// Who.
        peer: PeerId,
        /// Began, or stopped.
        flowing: bool,
    },
    /// A client of WHIP or WHEP is connected, or connected again.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// A client of WHIP or WHEP has closed its connection.
    Closed {
        /// Who.
        peer: PeerId,
    },
    /// The peer's connection to the SFU failed: for good, unless it is a client of WHIP or WHEP, which may come back.
    Failed {
        /// Who.
        peer: PeerId,
    },
    /// Who speaks, the loudest first.
    Speakers(Vec<PeerLevel>),
    /// How well a peer's media goes through: 0 (not) to 4 (well).
    Quality {
        /// Whose.
        peer: PeerId,
        /// 0 to 4.
        level: u8,
        /// Which of its tracks, or all of them.
        track: Option<Arc<str>>,
        /// Why.
        reason: Option<QualityReason>,
        /// Whom it is for; everybody when nobody is named.
        to: Option<PeerId>,
    },
    /// How a recording stands.
    Recording {
        /// Its state.
        state: RecordingState,
        /// Whose media, or the whole room's.
        peer: Option<PeerId>,
        /// Its id.
        recording: Option<Arc<str>>,
    },
}
