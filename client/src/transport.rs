//! The two transports of a session, and a connection over either.

use std::collections::VecDeque;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::fields::{millis, text};
use crate::http::{Ask, PATIENCE, problem};
use crate::server::Stream;
use crate::{Credentials, Error, Server};

/// The largest event, beyond which a stream is not one of this protocol.
const EVENT_BYTES: usize = 4 << 20;

/// The transport of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events, and POST.
    Events,
}

impl Transport {
    /// The other one, which may pass where this one does not.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::WebSocket => Self::Events,
            Self::Events => Self::WebSocket,
        }
    }
}

/// A session's connection.
pub(crate) enum Connection {
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>),
    Events(Box<EventStream>),
}

impl Connection {
    /// Connects, sends a `join` or `resume`, and returns the `welcome`.
    pub(crate) async fn open(
        server: &Server,
        transport: Transport,
        first: &Value,
    ) -> Result<(Self, Value), Error> {
        timeout(PATIENCE, Self::opened(server, transport, first)).await.map_err(|_| Error::silence())?
    }

    async fn opened(server: &Server, transport: Transport, first: &Value) -> Result<(Self, Value), Error> {
        match transport {
            Transport::WebSocket => {
                let mut socket = websocket(server).await?;
                socket.send(Message::text(first.to_string())).await.map_err(lost)?;
                let mut connection = Self::WebSocket(Box::new(socket));
                loop {
                    let event = connection.next().await?;
                    match text(&event, "type") {
                        "welcome" => return Ok((connection, event)),
                        "error" => return Err(refused(&event)),
                        _ => {}
                    }
                }
            }
            Transport::Events => {
                let ask = Ask::new(Method::POST, server.url("api/v1/sessions")?, None).json(first);
                let welcome: Value = server.ask(ask).await?.check()?.json()?;
                let credentials = Credentials::of(&welcome)?;
                Ok((Self::Events(Box::new(EventStream::open(server, credentials).await?)), welcome))
            }
        }
    }

    pub(crate) async fn send(&mut self, message: &Value) -> Result<(), Error> {
        match self {
            Self::WebSocket(socket) => socket.send(Message::text(message.to_string())).await.map_err(lost),
            Self::Events(stream) => stream.post(message).await,
        }
    }

    /// The next event. It may be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Value, Error> {
        match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return serde_json::from_str(&text)
                            .map_err(|error| Error::Protocol(error.to_string()));
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Err(closed(frame.map_or(1005, |frame| frame.code.into())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(lost(error)),
                    None => return Err(closed(1006)),
                }
            },
            Self::Events(stream) => stream.next().await,
        }
    }
}

async fn websocket(server: &Server) -> Result<WebSocketStream<Box<dyn Stream>>, Error> {
    let mut url = server.url("api/v1/ws")?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    // These two may be exchanged with those of HTTP.
    let _ = url.set_scheme(scheme);
    let mut request = url.as_str().into_client_request().map_err(Error::connection)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("visavis.v1"));
    let stream = server.connect().await?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.map_err(lost)?;
    Ok(socket)
}

/// What a failure of the WebSocket means for the session.
fn lost(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => Error::Connection(error),
        tungstenite::Error::Http(response) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
            problem(response.status(), response.headers(), &body)
        }
        error => Error::connection(error),
    }
}

fn closed(code: u16) -> Error {
    match code {
        1000 => Error::Over,
        4401 | 4413 => Error::Refused {
            code: if code == 4401 { "unauthorized" } else { "too-large" }.to_owned(),
            message: "the server has closed the connection".to_owned(),
            retry_after: None,
        },
        4409 => Error::Replaced,
        _ => Error::connection(format!("close code {code}")),
    }
}

/// An `error` event as an error.
fn refused(event: &Value) -> Error {
    Error::Refused {
        code: text(event, "code").to_owned(),
        message: text(event, "message").to_owned(),
        retry_after: millis(event, "retryAfterMs"),
    }
}

/// Server-sent events, and the session that they are of.
pub(crate) struct EventStream {
    server: Server,
    credentials: Credentials,
    body: Incoming,
    /// Bytes of an event that is not complete.
    partial: Vec<u8>,
    complete: VecDeque<Value>,
}

impl EventStream {
    async fn open(server: &Server, credentials: Credentials) -> Result<Self, Error> {
        let url = server.url(&format!("api/v1/sessions/{}/events", credentials.session))?;
        let mut ask = Ask::new(Method::GET, url, Some(&credentials.secret));
        ask.headers.push((HeaderName::from_static("last-event-id"), credentials.last_id.to_string()));
        let answer = server.open(ask).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Err(Error::Replaced),
            status => return Err(Error::Protocol(format!("the event stream was answered with {status}"))),
        }
        let body = answer.into_body();
        Ok(Self { server: server.clone(), credentials, body, partial: Vec::new(), complete: VecDeque::new() })
    }

    async fn post(&self, message: &Value) -> Result<(), Error> {
        let url = self.server.url(&format!("api/v1/sessions/{}/messages", self.credentials.session))?;
        let ask = Ask::new(Method::POST, url, Some(&self.credentials.secret)).json(message);
        match self.server.ask(ask).await?.check() {
            // A server that was restarted knows the session from its resume on.
            Err(Error::Refused { code, message, .. }) if code == "session-unknown" => {
                Err(Error::connection(message))
            }
            answer => answer.map(drop),
        }
    }

    async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(event) = self.complete.pop_front() {
                return Ok(event);
            }
            let frame =
                self.body.frame().await.ok_or_else(|| Error::connection("the event stream has ended"))?;
            let Ok(data) = frame.map_err(Error::connection)?.into_data() else { continue };
            self.partial.extend_from_slice(&data);
            self.read()?;
        }
    }

    /// Reads the complete events: blocks of lines that an empty line ends.
    fn read(&mut self) -> Result<(), Error> {
        while let Some(end) = self.partial.windows(2).position(|two| two == b"\n\n") {
            let rest = self.partial.split_off(end + 2);
            let block = std::mem::replace(&mut self.partial, rest);
            let block = String::from_utf8_lossy(&block);
            let data: Vec<&str> =
                block.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
            if !data.is_empty() {
                let event = serde_json::from_str(&data.join("\n"));
                self.complete.push_back(event.map_err(|error| Error::Protocol(error.to_string()))?);
            }
        }
        if self.partial.len() > EVENT_BYTES {
            return Err(Error::Protocol("an event has no end".to_owned()));
        }
        Ok(())
    }
}
