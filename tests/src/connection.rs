//! A session over any of the transports.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Credentials, Sse, Ws};
use crate::socketio::Sio;

/// The transport of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `GET /api/v1/ws`
    WebSocket,
    /// Server-sent events, and POST.
    EventStream,
    /// Engine.IO over one WebSocket.
    SocketIo,
    /// Engine.IO over long polling. Such a client ends without the server's knowledge.
    Polling,
}

use Transport::{EventStream, Polling, SocketIo, WebSocket};

/// All transports that have a connection.
pub const ALL: [Transport; 3] = [WebSocket, EventStream, SocketIo];
/// All transports.
pub const ALL_AND_POLLING: [Transport; 4] = [WebSocket, EventStream, SocketIo, Polling];

/// A session over any of them.
pub enum Connection {
    /// A WebSocket.
    Ws(Ws),
    /// An event stream.
    Sse(Sse),
    /// A Socket.IO connection.
    Sio(Sio),
}

impl Connection {
    /// Connects, joins and is welcomed.
    pub fn join(transport: Transport, addr: SocketAddr, room: &str, name: &str) -> (Self, Value) {
        match transport {
            WebSocket => wrap(Ws::join(addr, room, name), Self::Ws),
            EventStream => wrap(Sse::join(addr, room, name), Self::Sse),
            SocketIo => wrap(Sio::join(addr, room, name), Self::Sio),
            Polling => wrap(Sio::poll(addr).joined(room, name), Self::Sio),
        }
    }

    /// Connects and resumes a session.
    pub fn resume(
        transport: Transport,
        addr: SocketAddr,
        session: &Credentials,
        last_id: u64,
    ) -> (Self, Value) {
        match transport {
            WebSocket => wrap(Ws::resume(addr, session, last_id), Self::Ws),
            EventStream => wrap(Sse::resume(addr, session, last_id), Self::Sse),
            SocketIo => wrap(Sio::resume(addr, session, last_id), Self::Sio),
            Polling => wrap(Sio::poll(addr).resumed(session, last_id), Self::Sio),
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        match self {
            Self::Ws(ws) => ws.send(message),
            Self::Sse(sse) => drop(sse.send(message)),
            Self::Sio(sio) => sio.send(message),
        }
    }

    /// Sends a message to a server that may end meanwhile; returns whether it may have received the message.
    pub fn try_send(&mut self, message: &Value) -> bool {
        match self {
            Self::Ws(ws) => ws.try_send(message),
            Self::Sse(sse) => sse.try_send(message),
            Self::Sio(sio) => sio.try_send(message),
        }
    }

    /// Sends a message that carries a `seq`, and returns its answer; no other event may precede it.
    pub fn ask(&mut self, message: &Value) -> Value {
        if let Self::Sio(sio) = self {
            return sio.ask(message);
        }
        self.send(message);
        self.next()
    }

    /// Sends a numbered message until it has taken effect, and returns the events before its `ack`. After a rate limit
    /// refusal it waits for as long as the server says, and sends nothing in the meantime.
    pub fn deliver(&mut self, message: &Value) -> Vec<Value> {
        let mut events = Vec::new();
        self.send(message);
        loop {
            let event = self.next();
            match event["type"].as_str() {
                Some("ack") if event["seq"] == message["seq"] => return events,
                Some("error") if event["seq"] == message["seq"] => {
                    assert_eq!(event["code"], "rate-limited", "{event}");
                    thread::sleep(Duration::from_millis(event["retryAfterMs"].as_u64().unwrap()));
                    self.send(message);
                }
                _ => events.push(event),
            }
        }
    }

    /// The next event, or `None` when the server ends the connection.
    pub fn next_or_end(&mut self) -> Option<Value> {
        match self {
            Self::Ws(ws) => ws.next_or_close().ok(),
            Self::Sse(sse) => sse.next_or_end(),
            Self::Sio(sio) => sio.next_or_end(),
        }
    }

    /// The next event.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Value {
        self.next_or_end().unwrap_or_else(|| panic!("the server ended the connection"))
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

    /// The number of the newest event.
    pub fn last_id(&self) -> u64 {
        match self {
            Self::Ws(ws) => ws.last_id,
            Self::Sse(sse) => sse.last_id,
            Self::Sio(sio) => sio.last_id,
        }
    }
}

fn wrap<T>((client, welcome): (T, Value), connection: fn(T) -> Connection) -> (Connection, Value) {
    (connection(client), welcome)
}
