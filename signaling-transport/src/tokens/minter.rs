//! Join tokens made by the server itself, for programs that request them with an API key.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use signaling_core::message::{Json, Role};
use signaling_core::{RoomId, Timestamp};

use super::TokenKey;

/// Makes join tokens (HS256) with a key that only the server has.
#[derive(Debug)]
pub struct TokenMinter {
    signing: hmac::Key,
    /// The keys that verify its tokens, and those of earlier keys.
    keys: Vec<TokenKey>,
}

/// What a token states about its bearer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TokenTerms<'a> {
    /// The bearer's name; `None` leaves it to the bearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The bearer's role; `None` leaves it to the bearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether the bearer has a host's powers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// The id of the token, by which a host's `kick` bars it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<&'a str>,
    /// The bearer's identity for the program that requests the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<&'a str>,
    /// The bearer's metadata, which every peer in the room sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Json>,
}

#[derive(Serialize)]
struct Claims<'a> {
    room: &'a RoomId,
    #[serde(flatten)]
    terms: TokenTerms<'a>,
    exp: u64,
}

impl TokenMinter {
    /// A minter whose key is derived from 32 random bytes that outlive the process. What was minted with the `earlier` ones
    /// is valid, too.
    pub fn new(secret: [u8; 32], earlier: &[[u8; 32]]) -> Self {
        let keys = std::iter::once(&secret)
            .chain(earlier)
            .map(|secret| TokenKey::Hs256 { key: Box::new(signing(secret)), is_short: false });
        Self { signing: signing(&secret), keys: keys.collect() }
    }

    /// The keys that verify its tokens.
    pub(super) fn keys(&self) -> &[TokenKey] {
        &self.keys
    }

    /// A token for a room, valid until `expires_at` (whole seconds).
    pub fn mint(&self, room: &RoomId, terms: TokenTerms<'_>, expires_at: Timestamp) -> String {
        let claims = Claims { room, terms, exp: expires_at.as_millis().div_ceil(1_000) };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let tag = hmac::sign(&self.signing, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

/// The key that signs tokens.
fn signing(secret: &[u8; 32]) -> hmac::Key {
    let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"visavis join tokens v1").as_ref())
}
