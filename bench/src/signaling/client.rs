//! One client: its connection and its state.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use socket2::{Domain, Protocol, Socket, Type};

use super::server::Kind;
use super::wire::{self, Stamp};

/// The client's identity, received in its welcome.
#[derive(Deserialize)]
pub(super) struct Session {
    #[serde(rename = "session")]
    pub(super) id: String,
    pub(super) secret: String,
    #[serde(rename = "lastId")]
    pub(super) last_id: u64,
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No connection.
    Away,
    /// The request has been sent.
    Requested,
    /// Waiting for the first Engine.IO packet.
    Opening,
    /// Waiting for the Socket.IO namespace.
    Connecting,
    /// Waiting for the welcome.
    Asked,
    /// Receiving events.
    Joined,
}

/// The type of an event.
pub(super) enum Event {
    Chat(Stamp),
    /// The server requests a heartbeat.
    Ping,
}

pub(super) struct Client {
    kind: Kind,
    address: SocketAddr,
    /// The source address: the server limits connections by address.
    from: Ipv4Addr,
    pub(super) room: String,
    pub(super) stage: Stage,
    pub(super) stream: Option<TcpStream>,
    pub(super) session: Option<Session>,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    /// The kernel's receive buffer in bytes; the default if `None`.
    pub(super) receive_buffer: Option<usize>,
}

/// The Socket.IO framing around an event.
const EVENT_HEAD: &[u8] = br#"42["message","#;

impl Client {
    pub(super) fn new(kind: Kind, address: SocketAddr, from: Ipv4Addr, room: String) -> Self {
        let stage = Stage::Away;
        Self {
            kind,
            address,
            from,
            room,
            stage,
            stream: None,
            session: None,
            partial: Vec::new(),
            receive_buffer: None,
        }
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        connect(self.address, self.from, self.receive_buffer)
    }

    /// Connects, and joins, or resumes if there is a session.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        if self.kind == Kind::Sse && self.session.is_none() {
            self.session = Some(self.join_by_post()?);
        }
        let path = match (self.kind, &self.session) {
            (Kind::Floor, _) => format!("/ws?room={}", self.room),
            (Kind::Websocket | Kind::WebsocketUnkept, _) => "/api/v1/ws".to_owned(),
            (kind, _) if kind.is_socketio() => "/socket.io/?EIO=4&transport=websocket".to_owned(),
            (Kind::Sse, Some(session)) => format!("/api/v1/sessions/{}/events", session.id),
            _ => bail!("no session"),
        };
        let headers = match &self.session {
            Some(session) if self.kind == Kind::Sse => {
                let Session { secret, last_id, .. } = session;
                format!("Authorization: Bearer {secret}\r\nLast-Event-ID: {last_id}\r\n")
            }
            _ => {
                let protocol = if self.kind == Kind::Websocket { "visavis.v1" } else { "" };
                let protocol = if protocol.is_empty() {
                    String::new()
                } else {
                    format!("Sec-WebSocket-Protocol: {protocol}\r\n")
                };
                format!(
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}"
                )
            }
        };
        let mut stream = self.connect()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address)?;
        stream.set_nonblocking(true)?;
        self.stream = Some(stream);
        self.stage = Stage::Requested;
        Ok(())
    }

    fn join_by_post(&self) -> anyhow::Result<Session> {
        let mut stream = self.connect()?;
        let (address, body) = (self.address, self.join_message());
        write!(
            stream,
            "POST /api/v1/sessions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = wire::head(&answer).context("no answer to a join")?;
        let body = answer.get(head.end..).unwrap_or_default();
        serde_json::from_slice(body).with_context(|| String::from_utf8_lossy(&answer).into_owned())
    }

    fn join_message(&self) -> String {
        format!(r#"{{"type":"join","room":"{}","name":"load","topology":"mesh"}}"#, self.room)
    }

    fn first_message(&self) -> String {
        match &self.session {
            Some(Session { id, secret, last_id }) => {
                format!(r#"{{"type":"resume","session":"{id}","secret":"{secret}","lastId":{last_id}}}"#)
            }
            None => self.join_message(),
        }
    }

    /// Drops the connection without closing it.
    pub(super) fn drop_connection(&mut self) {
        self.stream = None;
        self.partial.clear();
        self.stage = Stage::Away;
    }

    /// Sends a message, on bidirectional transports.
    pub(super) fn send(&mut self, message: &str) -> anyhow::Result<()> {
        match self.kind {
            Kind::Socketio | Kind::Node | Kind::Bare => {
                self.send_text(&format!(r#"42["message",{message}]"#))
            }
            Kind::Floor | Kind::Websocket | Kind::WebsocketUnkept => self.send_text(message),
            Kind::Sse => bail!("an event stream goes one way"),
        }
    }

    fn send_text(&mut self, text: &str) -> anyhow::Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        stream.write_all(&wire::text_frame(text.as_bytes())).context("the server does not read")
    }

    /// Receives what has arrived into `buffer`; returns whether the connection still exists.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(Event)) -> anyhow::Result<bool> {
        let Some(stream) = self.stream.as_mut() else { return Ok(false) };
        let length = match stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let read = buffer.get(..length).unwrap_or_default();
        if self.partial.is_empty() {
            let taken = self.take(read, &mut each)?;
            self.partial.extend_from_slice(read.get(taken..).unwrap_or_default());
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(read);
            let taken = self.take(&whole, &mut each)?;
            whole.drain(..taken);
            self.partial = whole;
        }
        Ok(true)
    }

    /// Processes complete frames; returns their number of bytes.
    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Event)) -> anyhow::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let piece = match (self.stage, self.kind) {
                (Stage::Requested, _) => wire::head(rest),
                (_, Kind::Sse) => wire::chunk(rest),
                _ => wire::frame(rest),
            };
            let Some(piece) = piece else { return Ok(taken) };
            let content = rest.get(piece.content).unwrap_or_default();
            taken += piece.end;
            match (self.stage, self.kind) {
                (Stage::Requested, _) => self.answered(content)?,
                (_, Kind::Sse) => {
                    for line in content.split(|byte| *byte == b'\n') {
                        if let Some(event) = line.strip_prefix(b"data: ") {
                            self.event(event, each)?;
                        }
                    }
                }
                _ if piece.opcode == wire::CLOSE => return Ok(taken),
                _ => self.text(content, each)?,
            }
        }
    }

    fn answered(&mut self, head: &[u8]) -> anyhow::Result<()> {
        let expected: &[u8] = if self.kind == Kind::Sse { b"HTTP/1.1 200" } else { b"HTTP/1.1 101" };
        ensure!(head.starts_with(expected), "{}", String::from_utf8_lossy(head));
        self.stage = match self.kind {
            Kind::Floor | Kind::Sse => Stage::Joined,
            Kind::Socketio | Kind::Node | Kind::Bare => Stage::Opening,
            Kind::Websocket | Kind::WebsocketUnkept => {
                let message = self.first_message();
                self.send_text(&message)?;
                Stage::Asked
            }
        };
        Ok(())
    }

    fn text(&mut self, text: &[u8], each: &mut impl FnMut(Event)) -> anyhow::Result<()> {
        let socketio = self.kind.is_socketio();
        if socketio && text == b"2" {
            return self.send_text("3");
        }
        // The server disconnects a slow reader; the end of the connection has the same meaning.
        if socketio && text == b"41" {
            return Ok(());
        }
        match self.stage {
            Stage::Joined => {}
            Stage::Opening => {
                ensure!(text.starts_with(b"0"), "{}", String::from_utf8_lossy(text));
                self.stage = Stage::Connecting;
                return self.send_text("40");
            }
            Stage::Connecting => {
                ensure!(text.starts_with(b"40"), "{}", String::from_utf8_lossy(text));
                self.stage = Stage::Asked;
                let ask = format!(r#"420["message",{}]"#, self.first_message());
                return self.send_text(&ask);
            }
            Stage::Asked => {
                let welcome = text
                    .strip_prefix(b"430[")
                    .map_or(text, |array| array.strip_suffix(b"]").unwrap_or(array));
                let read = serde_json::from_slice(welcome);
                self.session = Some(read.with_context(|| String::from_utf8_lossy(text).into_owned())?);
                self.stage = Stage::Joined;
                return Ok(());
            }
            Stage::Away | Stage::Requested => bail!("a message too early"),
        }
        if !socketio {
            return self.event(text, each);
        }
        let event = text.strip_prefix(EVENT_HEAD);
        let event = event.with_context(|| format!("not expected: {}", String::from_utf8_lossy(text)))?;
        self.event(event, each)
    }

    fn event(&mut self, event: &[u8], each: &mut impl FnMut(Event)) -> anyhow::Result<()> {
        if let (Some(session), Some(id)) = (&mut self.session, wire::event_id(event)) {
            session.last_id = id;
        }
        if let Some(stamp) = Stamp::of(event) {
            each(Event::Chat(stamp));
        } else if event.starts_with(br#"{"type":"ping""#) {
            each(Event::Ping);
        } else if event.starts_with(br#"{"type":"error""#) {
            bail!("{}", String::from_utf8_lossy(event));
        }
        Ok(())
    }
}

/// Connects from an address.
pub(super) fn connect(
    to: SocketAddr,
    from: Ipv4Addr,
    receive_buffer: Option<usize>,
) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
