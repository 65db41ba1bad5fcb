//! The keys that verify join tokens.

use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

/// The DER prefix of the 32 bytes of an Ed25519 public key (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// A secret should be as long as the hash (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 32;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A key for join tokens, for exactly one algorithm.
#[derive(Clone)]
pub enum TokenKey {
    /// HS256 (RFC 7518): a secret that both sides share.
    Hs256 {
        /// The secret, ready for use.
        key: Box<hmac::Key>,
        /// Whether it is shorter than the hash.
        is_short: bool,
    },
    /// `EdDSA` with Ed25519 (RFC 8037): only the public key.
    Ed25519([u8; 32]),
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is empty.
    #[error("the key is empty")]
    Empty,
    /// A PEM text of another kind: a private key, a certificate, another curve.
    #[error("expected the public key of Ed25519 (`openssl pkey -in key.pem -pubout`)")]
    NotEd25519,
    /// A JSON Web Key of another kind.
    #[error("expected a JWK of type OKP with crv Ed25519 and x, or of type oct with k")]
    Jwk,
}

#[derive(Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "OKP")]
    Okp { crv: String, x: String },
    #[serde(rename = "oct")]
    Oct { k: String },
}

impl TokenKey {
    /// Parses a key: an Ed25519 public key as PEM, as the base64 of its DER, or as a JWK; or a JWK of type `oct`. Any
    /// other text is itself the secret of HS256.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.starts_with("-----BEGIN") {
            return Self::from_pem(text);
        }
        if text.starts_with('{') {
            return Self::from_jwk(text);
        }
        match STANDARD.decode(text).ok().as_deref().and_then(ed25519_of_der) {
            Some(key) => Ok(Self::Ed25519(key)),
            None => Ok(Self::secret(text.as_bytes())),
        }
    }

    fn secret(secret: &[u8]) -> Self {
        let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self::Hs256 { key, is_short: secret.len() < SECRET_BYTES }
    }

    fn from_pem(text: &str) -> Result<Self, KeyError> {
        let body = text
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|text| text.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(KeyError::NotEd25519)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::NotEd25519)?;
        ed25519_of_der(&der).map(Self::Ed25519).ok_or(KeyError::NotEd25519)
    }

    fn from_jwk(text: &str) -> Result<Self, KeyError> {
        let bytes = |text: &str| URL_SAFE.decode(text).map_err(|_| KeyError::Jwk);
        match serde_json::from_str(text).map_err(|_| KeyError::Jwk)? {
            Jwk::Okp { crv, x } if crv == "Ed25519" => {
                bytes(&x)?.try_into().map(Self::Ed25519).map_err(|_| KeyError::Jwk)
            }
            Jwk::Okp { .. } => Err(KeyError::Jwk),
            Jwk::Oct { k } => match bytes(&k)? {
                secret if secret.is_empty() => Err(KeyError::Empty),
                secret => Ok(Self::secret(&secret)),
            },
        }
    }

    /// The `alg` of the tokens that it verifies.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256 { .. } => "HS256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// Whether it is a secret that is shorter than it should be, so that the bearer of a token may guess it.
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Hs256 { is_short: true, .. })
    }

    /// Whether this key, or its private half, made the signature.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256 { key, .. } => hmac::verify(key, signed, signature).is_ok(),
            Self::Ed25519(key) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, signature).is_ok()
            }
        }
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenKey").field(&self.algorithm()).finish()
    }
}

fn ed25519_of_der(der: &[u8]) -> Option<[u8; 32]> {
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}
