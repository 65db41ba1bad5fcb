//! What a request shows and carries.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use signaling_core::{Refusal, json_object};

use super::problem::Problem;

/// Bytes of a request's body.
pub(super) const BODY_BYTES: u64 = 64 * 1024;

/// Who sent a request, put into its extensions by whoever accepted the connection.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The address, if it is known.
    pub ip: Option<IpAddr>,
    /// Under which origin it sees this server, as in `https://calls.example`.
    pub origin: Option<String>,
}

impl Client {
    /// Whether the request comes from a page of the server's own, whose address bar has the address that people use.
    pub(super) fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        origin
            .is_some_and(|origin| self.origin.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(origin)))
    }

    /// Whether the address that the request names leads to the machine that it comes from.
    pub(super) fn is_at_home(&self) -> bool {
        let authority = self.origin.as_deref().and_then(|origin| origin.split_once("://"));
        let Some(authority) = authority.and_then(|(_, authority)| authority.parse::<Authority>().ok()) else {
            return false;
        };
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
    }
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

/// A JSON body that has not been read. A client that waits for `100 Continue` is asked for it by [`Self::read`], once it is known
/// who sends it.
pub(super) struct JsonBody(Request);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl JsonBody {
    /// What it says, and its bytes.
    pub(super) async fn read<T: DeserializeOwned>(self) -> Result<(T, Bytes), Problem> {
        let headers = self.0.headers();
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let is_json = text(CONTENT_TYPE).is_some_and(|value| {
            value.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
        });
        if !is_json {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is `application/json`"));
        }
        if text(CONTENT_ENCODING).is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
            let detail = "the body is not compressed: no `Content-Encoding` is understood";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        if self.0.body().size_hint().lower() > BODY_BYTES {
            return Err(too_large());
        }
        let body = match Bytes::from_request(self.0, &()).await {
            Ok(body) => body,
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(too_large()),
            Err(_) => return Err(Refusal::bad_request("the body could not be read").into()),
        };
        Ok((json_object(&body)?, body))
    }
}
