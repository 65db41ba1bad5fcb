//! The WebSocket transport, `GET /api/v1/ws`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http_api::Caller;
use hyper::upgrade::OnUpgrade;
use signaling_core::{
    CLOSE_SLOW_READER, CloseReason, Code, Frame, JsonCodec, Limits, Refusal, RequestId, Unreadable,
};

pub(crate) use self::frame::Incoming;
pub(crate) use self::socket::Socket;
use crate::duplex::{self, Duplex, End, Fault, Received};
use crate::net::{RawStream, take_over};
use crate::service::Signaling;

mod frame;
pub(crate) mod handshake;
mod socket;

/// The subprotocol that clients request.
pub(crate) const SUBPROTOCOL: &str = "visavis.v1";
/// How long to wait for the other side to close after our close frame has been sent. This is mostly a courtesy: if a
/// connection is dropped with unread data, our close frame may be lost as well.
const CLOSING_HANDSHAKE: Duration = Duration::from_millis(500);

/// A WebSocket over a connection that was upgraded.
pub(crate) type WebSocket = Socket<RawStream>;

/// The WebSocket of an upgrade, with messages of at most `largest` bytes; `None` if the client is gone already.
pub(crate) async fn begin(upgrade: OnUpgrade, largest: usize) -> Option<WebSocket> {
    // Bytes that were read early are a slice of HTTP's buffer, which must not live as long as the connection.
    let (stream, early) = take_over(upgrade).await?;
    Some(Socket::new(stream, &early, largest))
}

pub(crate) async fn upgrade(
    State(signaling): State<Signaling>,
    caller: Caller,
    request: Request,
) -> Response {
    match handshake::accept(request.into_parts().0, SUBPROTOCOL).await {
        Ok((response, upgrade)) => {
            // A message that is slightly too large is read so that it can be answered; the codec refuses it.
            let largest = signaling.limits().signal_bytes + 1024;
            tokio::spawn(async move {
                if let Some(socket) = begin(upgrade, largest).await {
                    duplex::serve(signaling, caller, socket).await;
                }
            });
            response
        }
        Err(refusal) => refusal,
    }
}

impl Duplex for WebSocket {
    async fn recv(&mut self, codec: &JsonCodec) -> Result<Received, End> {
        let message = match Self::recv(self).await.ok_or(End::Gone)?.map_err(End::Fault)? {
            Incoming::Text(text) => codec.decode(text.as_bytes()),
            Incoming::Close(code) => return Err(End::Left(code)),
            // Pings and pongs have been handled already.
            Incoming::Binary | Incoming::Ping(_) | Incoming::Pong => {
                Err(Unreadable { seq: None, refusal: Refusal::bad_request("messages are text") })
            }
        };
        Ok(Received { message, request: None })
    }

    fn push(&mut self, frame: Arc<Frame>, _request: Option<RequestId>) {
        Self::push(self, b"", frame, b"");
    }

    async fn flush(&mut self) -> Result<(), End> {
        Self::flush(self).await.map_err(|_| End::Gone)
    }

    fn complaint(fault: Fault, limits: &Limits) -> Option<Refusal> {
        match fault {
            Fault::TooLarge => Some(limits.too_large()),
            Fault::Encoding => Some(Refusal::bad_request("a message is JSON in UTF-8")),
            Fault::Protocol => None,
        }
    }

    async fn close(&mut self, end: End) {
        if let End::Left(code) = end {
            // The close is echoed to the other side, which is not waited for.
            self.push_close(code, "");
            let _ = Self::flush(self).await;
            return;
        }
        let Some((code, reason)) = close_frame(end) else { return };
        self.push_close(Some(code), reason);
        if Self::flush(self).await.is_ok() {
            let _ = tokio::time::timeout(CLOSING_HANDSHAKE, self.drain()).await;
        }
    }
}

/// The close code and reason for an end that the server initiates.
fn close_frame(end: End) -> Option<(u16, &'static str)> {
    Some(match end {
        End::Gone | End::Left(_) => return None,
        End::Late => (CLOSE_SLOW_READER, "no join or resume in time"),
        End::Fault(Fault::TooLarge) => (4413, Code::TooLarge.as_str()),
        End::Fault(Fault::Encoding) => (1007, "not UTF-8"),
        End::Fault(Fault::Protocol) => (1002, "not the WebSocket protocol"),
        End::Refused(code) => (code.close_code()?, code.as_str()),
        End::Closed(CloseReason::Ended) => (1000, "over"),
        End::Closed(CloseReason::Replaced) => (4409, Code::SessionReplaced.as_str()),
        End::Closed(CloseReason::SlowReader) => (CLOSE_SLOW_READER, "too slow a reader"),
        End::Closed(CloseReason::Silent) => (CLOSE_SLOW_READER, "silent for too long"),
        End::Closed(CloseReason::GoingAway) => (1001, "going away"),
    })
}
