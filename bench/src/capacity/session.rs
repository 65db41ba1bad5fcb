//! One client's session: a WebSocket that has joined a room.

use std::io::ErrorKind;
use std::net::IpAddr;

use anyhow::Context as _;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::refusal::Refusal;
use super::target::{Stream, Target};

/// A joined session; its socket does not block.
pub(super) struct Session {
    socket: WebSocket<Stream>,
    /// The server's answer to the join.
    pub(super) welcome: Value,
}

impl Session {
    /// Connects and joins; returns when the server has welcomed the client.
    pub(super) fn join(target: &Target, from: Option<IpAddr>, join: &Value) -> anyhow::Result<Self> {
        let stream = target.connect(from).map_err(failed)?;
        let mut request = target.websocket("api/v1/ws")?.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", "visavis.v1".parse()?);
        let (mut socket, _) = tungstenite::client(request, stream).map_err(|error| match error {
            HandshakeError::Failure(error) => refused(error),
            HandshakeError::Interrupted(_) => Refusal::Silent.into(),
        })?;
        socket.send(Message::text(join.to_string())).map_err(refused)?;
        let welcome = loop {
            let Message::Text(text) = socket.read().map_err(refused)? else { continue };
            let event: Value = serde_json::from_str(&text)?;
            match event.get("type").and_then(Value::as_str) {
                Some("welcome") => break event,
                Some("error") => return Err(Refusal::of(&event).into()),
                _ => {}
            }
        };
        socket.get_ref().set_nonblocking()?;
        Ok(Self { socket, welcome })
    }

    /// A text of the welcome.
    pub(super) fn text(&self, pointer: &str) -> anyhow::Result<&str> {
        let text = self.welcome.pointer(pointer).and_then(Value::as_str);
        text.with_context(|| format!("the welcome has no {pointer}"))
    }

    pub(super) fn stream(&self) -> &Stream {
        self.socket.get_ref()
    }

    /// Sends a message. What the connection does not take at once is sent with the next message.
    pub(super) fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        match self.socket.send(Message::text(message.to_string())) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result.map_err(refused),
        }
    }

    /// The next event, if it has arrived. Heartbeats are answered.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) if text.starts_with(r#"{"type":"ping""#) => {
                    self.send(&json!({"type": "ping"}))?;
                }
                Ok(Message::Text(text)) if text.starts_with(r#"{"type":"error""#) => {
                    return Err(Refusal::of(&serde_json::from_str(&text)?).into());
                }
                Ok(Message::Text(text)) => return Ok(Some(text.as_str().to_owned())),
                Ok(Message::Close(frame)) => {
                    return Err(Refusal::Closed(frame.map_or(1005, |frame| frame.code.into())).into());
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Err(Refusal::Closed(1006).into()),
            }
        }
    }
}

fn failed(error: std::io::Error) -> anyhow::Error {
    Refusal::of_io(&error).map_or_else(|| error.into(), Into::into)
}

fn refused(error: Error) -> anyhow::Error {
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body).trim().to_owned();
            Refusal::Http { status: response.status().as_u16(), body }.into()
        }
        Error::Io(error) => failed(error),
        Error::Protocol(_) | Error::ConnectionClosed => Refusal::Unanswered.into(),
        error => error.into(),
    }
}
