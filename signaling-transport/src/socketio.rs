//! `/socket.io/`: the protocol's messages as Socket.IO events called `message`, in the namespace `/`.
//!
//! Clients that begin with a WebSocket are served by [`direct`]. For those who poll, or change from that to a WebSocket, there
//! is a library. It calls back for every packet and does not wait, so what comes in lies in a queue with bounds; what goes
//! out waits here until the library's buffer has room.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::value::RawValue;
use signaling_core::message::Reply;
use signaling_core::{CloseReason, Code, Envelope, Refusal, RequestId, Unreadable};
use socketioxide::extract::AckSender;
use socketioxide::handler::{ConnectHandler as _, FromMessageParts as _, Value};
use socketioxide::socket::Socket;
use socketioxide::{ParserConfig, SendError, SocketError, SocketIo};

use self::intake::{Handle, Packet, Queue, Stop, Watch, intake};
use crate::caller::Caller;
use crate::driver::{self, Batch, Opened};
use crate::opening::{FAREWELL, FIRST_MESSAGE, first_message};
use crate::service::Signaling;

mod direct;
mod intake;

/// The one event's name, both ways.
const EVENT: &str = "message";
/// Packets that may lie between us and the socket; what lies behind them stays in the mailbox and the room's log. A
/// heartbeat that finds no room ends the connection, so there are more than a mailbox holds.
const PACKETS: usize = 128;
/// Attachments that one event may have. None is wanted, but that is for an answer, not for the end of the connection.
const ATTACHMENTS: usize = 10;
/// The largest packet that is read, so that it can be answered; the codec's limits are lower.
const PACKET_BYTES: usize = 1024 * 1024;
/// The first and the longest pause before another try when the library's buffer is full: there is no way to be told.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// Of a request's headers, those that the library and we look at.
const NEEDED_HEADERS: [HeaderName; 9] = [
    HOST,
    ORIGIN,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING,
];

/// The routes of the transport.
pub(crate) fn routes(signaling: &Signaling) -> Router<Signaling> {
    let parser =
        ParserConfig::common().max_incoming_binaries(ATTACHMENTS).max_incoming_binary_buf_size(PACKET_BYTES);
    let (service, io) = SocketIo::builder()
        .with_parser(parser)
        .connect_timeout(FIRST_MESSAGE)
        .max_buffer_size(PACKETS)
        .max_payload(PACKET_BYTES as u64)
        .ws_read_buffer_size(1024)
        .ws_max_message_size(PACKET_BYTES)
        .ws_max_frame_size(PACKET_BYTES)
        .build_svc();
    let handled = signaling.clone();
    // The handlers stand before the client hears that it is connected, so that nothing it says is missed.
    let prepare = move |Handle(socket): Handle| {
        begin(handled.clone(), socket);
        std::future::ready(Ok::<(), Infallible>(()))
    };
    io.ns("/", (async || {}).with(prepare));
    // Clients ask for the path with the slash, unless they are told not to.
    Router::new()
        .route_service("/socket.io/", service.clone())
        .route_service("/socket.io", service)
        .layer(axum::middleware::from_fn_with_state(signaling.clone(), choose))
}

/// A client that begins with a WebSocket needs no library; long polling, and the change from it, do.
async fn choose(State(signaling): State<Signaling>, request: Request, next: Next) -> Response {
    if direct::is_asked_for(&request) {
        direct::accept(signaling, request).await
    } else {
        next.run(own_head(request)).await
    }
}

/// The library keeps the request's head for as long as the connection lives, and headers are slices of what was read: a
/// copy of what is needed keeps the connection's read buffer from living as long.
fn own_head(mut request: Request) -> Request {
    let needed = request.headers().iter().filter(|(name, _)| NEEDED_HEADERS.contains(name));
    let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes());
    let headers: Vec<_> =
        needed.filter_map(|(name, value)| Some((name.clone(), copy(value).ok()?))).collect();
    let headers: HeaderMap = headers.into_iter().collect();
    *request.headers_mut() = headers;
    if let Ok(uri) = request.uri().to_string().parse() {
        *request.uri_mut() = uri;
    }
    request
}

fn begin(signaling: Signaling, socket: Arc<Socket>) {
    let (intake, queue) = intake();
    socket.on(EVENT, intake.clone());
    socket.on_disconnect(intake);
    let link = Link { socket, watch: queue.watch() };
    tokio::spawn(async move { Connection { signaling, link, queue }.serve().await });
}

/// How a connection ends.
enum End {
    /// The other side is gone.
    Gone,
    /// We let it go.
    Close,
    /// We let it go and say why.
    Refuse(Refusal),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Disconnected => Self::Gone,
            Stop::Flooded => {
                Self::Refuse(Refusal::new(Code::Overloaded, "messages come faster than they can be taken"))
            }
        }
    }
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Replaced => {
                Self::Refuse(Refusal::new(Code::SessionReplaced, "another connection took the session over"))
            }
            CloseReason::Ended | CloseReason::SlowReader | CloseReason::Silent | CloseReason::GoingAway => {
                Self::Close
            }
        }
    }
}

struct Connection {
    signaling: Signaling,
    link: Link,
    queue: Queue,
}

impl Connection {
    async fn serve(mut self) {
        // What opening needs is large and short-lived: it must not make every connection's task as large.
        let opened = Box::pin(tokio::time::timeout(FIRST_MESSAGE, self.open())).await;
        let end = match opened {
            Ok(Ok(mut opened)) => {
                let mut end = self.run(&mut opened).await;
                // What was said before a disconnect counts, also when an answer did not get through any more.
                while let (End::Gone, Some(packet)) = (&end, self.queue.left()) {
                    end = self.take(&opened, &packet).await.err().unwrap_or(End::Gone);
                }
                self.signaling.hub().detach(&opened.seat, opened.connection);
                end
            }
            Ok(Err(end)) => end,
            Err(_) => End::Close,
        };
        // Whoever does not take the last word by then has none; the heartbeat ends what is left.
        let _ = tokio::time::timeout(FAREWELL, Box::pin(self.close(end))).await;
    }

    async fn close(&self, end: End) {
        match end {
            End::Gone => return,
            End::Close => {}
            // Who is gone does not hear it.
            End::Refuse(refusal) => drop(self.say(&refusal, None, None).await),
        }
        self.link.disconnect().await;
    }

    /// Reads on until a join or resume succeeds.
    async fn open(&mut self) -> Result<Opened, End> {
        let caller = Caller::of(self.link.socket.req_parts());
        loop {
            let packet = self.queue.next().await?;
            let (seq, asked) = match packet.read(self.signaling.codec()) {
                Ok(Envelope { seq, message }) => {
                    (seq, first_message(&self.signaling, &caller, message, packet.request).await)
                }
                Err(Unreadable { seq, refusal }) => (seq, Err(refusal)),
            };
            match asked {
                Ok(opened) => return Ok(opened),
                Err(refusal) => self.refuse(&refusal, seq, packet.request).await?,
            }
        }
    }

    async fn run(&mut self, opened: &mut Opened) -> End {
        let mut batch = Batch::new();
        loop {
            let done = tokio::select! {
                biased;
                next = opened.inbox.next(&mut batch) => {
                    let written = self.write(opened, &mut batch, next).await;
                    batch.shrink_to(4);
                    written
                }
                packet = self.queue.next() => match packet {
                    Ok(packet) => self.take(opened, &packet).await,
                    Err(stop) => Err(stop.into()),
                },
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn take(&self, opened: &Opened, packet: &Packet) -> Result<(), End> {
        let message = packet.read(self.signaling.codec());
        if let Err(Unreadable { seq, refusal }) = &message
            && refusal.code.close_code().is_some()
        {
            return self.refuse(refusal, *seq, packet.request).await;
        }
        let sent = self.signaling.hub().receive(opened, message, packet.request).await;
        sent.map_err(|stopped| End::Refuse(stopped.into()))
    }

    /// Answers with an error, and ends the connection if it is one of those that do.
    async fn refuse(
        &self,
        refusal: &Refusal,
        seq: Option<u64>,
        request: Option<RequestId>,
    ) -> Result<(), End> {
        self.say(refusal, seq, request).await?;
        match refusal.code.close_code() {
            Some(_) => Err(End::Close),
            None => Ok(()),
        }
    }

    async fn say(&self, refusal: &Refusal, seq: Option<u64>, request: Option<RequestId>) -> Result<(), End> {
        let frame = self.signaling.codec().encode_reply(&Reply::error(refusal, seq));
        self.link.send(&frame.json, request).await
    }

    /// Writes a batch out. Whoever does not read holds it up; the shard's patience then ends the wait.
    async fn write(&self, opened: &mut Opened, batch: &mut Batch, next: driver::Next) -> Result<(), End> {
        let mut writing = std::pin::pin!(async {
            for (frame, request) in batch.drain(..) {
                self.link.send(&frame.json, request).await?;
            }
            Ok(())
        });
        let reason = match next {
            driver::Next::Frames => tokio::select! {
                biased;
                written = &mut writing => {
                    written?;
                    if opened.inbox.was_full() {
                        self.signaling.hub().writable(&opened.seat, opened.connection);
                    }
                    return Ok(());
                }
                reason = opened.inbox.closed() => reason,
            },
            driver::Next::Close(reason) => reason,
        };
        // What a session missed is sent again when it resumes; only an end and a farewell are not.
        if matches!(reason, CloseReason::Ended | CloseReason::GoingAway) {
            tokio::time::timeout(FAREWELL, writing).await.unwrap_or(Err(End::Gone))?;
        }
        Err(reason.into())
    }
}

/// The way out.
struct Link {
    socket: Arc<Socket>,
    watch: Watch,
}

impl Link {
    /// Sends a frame, as the acknowledgement of a request if it answers one, once there is room for it.
    async fn send(&self, json: &[u8], request: Option<RequestId>) -> Result<(), End> {
        let json: &RawValue = serde_json::from_slice(json).map_err(|_| End::Close)?;
        let request = request.and_then(|RequestId(id)| i64::try_from(id).ok());
        self.retry(|| match request {
            Some(_) => {
                let mut unused = Value::Bytes(bytes::Bytes::new());
                let Ok(ack) = AckSender::from_message_parts(&self.socket, &mut unused, &request);
                ack.send(json)
            }
            None => self.socket.emit(EVENT, json),
        })
        .await
    }

    /// Takes leave of the client.
    async fn disconnect(&self) {
        // Who is gone needs none.
        let _ = self.retry(|| Ok(Arc::clone(&self.socket).disconnect()?)).await;
    }

    async fn retry(&self, attempt: impl Fn() -> Result<(), SendError>) -> Result<(), End> {
        let (mut pause, longest) = PAUSES;
        loop {
            match attempt() {
                Ok(()) => return Ok(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {}
                // The client may speak a moment before the library has noted that it is connected.
                Err(SendError::Socket(SocketError::Closed)) if self.watch.stopped().is_none() => {}
                Err(_) => return Err(End::Gone),
            }
            if self.watch.stopped() == Some(Stop::Disconnected) {
                return Err(End::Gone);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}
