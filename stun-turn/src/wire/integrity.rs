//! Keys of the long-term mechanism and the two integrity attributes (RFC 8489, sections 9.2, 14.5 and 14.6).

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest as _, Md5};

use super::attribute as attr;
use super::check::attributes;
use super::request::{Integrity, Request};

/// How the key is made of user name, realm and password (RFC 8489, section 18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// 0x0001, the one that every client knows.
    Md5,
    /// 0x0002
    Sha256,
}

impl PasswordAlgorithm {
    /// The value of PASSWORD-ALGORITHMS that the server sends: both, the stronger first.
    pub(crate) const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match *value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// Which attribute protects a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrityAlgorithm {
    /// MESSAGE-INTEGRITY
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256
    Sha256,
}

impl IntegrityAlgorithm {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

/// The key of a long-term credential. Which hash made it does not bind the integrity algorithm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    length: usize,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Hashes `username ":" realm ":" password` (RFC 8489, section 18.5.1). The strings are used
    /// unchanged: the caller prepares passwords chosen by people (RFC 8265).
    pub fn new(algorithm: PasswordAlgorithm, username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let parts = [username, b":", realm, b":", password];
        let mut bytes = [0; 32];
        let length = match algorithm {
            PasswordAlgorithm::Md5 => {
                let mut hash = Md5::new();
                for part in parts {
                    hash.update(part);
                }
                if let Some(head) = bytes.first_chunk_mut::<16>() {
                    *head = hash.finalize().into();
                }
                16
            }
            PasswordAlgorithm::Sha256 => {
                let mut hash = digest::Context::new(&digest::SHA256);
                for part in parts {
                    hash.update(part);
                }
                bytes.copy_from_slice(hash.finish().as_ref());
                32
            }
        };
        Self { bytes, length }
    }

    /// The HMAC over `parts`.
    pub(crate) fn sign(&self, algorithm: IntegrityAlgorithm, parts: &[&[u8]]) -> hmac::Tag {
        let key = hmac::Key::new(algorithm.hmac(), self.bytes.get(..self.length).unwrap_or_default());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }

    /// The password itself, as the short-term mechanism uses it (RFC 8489, section 9.1.1); `None` when it is longer than 32 bytes.
    pub fn short_term(password: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        bytes.get_mut(..password.len())?.copy_from_slice(password);
        Some(Self { bytes, length: password.len() })
    }

    /// Whether `request` carries an integrity attribute made with this key. A request without integrity fails.
    pub fn verifies(&self, request: &Request<'_>) -> bool {
        request.integrity.is_some_and(|integrity| self.verifies_at(request.bytes, integrity))
    }

    /// The same for a message of any class, as a client needs it for responses.
    pub fn signed(&self, message: &[u8]) -> bool {
        let mut offset = 20;
        let mut found = None;
        for (kind, value) in attributes(message) {
            let algorithm = match kind {
                attr::MESSAGE_INTEGRITY => Some(IntegrityAlgorithm::Sha1),
                attr::MESSAGE_INTEGRITY_SHA256 => Some(IntegrityAlgorithm::Sha256),
                _ => None,
            };
            found = algorithm.map(|algorithm| Integrity { algorithm, offset, value }).or(found);
            offset += 4 + value.len().next_multiple_of(4);
        }
        found.is_some_and(|integrity| self.verifies_at(message, integrity))
    }

    fn verifies_at(&self, message: &[u8], integrity: Integrity<'_>) -> bool {
        let Some((&[t0, t1], rest)) = message.split_first_chunk::<2>() else { return false };
        let Some(signed) = integrity.offset.checked_sub(2).and_then(|end| rest.get(2..end)) else {
            return false;
        };
        // The length counts the message up to and with the attribute itself (RFC 8489, section 14.5).
        let length = (integrity.offset + 4 + integrity.value.len()).saturating_sub(20);
        let [l0, l1] = u16::try_from(length).unwrap_or_default().to_be_bytes();
        let tag = self.sign(integrity.algorithm, &[&[t0, t1, l0, l1], signed]);
        constant_time::verify_slices_are_equal(tag.as_ref(), integrity.value).is_ok()
    }
}

/// `SHA-256(username ":" realm)`, the value of USERHASH (RFC 8489, section 14.4).
pub(crate) fn userhash(username: &[u8], realm: &[u8]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [username, b":", realm] {
        hash.update(part);
    }
    let mut value = [0; 32];
    value.copy_from_slice(hash.finish().as_ref());
    value
}
