//! `/api/v1/rooms/{room}/tokens`: join tokens for other programs and for hosts.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_api::{Caller, JsonBody, Problem, Scope, bearer, no_store};
use serde::{Deserialize, Deserializer, Serialize};
use signaling_core::message::{self, Name, Role};
use signaling_core::{Code, HostClaims, Refusal, WallClock as _};

use super::room_path::RoomPath;
use super::rooms::no_bearer;
use crate::service::Signaling;
use crate::tokens::{METADATA_BYTES, SUB_BYTES, TokenTerms};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenWanted {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    host: bool,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    metadata: Option<message::Json>,
    #[serde(default = "an_hour", deserialize_with = "whole")]
    ttl_seconds: u32,
}

fn an_hour() -> u32 {
    3_600
}

/// An integer as JSON Schema defines it, so 60.0 is one as well.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?.to_string();
    let wrong = || serde::de::Error::custom(format!("{number} is no number from 0 to {}", u32::MAX));
    number.strip_suffix(".0").unwrap_or(&number).parse().map_err(|_| wrong())
}

/// The longest lifetime of a token, in seconds.
const LONGEST_TOKEN: u32 = 30 * 24 * 3_600;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    token: String,
    url: String,
    expires_at: signaling_core::Timestamp,
}

/// `POST /api/v1/rooms/{room}/tokens`: a join token for the room, and a link that contains it.
pub(super) async fn mint(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    path: RoomPath,
    body: JsonBody,
) -> Result<Response, Problem> {
    let bearer = bearer(&headers).ok_or_else(no_bearer)?;
    let is_key = signaling.is_api_key(bearer);
    if !is_key && HostClaims::open(signaling.key(), bearer).is_none() {
        return Err(no_bearer().into());
    }
    let room = path.room(&signaling, &caller).await?;
    if is_key {
        signaling.check_room_key(bearer, &room, Scope::MeetingsWrite).await?;
    } else if !signaling.only_host(bearer, &room).await? {
        let why = "the token is one of another room, or of a room whose name is used again";
        return Err(Refusal::new(Code::Forbidden, why).into());
    }
    signaling.check_is_alive(&room).await?;
    let (wanted, _): (TokenWanted, _) = body.object(signaling.limits().message_bytes).await?;
    let name = wanted.name.as_deref().map(Name::parse).transpose()?;
    wanted.check()?;
    let minter = signaling.minter();
    let minter =
        minter.ok_or_else(|| Refusal::new(Code::InvalidState, "this server makes no join tokens"))?;
    let link = signaling.origins().link(&caller, is_key, &format!("/r/{}#token=", path.in_link(&room)))?;
    let now = signaling.hub().clock().now();
    let expires_at = now + Duration::from_secs(wanted.ttl_seconds.into());
    let terms = TokenTerms {
        name: name.as_ref().map(Name::as_str),
        role: wanted.role,
        host: wanted.host,
        jti: wanted.jti.as_deref(),
        sub: wanted.sub.as_deref(),
        metadata: wanted.metadata.as_ref(),
    };
    let token = minter.mint(&room, terms, expires_at);
    let answer = Json(Minted { url: format!("{link}{token}"), token, expires_at });
    Ok(no_store((StatusCode::CREATED, answer)))
}

impl TokenWanted {
    /// Checks the fields.
    fn check(&self) -> Result<(), Refusal> {
        if !(1..=LONGEST_TOKEN).contains(&self.ttl_seconds) {
            return Err(Refusal::bad_request(format!("`ttlSeconds` is from 1 to {LONGEST_TOKEN}")));
        }
        for (name, id) in [("sub", &self.sub), ("jti", &self.jti)] {
            let is_id = |id: &String| {
                (1..=SUB_BYTES).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            };
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                let rule = format!("`{name}` has 1 to {SUB_BYTES} printable ASCII characters");
                return Err(Refusal::bad_request(rule));
            }
        }
        if self.metadata.as_ref().is_some_and(|metadata| metadata.as_str().len() > METADATA_BYTES) {
            return Err(Refusal::bad_request(format!("`metadata` has at most {METADATA_BYTES} bytes")));
        }
        Ok(())
    }
}
