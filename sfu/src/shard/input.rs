//! What a shard is asked.

use std::sync::Arc;

use signaling_core::{HttpAnswer, HttpOffer, HttpPatch, MediaDemand, Patched, RoomId};

use crate::sdp::SdpError;
use crate::tap::Tap;

/// What a shard is told from outside, datagrams apart.
pub enum Input {
    /// A room's demand.
    Demand {
        /// The room.
        room: RoomId,
        /// What it asks.
        demand: MediaDemand,
    },
    /// A WHIP or WHEP client's first offer. The peer must have joined.
    Offer {
        /// The offer.
        offer: HttpOffer,
        /// Takes the answer.
        reply: Reply<HttpAnswer>,
    },
    /// A WHIP or WHEP client's trickled candidates or ICE restart.
    Patch {
        /// The patch.
        patch: HttpPatch,
        /// Takes what became of it.
        reply: Reply<Patched>,
    },
    /// A recorder for all that is published in a room, or none any more.
    Record {
        /// The room.
        room: RoomId,
        /// What takes its media.
        tap: Option<Arc<dyn Tap>>,
    },
    /// A recorder needs a key frame to start with.
    Keyframe {
        /// The room.
        room: RoomId,
        /// The track.
        track: Arc<str>,
    },
}

impl Input {
    /// The room that it is about, whose home shard takes it.
    pub fn room(&self) -> &RoomId {
        match self {
            Self::Demand { room, .. } | Self::Record { room, .. } | Self::Keyframe { room, .. } => room,
            Self::Offer { offer, .. } => &offer.room,
            Self::Patch { patch, .. } => &patch.room,
        }
    }
}

/// Takes the result of a negotiation, on the shard's thread.
pub type Reply<T> = Box<dyn FnOnce(Result<T, NegotiationError>) + Send>;

/// Why a negotiation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The client's description is at fault.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// The peer is not in the room, or has no such session.
    #[error("no such peer or session")]
    UnknownPeer,
    /// The server cannot take more.
    #[error("the media server is full")]
    Overloaded,
}
