//! A Socket.IO client: Engine.IO protocol 4 over one WebSocket or over long polling, Socket.IO protocol 5, namespace `/`.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::client::{Credentials, connect, is_lost, join, note};
use crate::http::try_request;

/// A Socket.IO connection to the server.
pub struct Sio {
    line: Line,
    /// Events that arrived while something else was awaited.
    pending: VecDeque<Value>,
    requests: u64,
    /// The number of the newest event.
    pub last_id: u64,
}

/// What carries the packets.
enum Line {
    Socket(Box<WebSocket<TcpStream>>),
    Polls(Polls),
}

/// Long polling: a thread has a request waiting all the time, as the server expects of such a client.
struct Polls {
    addr: SocketAddr,
    path: String,
    received: Receiver<String>,
}

impl Polls {
    fn open(addr: SocketAddr) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling";
        let open = fetch(addr, path).unwrap();
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
        let (sender, received) = sync_channel(1_000);
        let waiting = path.clone();
        thread::spawn(move || {
            while let Some(payload) = fetch(addr, &waiting) {
                let mut packets = payload.split('\u{1e}');
                if packets.any(|packet| sender.send(packet.to_owned()).is_err()) {
                    return;
                }
            }
        });
        Self { addr, path, received }
    }

    fn write(&self, packet: &str) -> bool {
        let answer = try_request(self.addr, "POST", &self.path, &[], Some(packet.as_bytes()));
        answer.is_some_and(|answer| answer.status == 200)
    }
}

/// What a poll brings, or `None` when the server has ended, or knows the client no longer.
fn fetch(addr: SocketAddr, path: &str) -> Option<String> {
    let answer = try_request(addr, "GET", path, &[], None)?;
    (answer.status == 200).then_some(answer.body)
}

impl Line {
    /// The next packet, or `None` when the server ends the connection.
    fn read(&mut self) -> Option<String> {
        let socket = match self {
            Self::Socket(socket) => socket,
            Self::Polls(polls) => return polls.received.recv().ok(),
        };
        match socket.read() {
            Ok(Message::Text(text)) => Some(text.to_string()),
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => None,
            Ok(other) => panic!("{other}"),
            // A client that is disconnected with unread data in flight may only see a reset.
            Err(error) if is_lost(&error) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a packet; returns whether the server may have received it.
    fn write(&mut self, packet: String) -> bool {
        match self {
            Self::Socket(socket) => socket.send(Message::text(packet)).is_ok(),
            Self::Polls(polls) => polls.write(&packet),
        }
    }
}

/// A packet from the server, apart from heartbeats, which are answered.
#[derive(Debug)]
enum Packet {
    Connected,
    Event(Value),
    Ack(u64, Value),
    /// The server disconnected, or closed the underlying connection.
    End,
}

impl Sio {
    /// Connects to the namespace, and sends nothing yet.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr, &[]).unwrap()
    }

    /// Connects with additional headers; returns the server's response if it is not an upgrade.
    pub fn try_connect(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Box<Response>> {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let mut socket = match tungstenite::client(request, connect(addr)) {
            Ok((socket, _)) => socket,
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => return Err(response),
            Err(error) => panic!("{error}"),
        };
        assert!(socket.read().unwrap().to_text().unwrap().starts_with("0{"), "an open packet");
        Ok(Self::over(Line::Socket(Box::new(socket))))
    }

    /// As [`connect`](Self::connect), by long polling.
    pub fn poll(addr: SocketAddr) -> Self {
        Self::over(Line::Polls(Polls::open(addr)))
    }

    fn over(line: Line) -> Self {
        let mut sio = Self { line, pending: VecDeque::new(), requests: 0, last_id: 0 };
        sio.send_text("40");
        assert!(matches!(sio.read(), Packet::Connected));
        sio
    }

    /// Connects, joins and is welcomed, in the acknowledgement.
    pub fn join(addr: SocketAddr, room: &str, name: &str) -> (Self, Value) {
        Self::connect(addr).joined(room, name)
    }

    /// Joins and is welcomed, in the acknowledgement.
    pub fn joined(mut self, room: &str, name: &str) -> (Self, Value) {
        let welcome = self.ask(&join(room, name));
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (self, welcome)
    }

    /// Connects and resumes a session.
    pub fn resume(addr: SocketAddr, credentials: &Credentials, last_id: u64) -> (Self, Value) {
        Self::connect(addr).resumed(credentials, last_id)
    }

    /// Resumes a session.
    pub fn resumed(mut self, credentials: &Credentials, last_id: u64) -> (Self, Value) {
        let welcome = self.ask(&credentials.resume(last_id));
        (self, welcome)
    }

    /// Sends a message without requesting an acknowledgement.
    pub fn send(&mut self, message: &Value) {
        assert!(self.try_send(message), "the connection has ended");
    }

    /// As [`send`](Self::send), to a server that may end meanwhile; returns whether it may have received the message.
    pub fn try_send(&mut self, message: &Value) -> bool {
        self.line.write(format!("42{}", json!(["message", message])))
    }

    /// Sends a packet unchanged.
    pub fn send_text(&mut self, packet: impl Into<String>) {
        assert!(self.line.write(packet.into()), "the connection has ended");
    }

    /// Sends an attachment.
    pub fn send_binary(&mut self, data: &'static [u8]) {
        let Line::Socket(socket) = &mut self.line else { panic!("attachments are sent over a WebSocket") };
        socket.send(Message::binary(data)).unwrap();
    }

    /// Sends a message and returns its answer.
    pub fn ask(&mut self, message: &Value) -> Value {
        let number = self.requests;
        self.requests += 1;
        self.send_text(format!("42{number}{}", json!(["message", message])));
        self.acknowledged(number)
    }

    /// The acknowledgement with this number; events before it are kept.
    pub fn acknowledged(&mut self, number: u64) -> Value {
        loop {
            match self.read() {
                Packet::Ack(answered, answer) if answered == number => {
                    if answer["type"] == "welcome" {
                        note(&mut self.last_id, &answer);
                    }
                    return answer;
                }
                Packet::Event(event) => self.pending.push_back(event),
                other => panic!("{other:?} and not the acknowledgement of {number}"),
            }
        }
    }

    fn read(&mut self) -> Packet {
        loop {
            let Some(text) = self.line.read() else { return Packet::End };
            match text.as_bytes() {
                b"2" => {
                    self.line.write("3".to_owned());
                }
                b"1" | b"41" => return Packet::End,
                [b'4', b'0', b'{', ..] => return Packet::Connected,
                [b'4', b'2', ..] => {
                    let event: Value = serde_json::from_str(&text[2..]).unwrap();
                    assert_eq!(
                        (&event[0], event.as_array().unwrap().len()),
                        (&json!("message"), 2),
                        "{text}"
                    );
                    return Packet::Event(event[1].clone());
                }
                [b'4', b'3', ..] => {
                    let start = text.find('[').unwrap();
                    let answer: Value = serde_json::from_str(&text[start..]).unwrap();
                    return Packet::Ack(text[2..start].parse().unwrap(), answer[0].clone());
                }
                _ => panic!("{text}"),
            }
        }
    }

    /// The next event, or `None` when the server ends the connection.
    pub fn next_or_end(&mut self) -> Option<Value> {
        loop {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None => match self.read() {
                    Packet::Event(event) => event,
                    Packet::End => return None,
                    other => panic!("{other:?}"),
                },
            };
            if event["type"] != "ping" {
                note(&mut self.last_id, &event);
                return Some(event);
            }
        }
    }

    /// The next event.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Value {
        self.next_or_end().expect("the server ended the connection")
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
}
