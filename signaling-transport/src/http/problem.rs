//! Errors over HTTP: `application/problem+json` (RFC 9457).

use std::convert::Infallible;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use signaling_core::{Code, Refusal, StreamRefusal};

use crate::driver::Stopped;

/// An error as an HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    refusal: Refusal,
    own_origin: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<signaling_core::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<signaling_core::Reason>,
}

impl Problem {
    /// A refusal under a status that says more than its code's own.
    pub fn with_status(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal, own_origin: None }
    }

    /// The same with what the server takes for its own origin.
    pub(super) fn with_own_origin(self, own_origin: Option<String>) -> Self {
        Self { own_origin, ..self }
    }

    /// What is wrong.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(status, refusal)
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        Refusal::from(stopped).into()
    }
}

impl From<StreamRefusal> for Problem {
    fn from(refusal: StreamRefusal) -> Self {
        match refusal {
            StreamRefusal::Refused(refusal) => refusal.into(),
            StreamRefusal::Replaced => {
                Refusal::new(Code::SessionReplaced, "another connection took the session over").into()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, refusal, own_origin } = self;
        let body = Body {
            kind: format!("urn:visavis:error:{}", refusal.code.as_str()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &refusal.message,
            code: refusal.code,
            retry_after_ms: refusal.retry_after_ms,
            starts_at: refusal.starts_at,
            own_origin,
            reason: refusal.reason,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(refusal.code, Code::RateLimited | Code::Overloaded) {
            let seconds = refusal.retry_after_ms.unwrap_or(1_000).div_ceil(1_000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// 405 for a path that exists.
pub(super) async fn method_not_allowed() -> Problem {
    let refusal = Refusal::bad_request("this path takes other methods; see `Allow`");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}

/// 415 unless the body is said to be JSON: also what keeps another site's form from posting with a visitor's cookie.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = media_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if is_json {
        return Ok(());
    }
    let refusal = Refusal::bad_request("the body is `application/json`");
    Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal))
}

/// 415 for a body that is coded (RFC 9110 section 8.4).
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim());
    if coding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity")) {
        return Ok(());
    }
    let refusal = Refusal::bad_request("the body is not compressed: no `Content-Encoding` is understood");
    Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal))
}

/// The body of a request, at most so many bytes. A client that says beforehand that it has more is not asked to send it.
pub(super) async fn body_of(request: Request, most: usize) -> Result<Bytes, Problem> {
    check_coding(request.headers())?;
    let too_large = || Problem::from(Refusal::new(Code::TooLarge, "the body is too large"));
    if request.body().size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match Bytes::from_request(request, &()).await {
        Ok(body) => Ok(body),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Err(_) => Err(Refusal::bad_request("the body could not be read").into()),
    }
}

/// A JSON body that has not been read. A client that waits for `100 Continue` is asked for it by [`Self::read`], once it is
/// known who sends it.
#[derive(Debug)]
pub struct JsonBody(Request);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl JsonBody {
    /// Its bytes, at most so many, with the protocol's own errors.
    pub async fn read(self, most: usize) -> Result<Bytes, Problem> {
        check_json(self.0.headers())?;
        body_of(self.0, most).await
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.body().is_end_stream()
    }

    /// The same where its type need not be said.
    pub(super) async fn read_untyped(self, most: usize) -> Result<Bytes, Problem> {
        if self.0.headers().contains_key(CONTENT_TYPE) {
            check_json(self.0.headers())?;
        }
        body_of(self.0, most).await
    }
}
