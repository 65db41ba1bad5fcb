//! API keys, which are recognised by their digests, and ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_api::Scope;
use signaling_core::{Entropy, Timestamp, sha256_hex};

use crate::store::KeyRecord;

/// The prefix of every key.
const PREFIX: &str = "vsk_";

/// Whether a bearer has the form of an API key, valid or not.
pub(crate) fn is_key(bearer: &str) -> bool {
    bearer.starts_with(PREFIX)
}

/// Generates a key and its stored record. The key itself is shown once and never stored.
pub fn make_key(
    scopes: Vec<Scope>,
    customer: Option<String>,
    note: Option<String>,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> (String, KeyRecord) {
    let (mut secret, mut id) = ([0; 32], [0; 6]);
    entropy.fill(&mut secret);
    entropy.fill(&mut id);
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    // A key has 256 random bits, so a slow hash would add no protection.
    let hash = sha256_hex(key.as_bytes());
    let record =
        KeyRecord { id: hex("key_", &id), hash, customer, scopes, note, created_at: now, revoked_at: None };
    (key, record)
}

/// Generates an id with 96 random bits.
pub(crate) fn random_id(prefix: &str, entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 12];
    entropy.fill(&mut bytes);
    hex(prefix, &bytes)
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}
