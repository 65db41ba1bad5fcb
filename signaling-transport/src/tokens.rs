//! Join tokens: JWTs (RFC 7519) with which another service states who may enter which room.

use std::sync::Arc;

use crate::authenticator::Authenticator;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use signaling_core::message::{Join, Json, Role};
use signaling_core::room::Pass;
use signaling_core::{Code, Grant, Reason, Refusal, RoomId, Signed, Timestamp, TokenIdentity};

pub use self::key::{KeyError, TokenKey};
pub use self::minter::{TokenMinter, TokenTerms};

mod key;
mod minter;

/// How far another machine's clock may be ahead of this one's.
const AHEAD_MS: f64 = 5_000.0;
/// The first second of the year 10000.
const LAST_SECOND: f64 = 253_402_300_800.0;
/// How far in the future a token may expire: a leap year, so that milliseconds are not mistaken for seconds.
const FARTHEST_MS: f64 = 366.0 * 86_400_000.0;
/// The most bytes of `sub`, and of `metadata` as JSON: both are part of the session's secret.
pub(crate) const SUB_BYTES: usize = 255;
pub(crate) const METADATA_BYTES: usize = 1_024;

/// Admits bearers of join tokens. Without keys, it admits everyone.
#[derive(Debug)]
pub struct JoinTokens {
    keys: Vec<TokenKey>,
    /// The server's own minter, whose tokens are valid as well.
    minter: Option<Arc<TokenMinter>>,
    anonymous_rooms: bool,
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    /// Extensions that must be understood and are not (RFC 7515 section 4.1.11).
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    /// The room by name, id, or the code of its meeting.
    room: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    host: bool,
    /// Seconds since 1970, perhaps with a fraction (RFC 7519 section 2).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    jti: Option<Value>,
    #[serde(default)]
    sub: Option<Value>,
    #[serde(default)]
    metadata: Option<Json>,
}

/// A token that is valid now.
struct Opened<'a> {
    claims: Claims,
    /// The signed part of the token. The signature itself may be written in several ways.
    signed: &'a str,
}

impl JoinTokens {
    /// Accepts tokens signed with any of `keys`. `anonymous_rooms`: whether clients without a token may make rooms.
    pub fn new(keys: Vec<TokenKey>, anonymous_rooms: bool) -> Self {
        Self { keys, minter: None, anonymous_rooms }
    }

    /// Also accepts the tokens of `minter`.
    #[must_use]
    pub fn with_minter(self, minter: Arc<TokenMinter>) -> Self {
        Self { minter: Some(minter), ..self }
    }

    /// The claims of a token that one of the keys has signed, and the signed part.
    fn signed<'a>(&self, token: &'a str) -> Result<(Vec<u8>, &'a str), Refusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| refuse("is no JWT"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| refuse("is no JWT"))?;
        let part = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| refuse("is no JWT"));
        let (header, claims, signature) = (part(header)?, part(claims)?, part(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| refuse("has no header to go by"))?;
        if header.crit.is_some() {
            return Err(refuse("wants something that is not understood"));
        }
        let verifies = |key: &TokenKey| {
            // The token must not choose the algorithm: each key is for exactly one.
            key.algorithm() == header.alg && key.verifies(signed.as_bytes(), &signature)
        };
        let own = self.minter.as_ref().map(|minter| minter.keys()).unwrap_or_default();
        if !self.keys.iter().chain(own).any(verifies) {
            return Err(refuse("is not signed by anybody trusted here"));
        }
        Ok((claims, signed))
    }

    /// A token that one of the keys has signed and that is valid now.
    fn open<'a>(&self, now: Timestamp, token: &'a str) -> Result<Opened<'a>, Refusal> {
        let (claims, signed) = self.signed(token)?;
        let claims: Claims = serde_json::from_slice(&claims)
            .map_err(|error| refuse(&format!("does not say what it must: {error}")))?;
        #[allow(clippy::cast_precision_loss, reason = "milliseconds fit a double until the year 287396")]
        let now = now.as_millis() as f64;
        for (name, seconds) in [("exp", Some(claims.exp)), ("nbf", claims.nbf)] {
            let Some(seconds) = seconds else { continue };
            if seconds * 1_000.0 > now + FARTHEST_MS && is_time(seconds / 1_000.0) {
                let why = format!("has an `{name}` more than a year ahead: is this in milliseconds?");
                return Err(refuse(&why));
            }
            if !is_time(seconds) {
                return Err(refuse("names a time that there is not"));
            }
        }
        if claims.exp * 1_000.0 <= now {
            return Err(refuse("has expired").because(Reason::Expired));
        }
        if claims.nbf.is_some_and(|nbf| nbf * 1_000.0 > now + AHEAD_MS) {
            return Err(refuse("is not valid yet"));
        }
        if identity(claims.sub.clone()).is_some_and(|sub| sub.len() > SUB_BYTES) {
            return Err(refuse("has a `sub` of more than 255 bytes"));
        }
        if claims.metadata.as_ref().is_some_and(|metadata| metadata.as_str().len() > METADATA_BYTES) {
            return Err(refuse("has `metadata` of more than 1,024 bytes"));
        }
        Ok(Opened { claims, signed })
    }
}

fn refuse(why: &str) -> Refusal {
    Refusal::new(Code::Unauthorized, format!("the join token {why}"))
}

/// Whether the seconds denote a time with a four-digit year, as RFC 3339 can write it.
fn is_time(seconds: f64) -> bool {
    (-LAST_SECOND..LAST_SECOND).contains(&seconds)
}

/// A claim that identifies a token or its holder. Some issuers write numbers.
fn identity(claim: Option<Value>) -> Option<String> {
    match claim? {
        Value::Null => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

impl Authenticator for JoinTokens {
    fn authenticate(&self, now: Timestamp, join: &Join) -> Result<Grant, Refusal> {
        // A token that no known key has signed may be a host token. A signed token that is no longer valid is not
        // ignored.
        let unknown = || join.token.as_deref().is_none_or(|token| self.signed(token).is_err());
        if self.keys.is_empty() && unknown() {
            return Ok(Grant { may_create: self.anonymous_rooms, ..Grant::default() });
        }
        let token = join.token.as_deref();
        let token = token
            .ok_or_else(|| Refusal::new(Code::Unauthorized, "a join token is needed to come in here"))
            .map_err(|refusal| refusal.because(Reason::InvitationNeeded))?;
        let Opened { claims, signed: text } = self.open(now, token)?;
        let Claims { room, name, role, host, jti, sub, metadata, .. } = claims;
        if RoomId::of(&room).as_ref() != Ok(join.room.id()) {
            return Err(refuse("is for another room").because(Reason::OtherRoom));
        }
        let sub = identity(sub);
        let signed = (sub.is_some() || metadata.is_some()).then(|| Signed { sub: sub.clone(), metadata });
        Ok(Grant {
            name,
            role,
            pass: if host { Pass::Host } else { Pass::Admitted },
            may_create: true,
            token_known: true,
            token: Some(TokenIdentity { id: identity(jti), subject: sub, text: text.to_owned() }),
            signed,
            ..Grant::default()
        })
    }

    fn may_make_room(&self, now: Timestamp, token: Option<&str>) -> Result<(), Refusal> {
        if self.anonymous_rooms {
            return Ok(());
        }
        let token =
            token.ok_or_else(|| Refusal::new(Code::Unauthorized, "a token is needed to make rooms"))?;
        if self.open(now, token)?.claims.host {
            Ok(())
        } else {
            Err(Refusal::new(Code::Forbidden, "the join token gives no host's power"))
        }
    }

    fn names(&self, now: Timestamp, token: &str) -> Option<String> {
        self.open(now, token).ok().map(|opened| opened.claims.room)
    }
}

#[cfg(test)]
mod tests;
