//! A Socket.IO client: Engine.IO protocol 4 over one WebSocket, Socket.IO protocol 5, namespace `/`.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::client::{Credentials, connect, is_lost, join, note};

/// A Socket.IO connection to the server.
pub struct Sio {
    socket: WebSocket<TcpStream>,
    /// Events that arrived while something else was awaited.
    pending: VecDeque<Value>,
    requests: u64,
    /// The number of the newest event.
    pub last_id: u64,
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
        socket.send(Message::text("40")).unwrap();
        let mut sio = Self { socket, pending: VecDeque::new(), requests: 0, last_id: 0 };
        assert!(matches!(sio.read(), Packet::Connected));
        Ok(sio)
    }

    /// Connects, joins and is welcomed, in the acknowledgement.
    pub fn join(addr: SocketAddr, room: &str, name: &str) -> (Self, Value) {
        let mut sio = Self::connect(addr);
        let welcome = sio.ask(&join(room, name));
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (sio, welcome)
    }

    /// Connects and resumes a session.
    pub fn resume(addr: SocketAddr, credentials: &Credentials, last_id: u64) -> (Self, Value) {
        let mut sio = Self::connect(addr);
        let welcome = sio.ask(&credentials.resume(last_id));
        (sio, welcome)
    }

    /// Sends a message without requesting an acknowledgement.
    pub fn send(&mut self, message: &Value) {
        self.send_text(format!("42{}", json!(["message", message])));
    }

    /// Sends a packet unchanged.
    pub fn send_text(&mut self, packet: impl Into<tungstenite::Utf8Bytes>) {
        self.socket.send(Message::text(packet)).unwrap();
    }

    /// Sends an attachment.
    pub fn send_binary(&mut self, data: &'static [u8]) {
        self.socket.send(Message::binary(data)).unwrap();
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
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Packet::End,
                Ok(other) => panic!("{other}"),
                // A client that is disconnected with unread data in flight may only see a reset.
                Err(error) if is_lost(&error) => return Packet::End,
                Err(error) => panic!("{error}"),
            };
            match text.as_bytes() {
                b"2" => self.socket.send(Message::text("3")).unwrap(),
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
