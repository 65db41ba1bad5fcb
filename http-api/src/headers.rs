//! Header fields that several interfaces read or write.

use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use signaling_core::Refusal;

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The `Idempotency-Key` of a request that may be repeated, 1 to 255 printable ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_printable =
        |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let key = value.to_str().ok().filter(is_printable).filter(|_| values.next().is_none());
    key.map(Some).ok_or_else(|| {
        Refusal::bad_request("`idempotency-key` is one value of 1 to 255 printable ASCII characters")
    })
}

/// The media type of `Content-Type` without its parameters; empty for a value that is not text.
pub fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    value.split(';').next().map(str::trim)
}

/// An answer that caches must not store.
pub fn no_store(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Keeps browsers from guessing another type than the `Content-Type`: a name in JSON may look like HTML.
pub async fn unsniffed(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        [(name, HeaderValue::from_bytes(value.as_bytes()).unwrap())].into_iter().collect()
    }

    #[test]
    fn the_scheme_of_a_bearer_has_no_case_and_other_schemes_are_none() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", Some("")),
        ] {
            assert_eq!(bearer(&with(AUTHORIZATION, value)), expected, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn an_idempotency_key_is_printable_and_of_bounded_length() {
        let key = HeaderName::from_static("idempotency-key");
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        assert_eq!(idempotency_key(&with(key.clone(), "a-1")), Ok(Some("a-1")));
        assert_eq!(idempotency_key(&with(key.clone(), "booking 1")), Ok(Some("booking 1")));
        for wrong in ["", "é", "a\tb", &"a".repeat(256)] {
            assert!(idempotency_key(&with(key.clone(), wrong)).is_err(), "{wrong:?}");
        }
        let mut twice = with(key.clone(), "a-1");
        twice.append(key, HeaderValue::from_static("a-2"));
        assert!(idempotency_key(&twice).is_err());
    }

    #[test]
    fn a_media_type_is_read_without_its_parameters() {
        assert_eq!(
            media_type(&with(CONTENT_TYPE, "application/json; charset=utf-8")),
            Some("application/json")
        );
        assert_eq!(media_type(&HeaderMap::new()), None);
    }
}
