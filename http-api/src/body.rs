//! Request bodies.

use std::convert::Infallible;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use signaling_core::{Code, Refusal};

use crate::{Problem, media_type};

/// An unread JSON body. If the client waits for `100 Continue`, only [`Self::read`] requests the body, so a handler can
/// check the sender first.
#[derive(Debug)]
pub struct JsonBody(Request);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl JsonBody {
    /// Reads at most `most` bytes.
    pub async fn read(self, most: usize) -> Result<Bytes, Problem> {
        check_json(self.0.headers())?;
        body_of(self.0, most).await
    }

    /// Reads an object from at most `most` bytes, and returns both.
    pub async fn object<T: DeserializeOwned>(self, most: usize) -> Result<(T, Bytes), Problem> {
        let body = self.read(most).await?;
        Ok((json_object(&body)?, body))
    }

    /// As [`Self::object`], for an optional body whose type may be left out.
    pub async fn object_or_default<T: DeserializeOwned + Default>(
        self,
        most: usize,
    ) -> Result<(T, Bytes), Problem> {
        if self.0.body().is_end_stream() {
            return Ok(Default::default());
        }
        if self.0.headers().contains_key(CONTENT_TYPE) {
            return self.object(most).await;
        }
        let body = body_of(self.0, most).await?;
        Ok((json_object(&body)?, body))
    }
}

/// The body of a request of any type, at most `most` bytes. A client that announces more is not asked to send it.
pub async fn body_of(request: Request, most: usize) -> Result<Bytes, Problem> {
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

/// 415 unless the body is declared as JSON. This also keeps another site's form from posting with a visitor's cookie.
fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type(headers).is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(unsupported("the body is `application/json`"))
}

/// 415 for a body with a content coding (RFC 9110 section 8.4).
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim());
    if coding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity")) {
        return Ok(());
    }
    Err(unsupported("the body is not compressed: no `Content-Encoding` is understood"))
}

fn unsupported(why: &str) -> Problem {
    Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, Refusal::bad_request(why))
}

/// Parses a JSON object. An array of the same values is refused.
pub fn json_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.starts_with(b"\xef\xbb\xbf") {
        let why = "not understood: the body begins with a byte order mark, which JSON has not (RFC 8259 section 8.1)";
        return Err(Refusal::bad_request(why));
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad_request("not understood: the body is a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse as _;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_is_read_and_anything_else_is_told_what_it_is_not() {
        assert_eq!(json_object::<Value>(b" \n{\"a\": 1}").unwrap()["a"], 1);
        for (body, why) in [
            (&b"\xef\xbb\xbf{\"a\": 1}"[..], "byte order mark"),
            (b"[1]", "a JSON object"),
            (b"", "a JSON object"),
            (b"{\"a\": }", "line 1"),
        ] {
            let refusal = json_object::<Value>(body).unwrap_err();
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
    }

    fn request(headers: &[(&str, &str)], body: &str) -> JsonBody {
        let request = headers
            .iter()
            .fold(http::Request::builder(), |request, (name, value)| request.header(*name, *value));
        JsonBody(request.body(Body::from(body.to_owned())).unwrap())
    }

    #[tokio::test]
    async fn a_body_is_json_uncoded_and_of_bounded_size() {
        let json = ("content-type", "application/json; charset=utf-8");
        for (headers, expected) in [
            (&[json][..], 200),
            (&[("content-type", "text/plain")], 415),
            (&[], 415),
            (&[json, ("content-encoding", "gzip")], 415),
            (&[json, ("content-encoding", "identity")], 200),
        ] {
            let read = request(headers, r#"{"a": 1}"#).object::<Value>(100).await;
            let status = read.map_or_else(|problem| problem.into_response().status().as_u16(), |_| 200);
            assert_eq!(status, expected, "{headers:?}");
        }
        let problem = request(&[json], r#"{"a": 1}"#).read(3).await.unwrap_err();
        assert_eq!(problem.into_response().status(), 413);
    }

    #[tokio::test]
    async fn where_a_body_is_not_needed_none_is_the_default() {
        let read = async |headers, body| request(headers, body).object_or_default::<Value>(100).await;
        assert_eq!(read(&[], "").await.unwrap().0, Value::Null);
        assert_eq!(read(&[], r#"{"a": 1}"#).await.unwrap().0, json!({"a": 1}));
        let problem = read(&[("content-type", "text/plain")], r#"{"a": 1}"#).await.unwrap_err();
        assert_eq!(problem.into_response().status(), 415);
    }
}
