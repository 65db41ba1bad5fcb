//! A client's connection as Socket.IO packets, over any transport.
//!
//! Every event is sent as a share of its single JSON text with a few bytes around it, many events in one write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signaling_core::{Code, Frame, JsonCodec, Limits, Refusal, RequestId};

use super::event::Event;
use super::transport::Transport;
use super::{ATTACHMENTS, PACKET_BYTES};
use crate::duplex::{Duplex, End, Fault, Received};
use crate::websocket::Incoming;

/// How often clients are told to expect a ping, and how much longer they wait for it. The ping goes out with the first
/// event after [`PING_EVERY`]; there is at least one event per heartbeat, which is 15 seconds.
const PING_EVERY: Duration = Duration::from_secs(25);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// The start of a connection: Engine.IO's open packet.
pub(super) struct Greeting {
    id: String,
    /// Whether the client may change to a WebSocket.
    may_upgrade: bool,
}

impl Greeting {
    /// A greeting with an unguessable id; `None` if the system provides no random bytes.
    pub(super) fn new(may_upgrade: bool) -> Option<Self> {
        Some(Self { id: random_id()?, may_upgrade })
    }

    /// The id of the connection, which also authorizes its polls.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn packet(&self) -> String {
        let upgrades: &[&str] = if self.may_upgrade { &["websocket"] } else { &[] };
        let open = serde_json::json!({
            "sid": self.id,
            "upgrades": upgrades,
            "pingInterval": PING_EVERY.as_millis(),
            "pingTimeout": PING_PATIENCE.as_millis(),
            "maxPayload": PACKET_BYTES,
        });
        format!("0{open}")
    }
}

/// The connection, as packets.
pub(super) struct Link {
    transport: Transport,
    /// Whether the client is in the namespace.
    is_connected: bool,
    /// Attachments of an event that are still to come.
    attachments: usize,
    ping_at: Instant,
}

impl Link {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, is_connected: false, attachments: 0, ping_at: clock::now() + PING_EVERY }
    }

    /// Sends the greeting.
    pub(super) fn greet(&mut self, greeting: &Greeting) {
        self.transport.push(greeting.packet());
    }

    fn send(&mut self, packet: impl Into<String>) {
        self.transport.push(packet.into());
    }

    fn ping_if_due(&mut self) {
        let now = clock::now();
        if now >= self.ping_at {
            self.ping_at = now + PING_EVERY;
            self.send("2");
        }
    }

    /// The next event.
    async fn next(&mut self) -> Result<Event, End> {
        loop {
            match self.transport.recv().await?.map_err(End::Fault)? {
                Incoming::Text(packet) => {
                    if let Some(event) = self.read(packet)? {
                        return Ok(event);
                    }
                }
                Incoming::Binary => {
                    self.attachments = self.attachments.checked_sub(1).ok_or(INVALID_PACKET)?;
                }
                Incoming::Ping(_) | Incoming::Pong => {}
                Incoming::Close(code) => return Err(End::Left(code)),
            }
        }
    }

    /// Takes one packet, and returns it if it is an event.
    fn read(&mut self, text: String) -> Result<Option<Event>, End> {
        let Some(message) = text.strip_prefix('4') else {
            return match text.as_str() {
                // The client's answer to a ping, and the no-op packet.
                "3" | "6" => Ok(None),
                "2" => {
                    self.send("3");
                    Ok(None)
                }
                "1" => Err(End::Left(None)),
                _ => Err(INVALID_PACKET),
            };
        };
        let (kind, rest) = message.split_at_checked(1).ok_or(INVALID_PACKET)?;
        let (attachments, rest) = match kind {
            "5" => rest.split_once('-').ok_or(INVALID_PACKET)?,
            _ => ("0", rest),
        };
        let (namespace, rest) = match rest.strip_prefix('/') {
            Some(named) => named.split_once(',').unwrap_or((named, "")),
            None => ("", rest),
        };
        match kind {
            "0" if namespace.is_empty() => {
                self.is_connected = true;
                let id = random_id().ok_or(End::Refused(Code::Overloaded))?;
                self.send(format!(r#"40{{"sid":"{id}"}}"#));
                Ok(None)
            }
            "0" => {
                // The client knows the namespace by its name without a query.
                let name = namespace.split('?').next().unwrap_or_default();
                let namespace: String = name.chars().filter(|char| !char.is_control()).take(256).collect();
                self.send(format!(r#"44/{namespace},{{"message":"Invalid namespace"}}"#));
                Ok(None)
            }
            _ if !namespace.is_empty() => Ok(None),
            _ if !self.is_connected => Err(INVALID_PACKET),
            "1" => Err(End::Left(None)),
            "2" => {
                let (request, content) = request(rest);
                let start = text.len() - content.len();
                Ok(Some(Event::text(text, start, request)))
            }
            "5" => {
                let attachments = attachments.parse().ok().filter(|count| *count <= ATTACHMENTS);
                self.attachments = attachments.ok_or(INVALID_PACKET)?;
                Ok(Some(Event::binary(request(rest).0)))
            }
            // Acknowledgements that no one requested.
            "3" => Ok(None),
            _ => Err(INVALID_PACKET),
        }
    }
}

/// The end of a connection after an invalid packet.
const INVALID_PACKET: End = End::Fault(Fault::Protocol);

impl Duplex for Link {
    async fn recv(&mut self, codec: &JsonCodec) -> Result<Received, End> {
        let event = self.next().await?;
        Ok(Received { message: event.read(codec), request: event.request })
    }

    /// Sends the frame as the acknowledgement of a request if it answers one, else as an event.
    fn push(&mut self, frame: Arc<Frame>, request: Option<RequestId>) {
        match request {
            None => self.transport.push_event(r#"42["message","#, frame, "]"),
            Some(RequestId(id)) => self.transport.push_event(&format!("43{id}["), frame, "]"),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.ping_if_due();
        Ok(self.transport.flush().await?)
    }

    fn complaint(fault: Fault, limits: &Limits) -> Option<Refusal> {
        Some(match fault {
            Fault::TooLarge => limits.too_large(),
            Fault::Encoding | Fault::Protocol => Refusal::bad_request("not the Socket.IO protocol"),
        })
    }

    async fn close(&mut self, end: End) {
        if end == End::Gone {
            return;
        }
        // The official client reconnects by itself unless it is disconnected.
        if end.is_final() {
            self.send("41");
        }
        // If the client is gone, there is no one to close for.
        let _ = self.transport.close().await;
    }
}

/// The number under which an answer is expected, and the text after it.
fn request(text: &str) -> (Option<RequestId>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, content) = text.split_at_checked(digits).unwrap_or(("", text));
    (number.parse().ok().map(RequestId), content)
}

fn random_id() -> Option<String> {
    let mut bytes = [0; 15];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
