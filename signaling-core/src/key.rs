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

/// The key behind session secrets, host tokens and the marks of room ids, which outlives the process.
///
/// It may be replaced: [`ServerKey::from_ring`] makes everything new with the newest key, and still recognises what the
/// earlier ones have made.
#[derive(Clone)]
pub struct ServerKey {
    /// The newest first.
    keys: Arc<[Key]>,
    digests: hmac::Key,
}

/// The keys of a server whose key has been replaced: 32 bytes of good randomness each.
#[derive(Clone)]
pub struct KeyRing {
    /// The key of digests, which stays when the others are replaced: nobody can make a digest of a value that is not at
    /// hand, and what was compared with it would be lost. It opens nothing.
    pub digests: [u8; 32],
    /// The key that seals and marks.
    pub newest: [u8; 32],
    /// The keys before it, whose work is still recognised.
    pub earlier: Vec<[u8; 32]>,
}

/// One key, as the separate keys of its uses: a mark says nothing about a sealed text.
struct Key {
    seal: LessSafeKey,
    mark: hmac::Key,
}

impl Key {
    #[allow(clippy::expect_used, reason = "the length is fixed by the type")]
    fn new(bytes: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let sealing = hmac::sign(&root, b"visavis seal v1");
        let unbound = UnboundKey::new(&AES_256_GCM, sealing.as_ref()).expect("32 bytes");
        Self { seal: LessSafeKey::new(unbound), mark: marking(bytes) }
    }

    fn mark<const N: usize>(&self, text: &[u8]) -> [u8; N] {
        let tag = hmac::sign(&self.mark, text);
        let mut mark = [0; N];
        for (to, from) in mark.iter_mut().zip(tag.as_ref()) {
            *to = base32(*from);
        }
        mark
    }
}

/// The key of marks and digests.
fn marking(bytes: &[u8; 32]) -> hmac::Key {
    let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"visavis mark v1").as_ref())
}

impl ServerKey {
    /// A key from 32 bytes of good randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { keys: [Key::new(&bytes)].into(), digests: marking(&bytes) }
    }

    /// The keys of a server whose key has been replaced.
    pub fn from_ring(ring: &KeyRing) -> Self {
        let keys = std::iter::once(&ring.newest).chain(&ring.earlier).map(Key::new).collect();
        Self { keys, digests: marking(&ring.digests) }
    }

    /// `N` base-32 characters that only this key derives from `text`.
    pub(crate) fn mark<const N: usize>(&self, text: &[u8]) -> [u8; N] {
        self.keys.first().map_or([0; N], |newest| newest.mark(text))
    }

    /// Whether this key, or an earlier one, has derived the mark from `text`.
    pub(crate) fn has_marked<const N: usize>(&self, text: &[u8], mark: &[u8]) -> bool {
        self.keys.iter().any(|key| key.mark::<N>(text) == mark)
    }

    /// A keyed digest of a value that is compared and never read again (passwords, client ids).
    pub(crate) fn digest(&self, purpose: &str, parts: [&str; 2]) -> Digest {
        let mut context = hmac::Context::with_key(&self.digests);
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
        if let Some(newest) = self.keys.first() {
            // Sealing fails only for plaintexts of many GiB.
            let nonce = Nonce::assume_unique_for_key(nonce);
            let _ = newest.seal.seal_in_place_append_tag(nonce, aad, &mut sealed);
        }
        let mut text = nonce.to_vec();
        text.append(&mut sealed);
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Opens what [`Self::seal`], or an earlier key, has sealed for the same purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.keys.iter().find_map(|key| {
            let mut plain = sealed.to_vec();
            let aad = Aad::from(purpose.as_bytes());
            let plain = key.seal.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain).ok()?;
            serde_json::from_slice(plain).ok()
        })
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
    use crate::testing::SeededEntropy;

    #[test]
    fn a_new_key_recognises_what_the_earlier_ones_made_and_keeps_digests() {
        let mut entropy = SeededEntropy::new(1);
        let (old, stranger) = (ServerKey::new([1; 32]), ServerKey::new([9; 32]));
        let ring = KeyRing { digests: [1; 32], newest: [2; 32], earlier: vec![[1; 32]] };
        let new = ServerKey::from_ring(&ring);
        let of_old = old.seal(Purpose::Host, &"text", &mut entropy);
        let of_new = new.seal(Purpose::Host, &"text", &mut entropy);
        let open = |key: &ServerKey, text: &str| key.open::<String>(Purpose::Host, text);
        assert_eq!(open(&new, &of_old).as_deref(), Some("text"));
        assert_eq!(open(&new, &of_new).as_deref(), Some("text"));
        assert_eq!(open(&old, &of_new), None, "it is made with the newest one");
        assert_eq!(open(&stranger, &of_old), None);
        assert!(new.has_marked::<7>(b"text", &old.mark::<7>(b"text")));
        assert!(new.has_marked::<7>(b"text", &new.mark::<7>(b"text")));
        assert!(!old.has_marked::<7>(b"text", &new.mark::<7>(b"text")));
        assert_eq!(new.digest("p", ["a", "b"]), old.digest("p", ["a", "b"]));

        let retired = ServerKey::from_ring(&KeyRing { earlier: Vec::new(), ..ring });
        assert_eq!(open(&retired, &of_old), None);
        assert!(!retired.has_marked::<7>(b"text", &old.mark::<7>(b"text")));
        assert_eq!(retired.digest("p", ["a", "b"]), old.digest("p", ["a", "b"]), "passwords stay valid");
    }

    #[test]
    fn digests_keep_their_parts_apart() {
        let key = ServerKey::new([1; 32]);
        assert_ne!(key.digest("p", ["ab", "c"]), key.digest("p", ["a", "bc"]));
        assert_eq!(key.digest("p", ["ab", "c"]), key.digest("p", ["ab", "c"]));
    }
}
