//! Self-contained secrets, sealed with the server's key, so that a server that has kept nothing else can honour them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::id::base32;
use crate::message::{Role, TopologyChoice};
use crate::{Entropy, LifeId, PeerId, RoomId, SessionId, Signed, TokenIdentity};

/// The key behind session secrets, host tokens and the marks of room ids: 32 random bytes that outlive the process.
#[derive(Clone)]
pub struct ServerKey {
    seal: Arc<LessSafeKey>,
    mac: hmac::Key,
}

impl ServerKey {
    /// A key from 32 bytes of good randomness.
    ///
    /// # Panics
    /// Never: AES-256 takes every key of 32 bytes.
    #[allow(clippy::expect_used, reason = "the length is fixed by the type")]
    pub fn new(bytes: [u8; 32]) -> Self {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        // Separate keys for separate uses, so that text made for one use means nothing in another.
        let sealing = hmac::sign(&mac, b"visavis seal v1");
        let marking = hmac::sign(&mac, b"visavis mark v1");
        let unbound = UnboundKey::new(&AES_256_GCM, sealing.as_ref()).expect("32 bytes");
        Self {
            seal: Arc::new(LessSafeKey::new(unbound)),
            mac: hmac::Key::new(hmac::HMAC_SHA256, marking.as_ref()),
        }
    }

    /// `N` base-32 characters that only this key derives from `text`.
    pub(crate) fn mark<const N: usize>(&self, text: &[u8]) -> [u8; N] {
        let tag = hmac::sign(&self.mac, text);
        let mut mark = [0; N];
        for (to, from) in mark.iter_mut().zip(tag.as_ref()) {
            *to = base32(*from);
        }
        mark
    }

    /// A keyed digest of a value that is compared and never read again (passwords, client ids).
    pub(crate) fn digest(&self, purpose: &str, parts: [&str; 2]) -> Digest {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in [purpose, parts[0], parts[1]] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut short = [0; 16];
        short.copy_from_slice(context.sign().as_ref().split_at(16).0);
        Digest(short)
    }

    fn seal<T: Serialize>(&self, purpose: Purpose, content: &T, entropy: &mut dyn Entropy) -> String {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = serde_json::to_vec(content).unwrap_or_default();
        let aad = Aad::from(purpose.as_bytes());
        // Sealing fails only for plaintexts of many GiB.
        let _ = self.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
        let mut text = nonce.to_vec();
        text.append(&mut sealed);
        URL_SAFE_NO_PAD.encode(text)
    }

    fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let aad = Aad::from(purpose.as_bytes());
        let plain = self.seal.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

#[derive(Clone, Copy)]
enum Purpose {
    Session,
    Host,
    File,
    Ticket,
}

impl Purpose {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::Host => b"host",
            Self::File => b"file",
            Self::Ticket => b"ticket",
        }
    }
}

/// A keyed digest of a value that must be recognised and not read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a digest has 16 bytes"))
    }
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

/// The SHA-256 of some bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A 64-bit hash of a room id that is the same in every process. It selects the shard that owns the room.
pub fn shard_hash(room: &RoomId) -> u64 {
    let digest = digest::digest(&digest::SHA256, room.as_str().as_bytes());
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn digests_keep_their_parts_apart() {
        let key = ServerKey::new([1; 32]);
        assert_ne!(key.digest("p", ["ab", "c"]), key.digest("p", ["a", "bc"]));
        assert_eq!(key.digest("p", ["ab", "c"]), key.digest("p", ["ab", "c"]));
    }
}
