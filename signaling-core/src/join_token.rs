//! What is known of a join token: its identity, and what its signer asserts.

use serde::{Deserialize, Serialize};

use crate::message::Json;
use crate::{Digest, LifeId, ServerKey};

/// The properties by which a join token is recognised after its holder was removed from a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIdentity {
    /// The token's own id (`jti`).
    pub id: Option<String>,
    /// The token's subject (`sub`).
    pub subject: Option<String>,
    /// The part of the token's text that cannot be written in another way.
    pub text: String,
}

/// What the signer of a join token asserts about its bearer, who cannot change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// The bearer's identity for the signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Metadata that replaces the join's `metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// The digests by which a join token is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDigests {
    /// Digest of its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Digest>,
    /// Digest of its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Digest of its text.
    pub text: Digest,
}

impl TokenDigests {
    /// The digests of a token in one life of a room.
    pub fn new(key: &ServerKey, life: LifeId, token: &TokenIdentity) -> Self {
        let digest = |purpose, text: &str| key.digest(purpose, [life.as_str(), text]);
        Self {
            id: token.id.as_deref().map(|id| digest("token id", id)),
            subject: token.subject.as_deref().map(|subject| digest("token subject", subject)),
            text: digest("token text", &token.text),
        }
    }

    /// The digests that identify a single holder of the token.
    pub(crate) fn of_holder(self) -> impl Iterator<Item = Digest> {
        self.id.into_iter().chain(self.subject)
    }

    /// All digests.
    pub(crate) fn all(self) -> impl Iterator<Item = Digest> {
        self.of_holder().chain([self.text])
    }
}
