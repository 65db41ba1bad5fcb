//! Errors over HTTP: `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use signaling_core::{Code, Reason, Refusal, Timestamp};

use crate::no_store;

/// Why a request was refused, as an HTTP response. The request has had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    refusal: Refusal,
    own_origin: Option<String>,
}

/// The body of an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    /// A sentence that states what is wrong.
    detail: &'a str,
    /// The code, on which programs act.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false, value_type = Option<String>))]
    starts_at: Option<Timestamp>,
    /// For a page of another origin: the origin that the server takes for its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
    own_origin: Option<String>,
    /// What is wrong with a token: `invitation-needed`, `expired` or `other-room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false, value_type = Option<String>))]
    reason: Option<Reason>,
}

impl Problem {
    /// A refusal with a status that is more specific than that of its code.
    pub fn with_status(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal, own_origin: None }
    }

    /// Adds the origin that the server takes for its own.
    #[must_use]
    pub fn with_own_origin(self, own_origin: Option<String>) -> Self {
        Self { own_origin, ..self }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(status, refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, refusal, own_origin } = self;
        let body = ProblemBody {
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
        let mut response = no_store((status, serde_json::to_vec(&body).unwrap_or_default()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
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

/// 405 for a path that exists; the router lists the permitted methods in `Allow`.
pub async fn method_not_allowed() -> Problem {
    let refusal = Refusal::bad_request("this path takes other methods; see `Allow`");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use http::header::CACHE_CONTROL;
    use serde_json::{Value, json};

    use super::*;

    async fn answered(problem: Problem) -> (Response<()>, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_with_its_code_and_what_goes_with_it() {
        let (response, body) =
            answered(Refusal::rate_limited(Duration::from_millis(1_200), "slow down").into()).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "urn:visavis:error:rate-limited",
                "title": "Too Many Requests",
                "status": 429,
                "detail": "slow down",
                "code": "rate-limited",
                "retryAfterMs": 1_200,
            })
        );
        let (response, body) = answered(Refusal::new(Code::Unauthorized, "no").into()).await;
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(body["code"], "unauthorized");
    }

    #[tokio::test]
    async fn a_status_may_say_more_than_the_code() {
        let (response, body) = answered(method_not_allowed().await).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (405, &json!("bad-request")));
    }
}
