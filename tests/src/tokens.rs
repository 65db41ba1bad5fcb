//! Join tokens, signed as by another service.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The secret shared by the other service and the server, as set with `--auth-key`.
pub const SECRET: &str = "thirty-two-bytes-and-some-more-of-it";

/// A token for a room, valid for a minute, with further claims.
#[allow(clippy::needless_pass_by_value, reason = "claims are written where they are used")]
pub fn token(room: &str, more: Value) -> String {
    #[allow(clippy::disallowed_methods, reason = "tokens are made for the server's clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({"room": room, "exp": now + 60});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    jwt(&json!({"alg": "HS256", "typ": "JWT"}), &claims)
}

/// A JWT with these parts, signed with [`SECRET`].
pub fn jwt(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}
