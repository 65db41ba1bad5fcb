//! Inputs of a shard.

use std::sync::Arc;

use signaling_core::{
    HttpAnswer, HttpOffer, HttpPatch, MediaDemand, Patched, PeerId, PeerStatistics, Reach, RoomId,
};

use crate::sdp::SdpError;
use crate::tap::Tap;

/// An input of a shard other than a datagram.
pub enum Input {
    /// A demand of a room.
    Demand {
        /// The room.
        room: RoomId,
        /// The demand.
        demand: MediaDemand,
    },
    /// A WHIP or WHEP client's first offer. The peer must have joined.
    Offer {
        /// The offer.
        offer: HttpOffer,
        /// Receives the answer.
        reply: Reply<HttpAnswer>,
    },
    /// A WHIP or WHEP client's trickled candidates or ICE restart.
    Patch {
        /// The patch.
        patch: HttpPatch,
        /// Receives the result.
        reply: Reply<Patched>,
    },
    /// Asks what has arrived of a peer.
    Reach {
        /// The room.
        room: RoomId,
        /// The peer.
        peer: PeerId,
        /// Receives the answer.
        reply: Reply<Reach>,
    },
    /// Asks what is measured of a room. Unlike other inputs, it concerns every shard that has connections of the room.
    Statistics {
        /// The room.
        room: RoomId,
        /// Receives the answer.
        reply: Reply<Vec<PeerStatistics>>,
    },
    /// Sets the recorder of all media published in a room, or removes it.
    Record {
        /// The room.
        room: RoomId,
        /// The recorder, or `None` to stop recording.
        tap: Option<Arc<dyn Tap>>,
    },
    /// Requests a key frame for a recorder.
    Keyframe {
        /// The room.
        room: RoomId,
        /// The track.
        track: Arc<str>,
    },
}

impl Input {
    /// The room that the input concerns; the room's home shard handles it.
    pub fn room(&self) -> &RoomId {
        match self {
            Self::Demand { room, .. }
            | Self::Reach { room, .. }
            | Self::Statistics { room, .. }
            | Self::Record { room, .. }
            | Self::Keyframe { room, .. } => room,
            Self::Offer { offer, .. } => &offer.room,
            Self::Patch { patch, .. } => &patch.room,
        }
    }
}

/// Receives the result of a negotiation, on the shard's thread.
pub type Reply<T> = Box<dyn FnOnce(Result<T, NegotiationError>) + Send>;

/// Why a negotiation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The client's description is invalid.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// The peer is not in the room, or has no such session.
    #[error("no such peer or session")]
    UnknownPeer,
    /// The server cannot accept more.
    #[error("the media server is full")]
    Overloaded,
}
