//! Nonces that the server checks without storing them (RFC 8489, sections 9.2 and 14.10).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The prefix of a nonce that announces security features (RFC 8489, section 9.2).
const COOKIE: &str = "obMatJos2";
const FEATURE_PASSWORD_ALGORITHMS: u32 = 1 << 23;
const FEATURE_USERNAME_ANONYMITY: u32 = 1 << 22;
const MAC: usize = 12;

/// The result of checking a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceState {
    /// Issued to this client within its lifetime.
    Valid,
    /// Expired, issued to another address, or not issued by this server: the client receives a new one.
    Stale,
}

/// The secret behind the nonces of a process.
#[derive(Clone)]
pub struct NonceKey {
    key: hmac::Key,
    prefix: String,
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey(…)")
    }
}

impl NonceKey {
    /// A key from random bytes. `has_userhash`: whether clients may hide the user name.
    pub fn new(secret: &[u8; 32], has_userhash: bool) -> Self {
        let features =
            FEATURE_PASSWORD_ALGORITHMS | if has_userhash { FEATURE_USERNAME_ANONYMITY } else { 0 };
        let [_, f0, f1, f2] = features.to_be_bytes();
        let mut prefix = COOKIE.to_owned();
        STANDARD_NO_PAD.encode_string([f0, f1, f2], &mut prefix);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), prefix }
    }

    /// A nonce for `client`, issued `second` seconds after the server began.
    pub fn issue(&self, second: u32, client: SocketAddr) -> String {
        let mut raw = [0; 4 + MAC];
        let mac = self.mac(second, client);
        raw.iter_mut().zip(second.to_be_bytes().iter().chain(&mac)).for_each(|(slot, byte)| *slot = *byte);
        let mut nonce = self.prefix.clone();
        STANDARD_NO_PAD.encode_string(raw, &mut nonce);
        nonce
    }

    /// Whether `nonce` was issued to `client` at most `lifetime` seconds before `second`.
    pub fn check(&self, nonce: &[u8], second: u32, client: SocketAddr, lifetime: u32) -> NonceState {
        let raw = nonce.strip_prefix(self.prefix.as_bytes()).and_then(|encoded| {
            let mut raw = [0; 4 + MAC];
            let length = STANDARD_NO_PAD.decode_slice(encoded, &mut raw).ok()?;
            (length == raw.len()).then_some(raw)
        });
        let Some((issued, mac)) = raw.as_ref().and_then(|raw| raw.split_first_chunk::<4>()) else {
            return NonceState::Stale;
        };
        let issued = u32::from_be_bytes(*issued);
        let is_fresh = second.checked_sub(issued).is_some_and(|age| age <= lifetime);
        let is_ours = constant_time::verify_slices_are_equal(&self.mac(issued, client), mac).is_ok();
        if is_fresh && is_ours { NonceState::Valid } else { NonceState::Stale }
    }

    /// A tag over `message` that nobody else can make, for tokens that clients hand back. Text, because there are clients that keep such
    /// a token as a string that ends with a zero.
    pub(crate) fn tag(&self, message: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        // Nonces are made of at most 22 bytes, so nothing that begins with this is one.
        context.update(b"a token, and not one of the nonces");
        context.update(message);
        let raw = context.sign().as_ref().first_chunk::<12>().copied().unwrap_or_default();
        let mut text = [b'A'; 16];
        if STANDARD_NO_PAD.encode_slice(raw, &mut text).is_err() {
            tracing::debug!("a tag did not fit");
        }
        text
    }

    fn mac(&self, second: u32, client: SocketAddr) -> [u8; MAC] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&second.to_be_bytes());
        match client.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.port().to_be_bytes());
        context.sign().as_ref().first_chunk::<MAC>().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time() {
        let key = NonceKey::new(&[7; 32], false);
        let client = "192.0.2.1:5000".parse().unwrap();
        let nonce = key.issue(100, client);
        assert_eq!(key.check(nonce.as_bytes(), 700, client, 600), NonceState::Valid);
        assert_eq!(key.check(nonce.as_bytes(), 701, client, 600), NonceState::Stale);
        assert_eq!(key.check(nonce.as_bytes(), 99, client, 600), NonceState::Stale, "from the future");
        for other in ["192.0.2.1:5001", "192.0.2.2:5000", "[2001:db8::1]:5000"] {
            assert_eq!(key.check(nonce.as_bytes(), 100, other.parse().unwrap(), 600), NonceState::Stale);
        }
        assert_eq!(
            NonceKey::new(&[8; 32], false).check(nonce.as_bytes(), 100, client, 600),
            NonceState::Stale
        );
        assert_eq!(key.check(b"obMatJos2AAAA", 100, client, 600), NonceState::Stale);
        assert_eq!(key.check(b"", 100, client, 600), NonceState::Stale);
    }

    #[test]
    fn a_nonce_begins_with_the_cookie_and_the_features() {
        let client = "192.0.2.1:5000".parse().unwrap();
        assert!(NonceKey::new(&[7; 32], false).issue(1, client).starts_with("obMatJos2gAAA"));
        assert!(NonceKey::new(&[7; 32], true).issue(1, client).starts_with("obMatJos2wAAA"));
    }
}
