//! Clients of the wire protocol that send only what they are told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::client::Response;
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::http::{Answer, ask, try_request};

/// Much longer than any expected wait: reached only on failure.
pub(crate) const FAR_TOO_LONG: Duration = Duration::from_mins(1);

/// A connection with a very long time limit for each read.
pub fn connect(addr: SocketAddr) -> TcpStream {
    connect_for(addr, FAR_TOO_LONG)
}

/// A connection with this time limit for each read.
pub(crate) fn connect_for(addr: SocketAddr, patience: Duration) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A session's id, secret and cursor: what a client needs to resume it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The session's id.
    pub session: String,
    /// The secret.
    pub secret: String,
    /// The peer of the session.
    pub peer: String,
}

impl Credentials {
    fn of(welcome: &Value) -> Self {
        let text = |pointer| welcome.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        Self { session: text("/session"), secret: text("/secret"), peer: text("/self/id") }
    }

    /// The message that resumes the session after the event `last_id`.
    pub fn resume(&self, last_id: u64) -> Value {
        json!({"type": "resume", "session": self.session, "secret": self.secret, "lastId": last_id})
    }
}

/// A `join` to a mesh room.
pub fn join(room: &str, name: &str) -> Value {
    json!({"type": "join", "room": room, "name": name, "topology": "mesh"})
}

/// A WebSocket to the server.
pub struct Ws {
    socket: WebSocket<TcpStream>,
    /// The number of the newest event.
    pub last_id: u64,
}

impl Ws {
    /// Connects, and sends nothing yet.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr, &[]).unwrap()
    }

    /// Connects with additional headers; returns the server's response if it is not an upgrade.
    pub fn try_connect(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Box<Response>> {
        let mut request = format!("ws://{addr}/api/v1/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "visavis.v1".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, connect(addr)) {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "visavis.v1");
                Ok(Self { socket, last_id: 0 })
            }
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => Err(response),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects, joins and is welcomed.
    pub fn join(addr: SocketAddr, room: &str, name: &str) -> (Self, Value) {
        let mut ws = Self::connect(addr);
        ws.send(&join(room, name));
        let welcome = ws.until("welcome");
        (ws, welcome)
    }

    /// Connects and resumes a session.
    pub fn resume(addr: SocketAddr, credentials: &Credentials, last_id: u64) -> (Self, Value) {
        let mut ws = Self::connect(addr);
        ws.send(&credentials.resume(last_id));
        let welcome = ws.next();
        (ws, welcome)
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        self.send_text(message.to_string());
    }

    /// As [`send`](Self::send), to a server that may end meanwhile; returns whether it may have received the message.
    pub fn try_send(&mut self, message: &Value) -> bool {
        self.socket.send(Message::text(message.to_string())).is_ok()
    }

    /// Sends a text unchanged.
    pub fn send_text(&mut self, text: impl Into<tungstenite::Utf8Bytes>) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Sends binary data.
    pub fn send_binary(&mut self, data: &'static [u8]) {
        self.socket.send(Message::binary(data)).unwrap();
    }

    /// The underlying connection, for invalid input.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// The next event, or the code with which the server closed.
    pub fn next_or_close(&mut self) -> Result<Value, u16> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let event: Value = serde_json::from_str(&text).unwrap();
                    if event["type"] == "ping" {
                        continue;
                    }
                    note(&mut self.last_id, &event);
                    return Ok(event);
                }
                Ok(Message::Close(frame)) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return Err(1005),
                Err(error) if is_lost(&error) => return Err(1006),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next event.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Value {
        self.next_or_close().unwrap_or_else(|code| panic!("closed with {code}"))
    }

    /// The next event of a type; others are skipped.
    pub fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The code with which the server closes; earlier events are skipped.
    pub fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next_or_close() {
                return code;
            }
        }
    }

    /// Sends a message followed by a `ping`, and returns the events up to the answer to the `ping`.
    pub fn settle(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "ping", "t": "settle"}));
        let mut events = Vec::new();
        loop {
            let event = self.next();
            if event["type"] == "pong" && event["t"] == "settle" {
                return events;
            }
            events.push(event);
        }
    }
}

pub(crate) fn note(last_id: &mut u64, event: &Value) {
    let id = event["id"].as_u64().or_else(|| {
        let cursor = matches!(event["type"].as_str(), Some("welcome" | "snapshot"));
        cursor.then(|| event["lastId"].as_u64()).flatten()
    });
    if let Some(id) = id {
        if event.get("id").is_some() {
            assert!(id > *last_id, "{id} after {last_id}: {event}");
        }
        *last_id = id;
    }
}

/// Whether a connection ended without a word, as with a killed server. Browsers report it with the code 1006.
pub(crate) fn is_lost(error: &tungstenite::Error) -> bool {
    match error {
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        tungstenite::Error::Io(error) => error.kind() == ErrorKind::ConnectionReset,
        _ => false,
    }
}

/// The peer id in a welcome.
pub fn credentials(welcome: &Value) -> Credentials {
    Credentials::of(welcome)
}

/// An event stream, and its requests.
pub struct Sse {
    addr: SocketAddr,
    /// Who one is.
    pub credentials: Credentials,
    lines: BufReader<TcpStream>,
    pending: VecDeque<String>,
    /// The number of the newest event.
    pub last_id: u64,
}

impl Sse {
    /// Joins by POST, and opens the stream.
    pub fn join(addr: SocketAddr, room: &str, name: &str) -> (Self, Value) {
        let welcome = post(addr, "/api/v1/sessions", None, &join(room, name).to_string());
        assert_eq!(welcome.status, 201, "{}", welcome.body);
        let welcome: Value = serde_json::from_str(&welcome.body).unwrap();
        (Self::open(addr, Credentials::of(&welcome), None).unwrap(), welcome)
    }

    /// Resumes a session by POST, and opens the stream.
    pub fn resume(addr: SocketAddr, credentials: &Credentials, last_id: u64) -> (Self, Value) {
        let welcome = post(addr, "/api/v1/sessions", None, &credentials.resume(last_id).to_string());
        assert_eq!(welcome.status, 201, "{}", welcome.body);
        let welcome: Value = serde_json::from_str(&welcome.body).unwrap();
        let credentials = Credentials::of(&welcome);
        (Self::open(addr, credentials, None).unwrap(), welcome)
    }

    /// Opens the stream of a session; returns the response if its status is not 200.
    pub fn open(addr: SocketAddr, credentials: Credentials, last_id: Option<u64>) -> Result<Self, Answer> {
        let path = format!("/api/v1/sessions/{}/events", credentials.session);
        let cursor = last_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let secret = &credentials.secret;
        let mut stream = connect(addr);
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {secret}\r\n{cursor}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "the answer was cut short: {head}");
        }
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 200 {
            return Err(Answer { status, head, body: String::new() });
        }
        assert!(head.contains("text/event-stream"), "{head}");
        Ok(Self { addr, credentials, lines, pending: VecDeque::new(), last_id: last_id.unwrap_or(0) })
    }

    /// Posts messages, one or an array.
    pub fn send(&self, messages: &Value) -> Answer {
        let path = format!("/api/v1/sessions/{}/messages", self.credentials.session);
        post(self.addr, &path, Some(&self.credentials.secret), &messages.to_string())
    }

    /// Posts a message to a server that may end meanwhile; returns whether it has accepted it.
    pub fn try_send(&self, message: &Value) -> bool {
        let path = format!("/api/v1/sessions/{}/messages", self.credentials.session);
        let bearer = format!("Bearer {}", self.credentials.secret);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = try_request(self.addr, "POST", &path, &headers, Some(message.to_string().as_bytes()));
        answer.is_some_and(|answer| answer.status == 202)
    }

    /// The next event, or `None` when the stream ends.
    pub fn next_or_end(&mut self) -> Option<Value> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = self.line()?;
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(value.to_owned());
            } else if line.is_empty() {
                let Some(data) = data.take() else { continue };
                let event: Value = serde_json::from_str(&data).unwrap();
                if event["type"] == "ping" {
                    continue;
                }
                assert_eq!(id.and_then(|id| id.parse().ok()), event["id"].as_u64(), "{event}");
                note(&mut self.last_id, &event);
                return Some(event);
            }
        }
    }

    /// The next event.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Value {
        self.next_or_end().expect("the stream ended")
    }

    /// The next event of a type; others are skipped.
    pub fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// One line of the stream, decoded from its chunks.
    fn line(&mut self) -> Option<String> {
        while self.pending.is_empty() {
            let mut size = String::new();
            if self.lines.read_line(&mut size).ok()? == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                return None;
            }
            let mut chunk = vec![0; size + 2];
            std::io::Read::read_exact(&mut self.lines, &mut chunk).ok()?;
            let text = String::from_utf8(chunk[..size].to_vec()).unwrap();
            assert!(text.ends_with('\n'), "a chunk holds whole lines");
            self.pending.extend(text.lines().map(str::to_owned));
        }
        self.pending.pop_front()
    }
}

/// POSTs JSON, with a bearer if given.
pub fn post(addr: SocketAddr, path: &str, bearer: Option<&str>, body: &str) -> Answer {
    let bearer = bearer.map_or(String::new(), |bearer| format!("authorization: Bearer {bearer}\r\n"));
    let length = body.len();
    ask(
        connect(addr),
        &format!(
            "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{bearer}\r\n{body}"
        ),
    )
}
