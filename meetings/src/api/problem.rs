//! Errors over HTTP: `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use signaling_core::{Code, Reason, Refusal, Timestamp};
use utoipa::ToSchema;

use crate::store::StoreError;

/// Why a request was not done. Nothing has changed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    refusal: Refusal,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    /// A sentence that says what is wrong.
    detail: &'a str,
    /// What a program acts on.
    #[schema(value_type = String)]
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    starts_at: Option<Timestamp>,
    /// What is wrong with a token: `invitation-needed`, `expired` or `other-room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    reason: Option<Reason>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: &str) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::PRECONDITION_FAILED => Code::InvalidState,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::BadRequest,
        };
        Self { status, refusal: Refusal::new(code, detail) }
    }

    pub(crate) fn not_found() -> Self {
        Refusal::new(Code::NotFound, "there is no such meeting").into()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.code.http_status());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "the meeting has been changed since the version that `If-Match` names",
            ),
            error => Refusal::from(error).into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, refusal } = self;
        let body = ProblemBody {
            kind: format!("urn:visavis:error:{}", refusal.code.as_str()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &refusal.message,
            code: refusal.code,
            retry_after_ms: refusal.retry_after_ms,
            starts_at: refusal.starts_at,
            reason: refusal.reason,
        };
        let mut response = (status, serde_json::to_vec(&body).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(refusal.code, Code::RateLimited | Code::Overloaded) {
            let seconds = refusal.retry_after_ms.unwrap_or(1_000).div_ceil(1_000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
