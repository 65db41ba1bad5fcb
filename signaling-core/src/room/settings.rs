//! Settings of a room, and changes of a peer's state.

use serde::{Deserialize, Serialize};

use super::Member;
use crate::message::{Json, Name, Role, Update};
use crate::{Digest, Limits, RecordScope, Refusal, ServerKey};

/// The configuration that all rooms of a server share.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Sizes, counts and times.
    pub limits: Limits,
    /// The key that seals secrets and tokens, and verifies them.
    pub key: ServerKey,
    /// Whether the server has an SFU.
    pub sfu: bool,
    /// Whether the server has a recorder.
    pub recorder: bool,
    /// The publishers that the recorder records in every room without a host's request.
    pub record: RecordScope,
}

impl Rules {
    /// The default limits, without SFU and recorder.
    pub fn new(key: ServerKey) -> Self {
        Self { limits: Limits::default(), key, sfu: false, recorder: false, record: RecordScope::Nobody }
    }
}

/// The settings of a room that a host controls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// Newcomers are refused.
    pub locked: bool,
    /// Newcomers wait until a host admits them.
    pub lobby: bool,
    /// The digest of the password that newcomers must give.
    pub password: Option<Digest>,
}

/// A change of a peer's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as in `update`; `None` leaves it as it is")]
pub struct Change {
    pub name: Option<Name>,
    pub microphone: Option<bool>,
    pub camera: Option<bool>,
    pub screen: Option<bool>,
    pub hand: Option<bool>,
    pub metadata: Option<Json>,
    pub role: Option<Role>,
}

impl Change {
    pub(super) fn read(update: &Update, limits: &Limits) -> Result<Self, Refusal> {
        Ok(Self {
            name: update.name.as_deref().map(Name::parse).transpose()?,
            microphone: update.microphone,
            camera: update.camera,
            screen: update.screen,
            hand: update.hand,
            metadata: checked_metadata(update.metadata.clone(), limits)?,
            role: None,
        })
    }

    pub(super) fn apply(&self, member: &mut Member) {
        let Self { name, microphone, camera, screen, hand, metadata, role } = self;
        if let Some(name) = name {
            member.name = name.clone();
        }
        if let Some(metadata) = metadata {
            member.metadata = Some(metadata.clone());
        }
        if *microphone == Some(true) {
            member.muted = false;
        }
        member.microphone = microphone.unwrap_or(member.microphone);
        member.camera = camera.unwrap_or(member.camera);
        member.screen = screen.unwrap_or(member.screen);
        member.hand = hand.unwrap_or(member.hand);
        member.role = role.unwrap_or(member.role);
    }
}

/// Refuses metadata that is too large to be part of every welcome.
pub(super) fn checked_metadata(metadata: Option<Json>, limits: &Limits) -> Result<Option<Json>, Refusal> {
    match metadata {
        Some(metadata) if metadata.as_str().len() > limits.metadata_bytes => {
            Err(Refusal::bad_request(format!("`metadata` has at most {} bytes", limits.metadata_bytes)))
        }
        other => Ok(other),
    }
}
