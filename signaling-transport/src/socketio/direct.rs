//! Socket.IO over a WebSocket from the first byte on: Engine.IO protocol 4, Socket.IO protocol 5, the namespace `/`.
//!
//! Every event goes out as a share of its one JSON text with a few bytes around it, many in one write.

use std::time::Duration;

use ::http::Method;
use aws_lc_rs::rand;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use signaling_core::message::Reply;
use signaling_core::{CloseReason, Envelope, Refusal, RequestId, Unreadable};
use tokio::time::Instant;

use super::intake::Packet;
use super::{ATTACHMENTS, End, PACKET_BYTES};
use crate::caller::Caller;
use crate::driver::{Batch, Next, Opened};
use crate::opening::{FAREWELL, FIRST_MESSAGE, first_message};
use crate::service::Signaling;
use crate::websocket::{Incoming, SUBPROTOCOL, Socket, WebSocket, handshake};

/// How often clients are told to expect a sign of life, and how much longer they wait for it. It goes out with the first
/// event after [`PING_EVERY`]; there is one at least every heartbeat, which is 15 seconds.
const PING_EVERY: Duration = Duration::from_secs(25);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Whether the request opens a WebSocket that was not polling before.
pub(super) fn is_asked_for(request: &Request) -> bool {
    let has = |start: &str| {
        request.uri().query().unwrap_or_default().split('&').any(|parameter| parameter.starts_with(start))
    };
    request.method() == Method::GET && has("EIO=4") && has("transport=websocket") && !has("sid=")
}

pub(super) async fn accept(signaling: Signaling, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = Caller::of(&parts);
    match handshake::accept(parts, SUBPROTOCOL).await {
        Ok((response, upgrade)) => {
            tokio::spawn(serve(signaling, caller, upgrade));
            response
        }
        Err(refusal) => refusal,
    }
}

async fn serve(signaling: Signaling, caller: Caller, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut link = Link::new(Socket::new(TokioIo::new(upgraded), PACKET_BYTES));
    // What opening and closing need is large and short-lived: it must not make every connection's task as large.
    let opened = Box::pin(tokio::time::timeout(FIRST_MESSAGE, open(&signaling, caller, &mut link))).await;
    let end = match opened {
        Ok(Ok(mut opened)) => {
            let end = run(&signaling, &mut link, &mut opened).await;
            signaling.hub().detach(&opened.seat, opened.connection);
            end
        }
        Ok(Err(end)) => end,
        Err(_) => End::Close,
    };
    Box::pin(close(&signaling, &mut link, end)).await;
}

async fn close(signaling: &Signaling, link: &mut Link, end: End) {
    match end {
        End::Gone => return,
        End::Close => {}
        End::Refuse(refusal) => link.say(signaling, &refusal, None, None),
    }
    link.send("41".to_owned());
    link.socket.push_close(Some(1000), "");
    // Whoever does not take the last word by then has none.
    if let Ok(Ok(())) = tokio::time::timeout(FAREWELL, link.socket.flush()).await {
        let _ = tokio::time::timeout(FAREWELL, link.socket.drain()).await;
    }
}

/// Reads on until a join or resume succeeds.
async fn open(signaling: &Signaling, caller: Caller, link: &mut Link) -> Result<Opened, End> {
    link.greet();
    loop {
        let packet = link.next().await?;
        let (seq, asked) = match packet.read(signaling.codec()) {
            Ok(Envelope { seq, message }) => {
                (seq, first_message(signaling, &caller, message, packet.request).await)
            }
            Err(Unreadable { seq, refusal }) => (seq, Err(refusal)),
        };
        match asked {
            Ok(opened) => return Ok(opened),
            Err(refusal) => link.refuse(signaling, &refusal, seq, packet.request)?,
        }
    }
}

async fn run(signaling: &Signaling, link: &mut Link, opened: &mut Opened) -> End {
    let mut batch = Batch::new();
    loop {
        let done = tokio::select! {
            biased;
            next = opened.inbox.next(&mut batch) => {
                let written = write(signaling, link, opened, &mut batch, next).await;
                batch.shrink_to(4);
                written
            }
            packet = link.next() => match packet {
                Ok(packet) => take(signaling, link, opened, &packet).await,
                Err(end) => Err(end),
            },
        };
        if let Err(end) = done {
            return end;
        }
    }
}

async fn take(signaling: &Signaling, link: &mut Link, opened: &Opened, packet: &Packet) -> Result<(), End> {
    let message = packet.read(signaling.codec());
    if let Err(Unreadable { seq, refusal }) = &message
        && refusal.code.close_code().is_some()
    {
        return link.refuse(signaling, refusal, *seq, packet.request);
    }
    let sent = signaling.hub().receive(opened, message, packet.request).await;
    sent.map_err(|stopped| End::Refuse(stopped.into()))
}

/// Writes a batch out. Whoever does not read holds it up; the shard's patience then ends the wait.
async fn write(
    signaling: &Signaling,
    link: &mut Link,
    opened: &mut Opened,
    batch: &mut Batch,
    next: Next,
) -> Result<(), End> {
    for (frame, request) in batch.drain(..) {
        link.deliver(frame.json.clone(), request);
    }
    link.ping_if_due();
    let reason = match next {
        Next::Frames => tokio::select! {
            biased;
            written = link.socket.flush() => {
                written.map_err(|_| End::Gone)?;
                if opened.inbox.was_full() {
                    signaling.hub().writable(&opened.seat, opened.connection);
                }
                return Ok(());
            }
            reason = opened.inbox.closed() => reason,
        },
        Next::Close(reason) => reason,
    };
    // What was laid out is still written before the last word.
    Err(match reason {
        CloseReason::SlowReader | CloseReason::Silent => End::Close,
        other => other.into(),
    })
}

/// The connection, as packets.
struct Link {
    socket: WebSocket,
    /// Whether the client is in the namespace.
    is_connected: bool,
    /// Attachments of an event that are still to come.
    attachments: usize,
    ping_at: Instant,
}

impl Link {
    fn new(socket: WebSocket) -> Self {
        Self { socket, is_connected: false, attachments: 0, ping_at: Instant::now() + PING_EVERY }
    }

    /// Engine.IO's open packet.
    fn greet(&mut self) {
        let open = serde_json::json!({
            "sid": random_id(),
            "upgrades": [],
            "pingInterval": PING_EVERY.as_millis(),
            "pingTimeout": PING_PATIENCE.as_millis(),
            "maxPayload": PACKET_BYTES,
        });
        self.send(format!("0{open}"));
    }

    fn send(&mut self, packet: String) {
        self.socket.push_text(packet.into());
    }

    /// Lays out a frame: as the acknowledgement of a request if it answers one, else as an event.
    fn deliver(&mut self, json: bytes::Bytes, request: Option<RequestId>) {
        match request {
            None => self.socket.push_wrapped(br#"42["message","#, json, b"]"),
            Some(RequestId(id)) => self.socket.push_wrapped(format!("43{id}[").as_bytes(), json, b"]"),
        }
    }

    fn ping_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.ping_at {
            self.ping_at = now + PING_EVERY;
            self.send("2".to_owned());
        }
    }

    fn say(
        &mut self,
        signaling: &Signaling,
        refusal: &Refusal,
        seq: Option<u64>,
        request: Option<RequestId>,
    ) {
        self.deliver(signaling.codec().encode_reply(&Reply::error(refusal, seq)).json, request);
    }

    /// Answers with an error, and ends the connection if it is one of those that do.
    fn refuse(
        &mut self,
        signaling: &Signaling,
        refusal: &Refusal,
        seq: Option<u64>,
        request: Option<RequestId>,
    ) -> Result<(), End> {
        self.say(signaling, refusal, seq, request);
        if refusal.code.close_code().is_some() { Err(End::Close) } else { Ok(()) }
    }

    /// The next event. What was laid out is written while it is awaited.
    async fn next(&mut self) -> Result<Packet, End> {
        loop {
            match self.socket.recv().await {
                Some(Ok(Incoming::Text(text))) => {
                    if let Some(packet) = self.read(text)? {
                        return Ok(packet);
                    }
                }
                Some(Ok(Incoming::Binary)) => {
                    self.attachments = self.attachments.checked_sub(1).ok_or(End::Close)?;
                }
                Some(Ok(Incoming::Ping(_) | Incoming::Pong)) => {}
                Some(Ok(Incoming::Close(_))) | None => return Err(End::Gone),
                Some(Err(_)) => return Err(End::Close),
            }
        }
    }

    /// Takes one packet; gives it if it is an event.
    fn read(&mut self, mut text: String) -> Result<Option<Packet>, End> {
        let Some(message) = text.strip_prefix('4') else {
            return match text.as_str() {
                // Their answer to a ping, and a packet that says nothing.
                "3" | "6" => Ok(None),
                "2" => {
                    self.send("3".to_owned());
                    Ok(None)
                }
                "1" => Err(End::Gone),
                _ => Err(End::Close),
            };
        };
        let Some((kind, rest)) = message.split_at_checked(1) else { return Err(End::Close) };
        let (namespace, rest) = match rest.strip_prefix('/') {
            Some(named) => named.split_once(',').unwrap_or((named, "")),
            None => ("", rest),
        };
        match kind {
            "0" if namespace.is_empty() => {
                self.is_connected = true;
                self.send(format!(r#"40{{"sid":"{}"}}"#, random_id()));
                Ok(None)
            }
            "0" => {
                let namespace: String =
                    namespace.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                self.send(format!(r#"44/{namespace},{{"message":"Invalid namespace"}}"#));
                Ok(None)
            }
            _ if !namespace.is_empty() => Ok(None),
            _ if !self.is_connected => Err(End::Close),
            "1" => Err(End::Gone),
            "2" => {
                let (request, content) = request(rest);
                let before = text.len() - content.len();
                text.drain(..before);
                Ok(Some(Packet::text(text, request)))
            }
            "5" => {
                let (attachments, rest) = rest.split_once('-').ok_or(End::Close)?;
                let attachments = attachments.parse().ok().filter(|count| *count <= ATTACHMENTS);
                self.attachments = attachments.ok_or(End::Close)?;
                Ok(Some(Packet::binary(request(rest).0)))
            }
            // Acknowledgements of what nobody asked for.
            "3" => Ok(None),
            _ => Err(End::Close),
        }
    }
}

/// The number under which an answer is awaited, and what follows it.
fn request(text: &str) -> (Option<RequestId>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, content) = text.split_at_checked(digits).unwrap_or(("", text));
    (number.parse().ok().map(RequestId), content)
}

fn random_id() -> String {
    let mut bytes = [0; 15];
    // Names a connection and opens nothing; should there be no randomness, nothing else works either.
    let _ = rand::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
