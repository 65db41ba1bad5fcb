//! Join tokens, with which the holder of an API key lets others in.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::Ask;
use crate::{Error, Role, Server};

/// What a join token says. Every field is optional.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenWanted {
    /// The name under which its bearer joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its bearer does in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether its bearer is host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// The id of the token, by which it is barred if its bearer is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Who the bearer is for the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What everybody in the room is shown of the bearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// How long it is valid, in seconds; an hour by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

/// A join token.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The token, for [`Join::token`](crate::Join::token).
    pub token: String,
    /// The link for its bearer to open in a browser.
    pub url: String,
    /// Until when it is valid (RFC 3339).
    pub expires_at: String,
}

impl Server {
    /// Makes a join token for a room. `bearer` is an API key, or the host token of a room that the server has named.
    pub async fn make_token(&self, bearer: &str, room: &str, wanted: &TokenWanted) -> Result<Token, Error> {
        let mut url = self.url("api/v1/rooms/")?;
        push(&mut url, &[room, "tokens"])?;
        let body = serde_json::to_value(wanted).map_err(|error| Error::Protocol(error.to_string()))?;
        self.ask(Ask::new(Method::POST, url, Some(bearer)).json(&body)).await?.check()?.json()
    }
}

/// Appends segments of a path, percent-encoded.
pub(crate) fn push(url: &mut url::Url, segments: &[&str]) -> Result<(), Error> {
    let text = url.to_string();
    let mut path = url.path_segments_mut().map_err(|()| Error::Url(text))?;
    path.pop_if_empty().extend(segments);
    Ok(())
}
