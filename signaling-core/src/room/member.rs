//! One peer as its room knows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Power;
use crate::message::{Json, Name, PeerView, Role, Track};
use crate::sealed::{Digest, TokenDigests};
use crate::{PeerId, SessionId, Signed, Timestamp};

/// A peer of a room, or somebody in its lobby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub id: PeerId,
    /// The session behind it.
    pub session: SessionId,
    /// What people call it.
    pub name: Name,
    /// What for.
    pub role: Role,
    /// In the room, or in the lobby.
    pub standing: Standing,
    /// Whether it has a host's powers.
    pub power: Power,
    /// Digest of the client's own secret.
    pub client: Option<Digest>,
    /// Digests of the join token that it came with.
    #[serde(default)]
    pub token: Option<TokenDigests>,
    /// When it joined.
    pub joined_at: Timestamp,
    /// Seniority: the id of the entry that first brought it in, also when the server was restarted since.
    pub order: u64,
    /// The client's own state.
    pub microphone: bool,
    /// The client's own state.
    pub camera: bool,
    /// The client's own state.
    pub screen: bool,
    /// The client's own state.
    pub hand: bool,
    /// The client's own state.
    pub metadata: Option<Json>,
    /// What the service that signed its join token says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// What it publishes through the SFU.
    pub tracks: Arc<[Track]>,
    /// Whether its media flows through the SFU.
    pub flowing: bool,
    /// Whether a host has silenced it in the SFU.
    pub muted: bool,
    /// Its connection is closed, and the others have been told.
    #[serde(default)]
    pub away: bool,
    /// A WHIP or WHEP session: it hears nothing and says nothing, so that no host's power is of use to it.
    #[serde(default)]
    pub media_only: bool,
}

/// How far somebody has come.
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

    /// Whether it is one of those who are listed and announced to everybody.
    pub fn is_listed(&self) -> bool {
        self.is_joined() && self.role != Role::Viewer
    }

    /// Whether it is one of those who say when media flows on a new path.
    pub(super) fn reports_ready(&self) -> bool {
        self.is_joined() && !self.media_only
    }

    /// The peer as others see it.
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
