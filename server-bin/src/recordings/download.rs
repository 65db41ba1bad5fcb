//! A recording's file over HTTP: whole, as one range, or not at all if the client already has it (RFC 9110 sections 13
//! and 14).

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use recording::index::Entry;
use recording::store::Store;
use recording::upload::Upload;
use signaling_core::{Code, Refusal};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

/// The part of a file that a request selects.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Impossible,
    /// The client has this exact file.
    Known,
    /// The client requires a different file.
    Other,
}

/// Responds with the file in the folder; `None` if it does not exist.
pub(super) async fn from_folder(
    path: &Path,
    entry: &Entry,
    headers: &HeaderMap,
) -> Result<Option<Response>, Refusal> {
    let unreadable = |error: io::Error| {
        tracing::warn!(recording = %entry.recording, %error, "a recording cannot be read");
        Refusal::new(Code::Internal, "the recording cannot be read")
    };
    let mut file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // From the open file: its name may soon refer to another one.
    let about = file.metadata().await.map_err(unreadable)?;
    let written = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let (size, etag) =
        (about.len(), format!("\"{}-{:x}-{:x}\"", entry.recording, about.len(), written.as_nanos()));
    let wanted = wanted(headers, &etag, size);
    let body = match part_of(&wanted, size) {
        Some(part) => {
            file.seek(SeekFrom::Start(part.start)).await.map_err(unreadable)?;
            Body::from_stream(ReaderStream::new(file.take(part.end - part.start)))
        }
        None => Body::empty(),
    };
    Ok(Some(answer(&wanted, &etag, size, body)))
}

/// Responds with the object in the store.
pub(super) async fn from_store(
    store: &Store,
    entry: &Entry,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let gone = || Refusal::new(Code::NotFound, "the recording's file is gone");
    let Some(Upload::Stored { object }) = &entry.upload else { return Err(gone()) };
    // Stored objects do not change.
    let (size, etag) = (entry.bytes, format!("\"{}-{:x}-stored\"", entry.recording, entry.bytes));
    let wanted = wanted(headers, &etag, size);
    let body = match part_of(&wanted, size) {
        Some(part) => {
            let bytes = store.read(object, part).await.map_err(|error| {
                tracing::warn!(recording = %entry.recording, %error, "a recording cannot be read from object storage");
                Refusal::new(Code::Overloaded, "object storage does not answer at present")
            })?;
            Body::from_stream(bytes.ok_or_else(gone)?)
        }
        None => Body::empty(),
    };
    Ok(answer(&wanted, &etag, size, body))
}

fn part_of(wanted: &Wanted, size: u64) -> Option<Range<u64>> {
    match wanted {
        Wanted::Whole => Some(0..size),
        Wanted::Part(range) => Some(range.clone()),
        Wanted::Impossible | Wanted::Known | Wanted::Other => None,
    }
}

fn answer(wanted: &Wanted, etag: &str, size: u64, body: Body) -> Response {
    let status = match wanted {
        Wanted::Whole => StatusCode::OK,
        Wanted::Part(_) => StatusCode::PARTIAL_CONTENT,
        Wanted::Impossible => StatusCode::RANGE_NOT_SATISFIABLE,
        Wanted::Known => StatusCode::NOT_MODIFIED,
        Wanted::Other => StatusCode::PRECONDITION_FAILED,
    };
    let mut answer = (status, body).into_response();
    let headers = answer.headers_mut();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(ACCEPT_RANGES, "bytes");
    put(ETAG, etag);
    match wanted {
        Wanted::Part(range) => {
            put(CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
            put(CONTENT_LENGTH, &(range.end - range.start).to_string());
        }
        Wanted::Impossible => put(CONTENT_RANGE, &format!("bytes */{size}")),
        Wanted::Whole => put(CONTENT_LENGTH, &size.to_string()),
        Wanted::Known | Wanted::Other => {}
    }
    answer
}

/// In the order of RFC 9110 section 13.2.2. No date is sent, so a date in a request cannot be one of this file.
fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    let has = |name, is_own: &dyn Fn(&str) -> bool| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || is_own(tag))
    };
    if headers.contains_key(IF_MATCH) && !has(IF_MATCH, &|tag| tag == etag) {
        return Wanted::Other;
    }
    if has(IF_NONE_MATCH, &|tag| tag.trim_start_matches("W/") == etag) {
        return Wanted::Known;
    }
    // Part of a different file would be appended to what the client has.
    if headers.get(IF_RANGE).is_some_and(|validator| validator.as_bytes() != etag.as_bytes()) {
        return Wanted::Whole;
    }
    let ranges = headers.get(RANGE).and_then(|value| value.to_str().ok());
    ranges.map_or(Wanted::Whole, |ranges| parse(ranges, size))
}

/// Several ranges and invalid ranges are answered with the whole file.
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

    #[test]
    fn a_range_of_another_file_is_none() {
        let of = |fields: &[(HeaderName, &str)]| {
            let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            wanted(&headers, "\"a\"", 10)
        };
        let range = (RANGE, "bytes=4-");
        assert_eq!(of(&[range.clone(), (IF_RANGE, "\"a\"")]), Wanted::Part(4..10));
        for other in ["\"b\"", "W/\"a\"", "Mon, 30 Nov 2026 01:00:00 GMT", ""] {
            assert_eq!(of(&[range.clone(), (IF_RANGE, other)]), Wanted::Whole, "{other}");
        }
        assert_eq!(of(&[range.clone(), (IF_MATCH, "\"b\", \"c\"")]), Wanted::Other);
        assert_eq!(of(&[range.clone(), (IF_MATCH, "\"b\", \"a\"")]), Wanted::Part(4..10));
        assert_eq!(of(&[range, (IF_NONE_MATCH, "W/\"a\"")]), Wanted::Known);
    }
}
