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

struct Connection {
    stream: TcpStream,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    out: Vec<u8>,
    room: String,
}

/// Runs until it is killed.
pub(super) fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Interest::READ)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Connection> = Vec::new();
    let mut rooms: HashMap<String, Vec<usize>> = HashMap::new();
    let mut id = 1_790_000_000_000_000_u64;
    let (mut buffer, mut written) = (vec![0; 64 * 1024], Vec::new());
    say(listener.local_addr()?)?;
    loop {
        epoll.wait(&mut events, None)?;
        for token in events.tokens() {
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    epoll.add(&stream, connections.len() as u64, Interest::READ)?;
                    let (partial, out, room) = Default::default();
                    connections.push(Connection { stream, partial, out, room });
                }
                continue;
            }
            let index = usize::try_from(token)?;
            let connection = connections.get_mut(index).context("no such connection")?;
            let length = match connection.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => {
                    epoll.modify(
                        &connection.stream,
                        token,
                        Interest { read: false, write: false, edge: true },
                    )?;
                    continue;
                }
                Ok(length) => length,
            };
            let mut bytes = std::mem::take(&mut connection.partial);
            bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let mut rest = &bytes[..];
            if rest.starts_with(b"GET ") {
                let Some(head) = wire::head(rest) else {
                    connection.partial = bytes;
                    continue;
                };
                rest = rest.get(head.end..).unwrap_or_default();
                connection.out.extend_from_slice(ACCEPTED);
                push(&mut connection.out, OPEN.as_bytes());
                written.push(index);
            }
            // The clients mask with zeros, so the payload is readable, four bytes further on.
            while let Some(frame) = masked(rest) {
                let text = rest.get(frame.content).unwrap_or_default();
                rest = rest.get(frame.end..).unwrap_or_default();
                let field = |name: &str| -> Option<&[u8]> {
                    let start = text.windows(name.len()).position(|window| window == name.as_bytes())?;
                    let value = text.get(start + name.len()..)?;
                    value.get(..value.iter().position(|byte| *byte == b'"')?)
                };
                if text == b"40" {
                    reply(&mut connections, &mut written, index, br#"40{"sid":"x"}"#);
                } else if let Some(room) = field(r#""room":""#) {
                    let room = String::from_utf8_lossy(room).into_owned();
                    rooms.entry(room.clone()).or_default().push(index);
                    if let Some(connection) = connections.get_mut(index) {
                        connection.room = room;
                    }
                    let welcome = br#"430[{"type":"welcome","session":"x","secret":"x","lastId":0}]"#;
                    reply(&mut connections, &mut written, index, welcome);
                } else if let Some(said) = field(r#""text":""#) {
                    id += 1;
                    let said = String::from_utf8_lossy(said);
                    let event = format!(
                        r#"42["message",{{"id":{id},"type":"chat","from":"0123456789abcdef","text":"{said}","at":"2026-11-21T03:00:00.000Z"}}]"#
                    );
                    let room = connections.get(index).map_or("", |connection| &connection.room);
                    for &member in rooms.get(room).map_or(&[][..], Vec::as_slice) {
                        reply(&mut connections, &mut written, member, event.as_bytes());
                    }
                }
            }
            let rest = rest.to_vec();
            if let Some(connection) = connections.get_mut(index) {
                connection.partial = rest;
            }
        }
        for index in written.drain(..) {
            let Some(connection) = connections.get_mut(index) else { continue };
            if !connection.out.is_empty() {
                // The load reads everything, and disconnects at the end.
                let _ = connection.stream.write_all(&connection.out);
                connection.out.clear();
            }
        }
    }
}

fn reply(connections: &mut [Connection], written: &mut Vec<usize>, index: usize, text: &[u8]) {
    if let Some(connection) = connections.get_mut(index) {
        push(&mut connection.out, text);
        written.push(index);
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
