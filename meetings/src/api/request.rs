//! What a request shows and carries.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use signaling_core::Refusal;

use super::problem::Problem;

/// Who sent a request, put into its extensions by whoever accepted the connection.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The address, if it is known.
    pub ip: Option<IpAddr>,
    /// Under which origin it sees this server, as in `https://calls.example`.
    pub origin: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A header's value, of characters that can be seen.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    let wrong = || Refusal::bad_request(format!("`{name}` has 1 to 255 visible characters"));
    text.map(Some).ok_or_else(|| wrong().into())
}

/// A JSON body, and its bytes.
pub(super) struct JsonBody<T>(pub(super) T, pub(super) Bytes);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = media_type.is_some_and(|value| {
            value.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
        });
        if !is_json {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is `application/json`"));
        }
        let body = match Bytes::from_request(request, state).await {
            Ok(body) => body,
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
            }
            Err(_) => return Err(Refusal::bad_request("the body could not be read").into()),
        };
        // An array of the same values would be taken for an object.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::bad_request("not understood: the body is a JSON object").into());
        }
        let json = serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?;
        Ok(Self(json, body))
    }
}
