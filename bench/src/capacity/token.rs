//! Join tokens for servers that require them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Seconds for which a token is valid: longer than a run.
const LIFETIME: u64 = 3_600;

/// Where tokens come from.
pub(super) enum Tokens {
    /// The server requires none.
    None,
    /// One token, for the room that it names.
    Given(String),
    /// Signed with the secret that the server knows (HS256).
    Signed(Box<hmac::Key>),
}

impl Tokens {
    /// From a token, or from a secret or the name of a file with it.
    pub(super) fn new(token: Option<&str>, key: Option<&str>) -> anyhow::Result<Self> {
        let Some(key) = key else {
            return Ok(token.map_or(Self::None, |token| Self::Given(token.to_owned())));
        };
        let secret = if Path::new(key).is_file() {
            std::fs::read_to_string(key).with_context(|| format!("cannot read {key}"))?.trim().to_owned()
        } else {
            key.to_owned()
        };
        ensure!(!secret.starts_with("-----"), "tokens can be signed with a secret alone (HS256)");
        Ok(Self::Signed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))))
    }

    /// The only room that the tokens are for.
    pub(super) fn room(&self) -> Option<String> {
        let Self::Given(token) = self else { return None };
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(claims.get("room")?.as_str()?.to_owned())
    }

    /// A token for a room.
    pub(super) fn of(&self, room: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Given(token) => Some(token.clone()),
            Self::Signed(key) => {
                let claims = json!({"room": room, "exp": unix_seconds() + LIFETIME});
                let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
                let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
                let tag = hmac::sign(key, signed.as_bytes());
                Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "tokens are made for the server's clock")]
fn unix_seconds() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}
