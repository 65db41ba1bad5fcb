//! The kernel's share of the cost of Socket.IO: one loop over all connections, which reads, finds the text of a
//! message, and writes it to everybody in the room. It validates and stores nothing, and works only with the clients of
//! this benchmark.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;
use datagrams::{Epoll, Events, Interest};

use super::wire;
use crate::process::say;

/// The response to the one key that the clients send.
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const OPEN: &str =
    r#"0{"sid":"x","upgrades":[],"pingInterval":600000,"pingTimeout":600000,"maxPayload":100000}"#;
const LISTENER: u64 = u64::MAX;

/// The server's connections and rooms.
struct Server {
    listener: TcpListener,
    epoll: Epoll,
    connections: Vec<Connection>,
    /// The connections in each room.
    rooms: HashMap<String, Vec<usize>>,
    /// The id of the last message.
    id: u64,
    buffer: Vec<u8>,
    /// The connections with something to send, some of them more than once.
    written: Vec<usize>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    out: Vec<u8>,
    room: String,
}

/// Runs until it is killed.
pub(super) fn serve() -> anyhow::Result<()> {
    let mut server = Server::open()?;
    let mut events = Events::with_capacity(1024);
    say(server.listener.local_addr()?)?;
    loop {
        server.epoll.wait(&mut events, None)?;
        for token in events.tokens() {
            if token == LISTENER {
                server.accept()?;
            } else {
                server.receive(token)?;
            }
        }
        server.flush();
    }
}

impl Server {
    fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new()?;
        epoll.add(&listener, LISTENER, Interest::READ)?;
        Ok(Self {
            listener,
            epoll,
            connections: Vec::new(),
            rooms: HashMap::new(),
            id: 1_790_000_000_000_000,
            buffer: vec![0; 64 * 1024],
            written: Vec::new(),
        })
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.epoll.add(&stream, self.connections.len() as u64, Interest::READ)?;
            let (partial, out, room) = Default::default();
            self.connections.push(Connection { stream, partial, out, room });
        }
        Ok(())
    }

    /// Reads from a connection and handles the complete messages.
    fn receive(&mut self, token: u64) -> anyhow::Result<()> {
        let index = usize::try_from(token)?;
        let connection = self.connections.get_mut(index).context("no such connection")?;
        let length = match connection.stream.read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(0) | Err(_) => {
                let nothing = Interest { read: false, write: false, edge: true };
                return Ok(self.epoll.modify(&connection.stream, token, nothing)?);
            }
            Ok(length) => length,
        };
        let mut bytes = std::mem::take(&mut connection.partial);
        bytes.extend_from_slice(self.buffer.get(..length).unwrap_or_default());
        let mut rest = &bytes[..];
        if rest.starts_with(b"GET ") {
            let Some(head) = wire::head(rest) else {
                connection.partial = bytes;
                return Ok(());
            };
            rest = rest.get(head.end..).unwrap_or_default();
            connection.out.extend_from_slice(ACCEPTED);
            self.reply(index, OPEN.as_bytes());
        }
        // The clients mask with zeros, so the payload is readable, four bytes further on.
        while let Some(frame) = masked(rest) {
            self.handle(index, rest.get(frame.content).unwrap_or_default());
            rest = rest.get(frame.end..).unwrap_or_default();
        }
        let rest = rest.to_vec();
        if let Some(connection) = self.connections.get_mut(index) {
            connection.partial = rest;
        }
        Ok(())
    }

    /// Answers the connection to the namespace and the `join`, and distributes a chat message.
    fn handle(&mut self, index: usize, text: &[u8]) {
        let field = |name: &str| -> Option<&[u8]> {
            let start = text.windows(name.len()).position(|window| window == name.as_bytes())?;
            let value = text.get(start + name.len()..)?;
            value.get(..value.iter().position(|byte| *byte == b'"')?)
        };
        if text == b"40" {
            self.reply(index, br#"40{"sid":"x"}"#);
        } else if let Some(room) = field(r#""room":""#) {
            let room = String::from_utf8_lossy(room).into_owned();
            self.rooms.entry(room.clone()).or_default().push(index);
            if let Some(connection) = self.connections.get_mut(index) {
                connection.room = room;
            }
            self.reply(index, br#"430[{"type":"welcome","session":"x","secret":"x","lastId":0}]"#);
        } else if let Some(said) = field(r#""text":""#) {
            self.id += 1;
            let (id, said) = (self.id, String::from_utf8_lossy(said));
            let event = format!(
                r#"42["message",{{"id":{id},"type":"chat","from":"0123456789abcdef","text":"{said}","at":"2026-11-21T03:00:00.000Z"}}]"#
            );
            let Self { connections, rooms, written, .. } = self;
            let room = connections.get(index).map_or("", |connection| &connection.room);
            for &member in rooms.get(room).map_or(&[][..], Vec::as_slice) {
                if let Some(connection) = connections.get_mut(member) {
                    push(&mut connection.out, event.as_bytes());
                    written.push(member);
                }
            }
        }
    }

    fn reply(&mut self, index: usize, text: &[u8]) {
        if let Some(connection) = self.connections.get_mut(index) {
            push(&mut connection.out, text);
            self.written.push(index);
        }
    }

    fn flush(&mut self) {
        for index in self.written.drain(..) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if !connection.out.is_empty() {
                // The load reads everything, and disconnects at the end.
                let _ = connection.stream.write_all(&connection.out);
                connection.out.clear();
            }
        }
    }
}

/// Encodes a text frame of a server.
fn push(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&wire::text_frame(text));
    // Servers do not mask.
    let mask = out.len() - text.len() - 4;
    out.drain(mask..mask + 4);
    if let Some(second) = out.get_mut(start + 1) {
        *second &= 0x7f;
    }
}

/// The first frame of a client, if it is complete.
fn masked(bytes: &[u8]) -> Option<wire::Piece> {
    let mut frame = wire::frame(bytes)?;
    frame.content = frame.content.start + 4..frame.content.end + 4;
    frame.end += 4;
    (bytes.len() >= frame.end).then_some(frame)
}
