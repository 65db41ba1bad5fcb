//! `GET /api/v1/sessions/{session}/events`: the events of a session, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_api::Problem;
use http_body::Frame as BodyFrame;
use serde::Deserialize;
use signaling_core::message::Reply;
use signaling_core::{CloseReason, Code, Frame, Refusal, StreamRefusal};

use super::credentials::session_claims;
use crate::driver::{Batch, Next, Opened};
use crate::net::Takeover;
use crate::service::Signaling;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The last id of a stream that was taken over, which identifies its reconnection.
const REPLACED_ID: &str = "replaced";

#[derive(Deserialize)]
pub(super) struct Asked {
    ticket: Option<String>,
}

pub(super) async fn open(
    State(signaling): State<Signaling>,
    method: Method,
    headers: HeaderMap,
    Path(session): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Asked { ticket }) = asked.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let claims = match &ticket {
        Some(_) if method == Method::HEAD => {
            return Err(Refusal::bad_request("a ticket is for one stream, and not to look at it").into());
        }
        Some(ticket) => {
            let claims = signaling.redeem(ticket)?;
            if claims.session.as_str() != session {
                return Err(Refusal::new(Code::Unauthorized, "the ticket is for another session").into());
            }
            claims
        }
        None => session_claims(&signaling, &headers, &session)?,
    };
    if method == Method::HEAD {
        // A mere probe must not take the stream from its reader.
        return Ok(as_stream(Body::empty()));
    }
    let last_id = match headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes) {
        None | Some(b"") => None,
        // 204 tells an event stream not to reconnect.
        Some(id) if id == REPLACED_ID.as_bytes() => return Ok(StatusCode::NO_CONTENT.into_response()),
        Some(id) => {
            let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Refusal::bad_request("`Last-Event-ID` is the number of an event"))?)
        }
    };
    let opened = match signaling.hub().attach(claims, last_id).await {
        Ok(opened) => opened,
        Err(StreamRefusal::Replaced) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Err(StreamRefusal::Refused(refusal)) => return Err(refusal.into()),
    };
    let mut response = as_stream(Body::new(EventStream::new(signaling, opened)));
    response.extensions_mut().insert(Takeover);
    Ok(response)
}

fn as_stream(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The body of the response.
struct EventStream {
    signaling: Signaling,
    opened: Opened,
    batch: Batch,
    state: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been sent yet.
    New,
    Open,
    Ended,
}

impl EventStream {
    fn new(signaling: Signaling, opened: Opened) -> Self {
        Self { signaling, opened, batch: Batch::new(), state: Phase::New }
    }

    fn write_reply(&self, reply: &Reply, to: &mut BytesMut) {
        write_event(&self.signaling.codec().encode_reply(reply), to);
    }
}

/// Writes one event: its id, if it has one, and its JSON, which has a single line.
fn write_event(frame: &Frame, to: &mut BytesMut) {
    if let Some(id) = frame.id {
        to.put_slice(format!("id: {id}\n").as_bytes());
    }
    to.put_slice(b"data: ");
    to.put_slice(&frame.json);
    to.put_slice(b"\n\n");
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut text = BytesMut::new();
        match this.state {
            Phase::Ended => return Poll::Ready(None),
            Phase::New => {
                // Sends something at once, so that proxies and clients see that the stream works.
                text.put_slice(b"retry: 1000\n");
                this.write_reply(&Reply::Ping, &mut text);
                this.state = Phase::Open;
            }
            Phase::Open => match this.opened.inbox.poll_next(cx, &mut this.batch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => {
                    for (frame, _) in std::mem::take(&mut this.batch) {
                        write_event(&frame, &mut text);
                    }
                    match next {
                        Next::Frames => {
                            if this.opened.inbox.was_full() {
                                this.signaling.hub().writable(&this.opened.seat, this.opened.connection);
                            }
                        }
                        Next::Close(reason) => {
                            this.state = Phase::Ended;
                            if reason == CloseReason::Replaced {
                                let message = "another connection took the session over";
                                let refusal = Refusal::new(Code::SessionReplaced, message);
                                this.write_reply(&Reply::error(&refusal, None), &mut text);
                                text.put_slice(format!("id: {REPLACED_ID}\n\n").as_bytes());
                            }
                        }
                    }
                }
            },
        }
        Poll::Ready(Some(Ok(BodyFrame::data(text.freeze()))))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.signaling.hub().detach(&self.opened.seat, self.opened.connection);
    }
}
