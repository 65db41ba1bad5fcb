//! A peer, as its room knows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Power;
use crate::message::{Json, Name, PeerView, Role, Track};
use crate::{Digest, PeerId, SessionId, Signed, Timestamp, TokenDigests};

/// A peer in a room or in its lobby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The peer's id.
    pub id: PeerId,
    /// The session of the peer.
    pub session: SessionId,
    /// The display name.
    pub name: Name,
    /// The role.
    pub role: Role,
    /// Whether it is in the room or in the lobby.
    pub standing: Standing,
    /// The host's power that it has.
    pub power: Power,
    /// Digest of the client's own secret, which identifies the client across joins.
    pub client: Option<Digest>,
    /// Digests of the join token that the peer presented.
    #[serde(default)]
    pub token: Option<TokenDigests>,
    /// When it joined.
    pub joined_at: Timestamp,
    /// Seniority: the id of the entry that first admitted it, preserved across restarts.
    pub order: u64,
    /// Whether the microphone is on, as the client reports.
    pub microphone: bool,
    /// Whether the camera is on, as the client reports.
    pub camera: bool,
    /// Whether a screen is shared, as the client reports.
    pub screen: bool,
    /// Whether the hand is raised, as the client reports.
    pub hand: bool,
    /// Metadata that every peer sees.
    pub metadata: Option<Json>,
    /// What the signer of the join token asserts about the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// What it publishes through the SFU.
    pub tracks: Arc<[Track]>,
    /// Whether its media flows through the SFU.
    pub flowing: bool,
    /// Whether a host has silenced it in the SFU.
    pub muted: bool,
    /// Its connection is closed, and the other peers have been told.
    #[serde(default)]
    pub away: bool,
    /// A WHIP or WHEP session: it exchanges no messages, and so cannot be host.
    #[serde(default)]
    pub media_only: bool,
}

/// Whether a peer has been admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// In the room.
    Joined,
    /// In the lobby, until a host admits it.
    Waiting,
}

impl Member {
    /// Whether it is in the room and not in the lobby.
    pub fn is_joined(&self) -> bool {
        self.standing == Standing::Joined
    }

    /// Whether peers see it in the list and learn of its arrival.
    pub fn is_listed(&self) -> bool {
        self.is_joined() && self.role != Role::Viewer
    }

    /// Whether it reports when media flows on a new path.
    pub(super) fn reports_ready(&self) -> bool {
        self.is_joined() && !self.media_only
    }

    /// The peer as other peers see it.
    pub fn view(&self) -> PeerView {
        PeerView {
            id: self.id,
            name: self.name.clone(),
            role: self.role,
            host: self.is_host(),
            joined_at: self.joined_at,
            microphone: self.microphone,
            camera: self.camera,
            screen: self.screen,
            hand: self.hand,
            tracks: Arc::clone(&self.tracks),
            away: self.away,
            live: self.flowing,
            metadata: self.metadata.clone(),
        }
    }
}
