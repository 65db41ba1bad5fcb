//! Files of recordings that are in object storage alone, handed through.

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, StatusCode};
use recording::index::Entry;
use recording::store::Store;
use recording::upload::Upload;
use signaling_core::{Code, Refusal};

/// What of a file a request wants (RFC 9110 section 14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Impossible,
}

/// Answers a request for a recording's file from the store, whole or one range of it.
pub(super) async fn serve(store: &Store, entry: &Entry, headers: &HeaderMap) -> Result<Response, Refusal> {
    let gone = || Refusal::new(Code::NotFound, "the recording's file is gone");
    let Some(Upload::Stored { object }) = &entry.upload else { return Err(gone()) };
    let wanted = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, range) = match wanted.map_or(Wanted::Whole, |wanted| parse(wanted, entry.bytes)) {
        Wanted::Whole => (StatusCode::OK, 0..entry.bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Impossible => {
            let size = format!("bytes */{}", entry.bytes);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, size)]).into_response());
        }
    };
    let bytes = store.read(object, range.clone()).await.map_err(|error| {
        tracing::warn!(recording = %entry.recording, %error, "a recording cannot be read from object storage");
        Refusal::new(Code::Overloaded, "object storage does not answer at present")
    })?;
    let body = Body::from_stream(bytes.ok_or_else(gone)?);
    let length = (range.end - range.start).to_string();
    let mut answer =
        (status, [(ACCEPT_RANGES, "bytes".to_owned()), (CONTENT_LENGTH, length)], body).into_response();
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(place) = format!("bytes {}-{}/{}", range.start, range.end - 1, entry.bytes).parse()
    {
        answer.headers_mut().insert(CONTENT_RANGE, place);
    }
    Ok(answer)
}

/// Several ranges, and what is none, are answered with the whole.
fn parse(wanted: &str, size: u64) -> Wanted {
    let Some((first, last)) = wanted
        .strip_prefix("bytes=")
        .filter(|ranges| !ranges.contains(','))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse::<u64>().map(Some) };
    let (Ok(first), Ok(last)) = (number(first), number(last)) else { return Wanted::Whole };
    match (first, last) {
        (None, None) => Wanted::Whole,
        (Some(first), Some(last)) if last < first => Wanted::Whole,
        (None, Some(0)) => Wanted::Impossible,
        (None, Some(_)) if size == 0 => Wanted::Impossible,
        (None, Some(last)) => Wanted::Part(size.saturating_sub(last)..size),
        (Some(first), _) if first >= size => Wanted::Impossible,
        (Some(first), last) => {
            Wanted::Part(first..last.map_or(size, |last| size.min(last.saturating_add(1))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_means_them() {
        use Wanted::{Impossible, Part, Whole};
        for (text, expected) in [
            ("bytes=0-", Part(0..10)),
            ("bytes=4-7", Part(4..8)),
            ("bytes=4-99", Part(4..10)),
            ("bytes=9-9", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("bytes=-0", Impossible),
            ("bytes=10-", Impossible),
            ("bytes=18446744073709551615-", Impossible),
            ("bytes=1-18446744073709551615", Part(1..10)),
            ("bytes=7-4", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0-1,3-4", Whole),
            ("pages=1-2", Whole),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=-5", 0), Impossible);
    }
}
