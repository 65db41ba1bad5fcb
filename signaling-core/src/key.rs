//! The server's key, and the digests made with it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::id::base32;
use crate::{Entropy, RoomId};

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
        // Separate keys for separate uses: a mark says nothing about a sealed text.
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

    /// Seals a text that only this key opens, for this purpose.
    pub(crate) fn seal<T: Serialize>(
        &self,
        purpose: Purpose,
        content: &T,
        entropy: &mut dyn Entropy,
    ) -> String {
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

    /// Opens what [`Self::seal`] has sealed for the same purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
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

/// The use of a sealed text. Text made for one use means nothing in another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
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

/// The SHA-256 of some bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}

impl RoomId {
    /// The shard, of so many, that owns the room: the same in every process.
    pub fn shard(&self, shards: usize) -> usize {
        let digest = digest::digest(&digest::SHA256, self.as_str().as_bytes());
        let hash = digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        usize::try_from(hash % (shards.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_keep_their_parts_apart() {
        let key = ServerKey::new([1; 32]);
        assert_ne!(key.digest("p", ["ab", "c"]), key.digest("p", ["a", "bc"]));
        assert_eq!(key.digest("p", ["ab", "c"]), key.digest("p", ["ab", "c"]));
    }
}
