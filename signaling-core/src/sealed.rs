//! Self-contained secrets, sealed with the server's key, so that a server that has kept nothing else can honour them.

use aws_lc_rs::aead::NONCE_LEN;
use serde::{Deserialize, Serialize};

use crate::key::Purpose;
use crate::message::{Role, TopologyChoice};
use crate::{Digest, Entropy, LifeId, PeerId, RoomId, ServerKey, SessionId, Signed, TokenDigests};

/// The content of a session's secret. Its bearer is this peer in this room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionClaims {
    /// The room.
    pub room: RoomId,
    /// The room's name, if its id does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_name: Option<String>,
    /// The life of the room that the session belongs to.
    pub life: LifeId,
    /// When that life began, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// The topology that the room was made with.
    pub topology: TopologyChoice,
    /// The session.
    pub session: SessionId,
    /// The session's peer in the room.
    pub peer: PeerId,
    /// The peer's name when it joined.
    pub name: String,
    /// The peer's role when it joined.
    pub role: Role,
    /// Whether it was an appointed host.
    pub host: bool,
    /// When it joined, in milliseconds since the epoch.
    #[serde(default)]
    pub joined_at_ms: u64,
    /// The id of the entry that first admitted it.
    #[serde(default)]
    pub order: u64,
    /// Whether it was in the lobby.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// Digest of the client's own secret, which identifies the client across joins.
    pub client: Option<Digest>,
    /// Digests of its join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDigests>,
    /// What the signer of the peer's join token asserts about the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The host name or address by which the client reached the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_at: Option<String>,
    /// How often the session had been resumed. Of two connections the one with more is the newer, whatever order their
    /// nodes tell of them in.
    #[serde(default)]
    pub resumes: u32,
    /// The number of the process that made the secret.
    #[serde(default)]
    pub run: u64,
    /// When the secret was made, in the ticks of that process.
    pub issued_at_ms: u64,
    /// The expiry, in milliseconds since the epoch.
    pub expires_at_ms: u64,
}

impl SessionClaims {
    /// When the secret was made, in the ticks of the process with this number. Zero if another process made it, since
    /// its clock is unknown.
    pub(crate) fn issued_by(&self, run: u64) -> u64 {
        if self.run == run { self.issued_at_ms } else { 0 }
    }

    /// Seals the claims into a secret.
    pub fn seal(&self, key: &ServerKey, entropy: &mut dyn Entropy) -> String {
        key.seal(Purpose::Session, self, entropy)
    }

    /// The claims in a secret, if this key made it. The caller must check the expiry.
    pub fn open(key: &ServerKey, secret: &str) -> Option<Self> {
        key.open(Purpose::Session, secret)
    }
}

/// The content of a host token: its bearer is a host of this life of this room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostClaims {
    /// The room.
    pub room: RoomId,
    /// The life of the room that the token belongs to.
    pub life: LifeId,
}

impl HostClaims {
    /// Seals the claims into a token.
    pub fn seal(&self, key: &ServerKey, entropy: &mut dyn Entropy) -> String {
        key.seal(Purpose::Host, self, entropy)
    }

    /// Seals the claims into the same token each time, so that whatever carries it stays the same.
    pub fn seal_same(&self, key: &ServerKey) -> String {
        let mark: [u8; NONCE_LEN] = key.mark(format!("host {} {}", self.room, self.life).as_bytes());
        self.seal(key, &mut Fixed(mark))
    }

    /// The claims in a token, if this key made it.
    pub fn open(key: &ServerKey, token: &str) -> Option<Self> {
        key.open(Purpose::Host, token)
    }
}

/// A nonce that depends only on the sealed content.
struct Fixed([u8; NONCE_LEN]);

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for (to, from) in bytes.iter_mut().zip(self.0) {
            *to = from;
        }
    }
}

/// The content of a link to a file: its bearer may read that one file for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileClaims {
    /// The id of the file, of a kind of its own.
    pub file: String,
    /// The expiry, in milliseconds since the epoch.
    pub expires_at_ms: u64,
}

impl FileClaims {
    /// Seals the claims into a part of a link.
    pub fn seal(&self, key: &ServerKey, entropy: &mut dyn Entropy) -> String {
        key.seal(Purpose::File, self, entropy)
    }

    /// The claims in a link, if this key made it. The caller must check the expiry.
    pub fn open(key: &ServerKey, text: &str) -> Option<Self> {
        key.open(Purpose::File, text)
    }
}

/// The content of a ticket: its bearer may read the events of a session, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketClaims {
    /// Identifies the ticket, so that it is valid once.
    pub ticket: String,
    /// The session.
    pub session: SessionClaims,
    /// The expiry, in milliseconds since the epoch.
    pub expires_at_ms: u64,
}

impl TicketClaims {
    /// A ticket for a session, valid until `expires_at_ms`.
    pub fn new(session: SessionClaims, expires_at_ms: u64, entropy: &mut dyn Entropy) -> Self {
        Self { ticket: LifeId::random(entropy).to_string(), session, expires_at_ms }
    }

    /// Seals the claims into a text.
    pub fn seal(&self, key: &ServerKey, entropy: &mut dyn Entropy) -> String {
        key.seal(Purpose::Ticket, self, entropy)
    }

    /// The claims in a text, if this key made it. The caller must check the expiry and earlier use.
    pub fn open(key: &ServerKey, text: &str) -> Option<Self> {
        key.open(Purpose::Ticket, text)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::testing::SeededEntropy;

    fn claims(entropy: &mut SeededEntropy) -> HostClaims {
        HostClaims { room: "standup".parse().unwrap(), life: LifeId::random(entropy) }
    }

    #[test]
    fn a_token_opens_with_its_key_alone() {
        let mut entropy = SeededEntropy::new(5);
        let (key, foreign) = (ServerKey::new([1; 32]), ServerKey::new([2; 32]));
        let claims = claims(&mut entropy);
        let token = claims.seal(&key, &mut entropy);
        assert_eq!(HostClaims::open(&key, &token), Some(claims));
        assert_eq!(HostClaims::open(&foreign, &token), None);
        assert_eq!(SessionClaims::open(&key, &token), None, "a host token is no session secret");
        let same = HostClaims::open(&key, &token).unwrap().seal_same(&key);
        assert_eq!(HostClaims::open(&key, &same), HostClaims::open(&key, &token));
        assert_eq!(HostClaims::open(&key, &same).unwrap().seal_same(&key), same);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let mut entropy = SeededEntropy::new(6);
        let key = ServerKey::new([1; 32]);
        let token = claims(&mut entropy).seal(&key, &mut entropy);
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if URL_SAFE_NO_PAD.decode(&changed).ok() != URL_SAFE_NO_PAD.decode(&token).ok() {
                assert_eq!(HostClaims::open(&key, &changed), None, "at {position}");
            }
        }
        assert_eq!(HostClaims::open(&key, ""), None);
        assert_eq!(HostClaims::open(&key, "ÄÖÜ"), None);
    }
}
