//! Responses that take their connection over, such as event streams.
//!
//! An HTTP/1.1 connection under hyper holds some 24 KiB of buffers and state, which thousands of mostly idle listeners
//! would hold for hours. Such a response therefore takes its connection over: hyper releases it, and only the byte
//! stream and the body are left.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::response::Response;
use bytes::{Buf as _, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::connection_limits::Place;
use super::stream::Stream;

/// An extension of responses whose body ends with the connection. [`Server`](super::Server) hands the connection over
/// to such a response; other servers treat it as any other.
#[derive(Clone, Copy, Debug)]
pub struct Takeover;

/// Where a response that takes its connection over requests and receives it.
#[derive(Default)]
pub(super) struct TakeoverSlot {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    /// The response waits for the connection.
    Asked(Response),
    /// The response has the connection.
    TakenOver(TakenOver),
}

pub(super) struct TakenOver {
    response: Response,
    stream: Stream,
    place: Place,
}

impl TakeoverSlot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests the connection for a response.
    pub(super) fn ask(&self, response: Response) {
        *self.lock() = State::Asked(response);
        self.asked.notify_one();
    }

    /// Waits until a response requests the connection.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// HTTP releases the byte stream, which goes to the response that requested it, if any.
    pub(super) fn offer(&self, stream: Stream, place: Place) {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            State::Asked(response) => *state = State::TakenOver(TakenOver { response, stream, place }),
            other => *state = other,
        }
    }

    /// The response and connection that were taken over, if any.
    pub(super) fn taken_over(&self) -> Option<TakenOver> {
        match std::mem::take(&mut *self.lock()) {
            State::TakenOver(taken_over) => Some(taken_over),
            State::None | State::Asked(_) => None,
        }
    }
}

/// Sends the response, its body in chunks (RFC 9112 section 7.1), until the body ends or the client is gone.
pub(super) async fn send(taken_over: TakenOver) -> io::Result<()> {
    let TakenOver { response, mut stream, place: _place } = taken_over;
    let (parts, mut body) = response.into_parts();
    let head = head(parts.status, &parts.headers);
    drop(parts);
    stream.write_all(&head).await?;
    drop(head);
    loop {
        let mut ignored = [0; 64];
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // Input from the client is too late to matter, except for its end.
            read = stream.read(&mut ignored) => {
                if read? == 0 {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        if !data.is_empty() {
            let size = Bytes::from(format!("{:x}\r\n", data.len()));
            let mut chunk = size.chain(data).chain(&b"\r\n"[..]);
            stream.write_all_buf(&mut chunk).await?;
            stream.flush().await?;
        }
    }
    stream.write_all(b"0\r\n\r\n").await?;
    stream.shutdown().await
}

fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    let mut line = |name: &HeaderName, value: &HeaderValue| {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    };
    for (name, value) in headers {
        // These fields describe the connection, which this code manages.
        if ![CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH].contains(name) {
            line(name, value);
        }
    }
    line(&TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
    line(&CONNECTION, &HeaderValue::from_static("close"));
    if let Some(date) = date() {
        line(&DATE, &date);
    }
    head.extend(b"\r\n");
    head
}

/// The present time in HTTP's format.
fn date() -> Option<HeaderValue> {
    let now = jiff::Timestamp::from_second(clock::wall().as_secs().try_into().ok()?).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    text.try_into().ok()
}
