//! A session: a peer of a room, across the connections by which it is reached.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::transport::{Transport, refused};
use crate::{Error, Server};

/// The most messages that may be unanswered: the server keeps that many answers.
const UNANSWERED: usize = 64;

/// The transport of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events, and POST.
    Events,
}

/// How to enter a room.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The room's name or id, or a meeting's code.
    pub room: String,
    /// The display name.
    pub name: String,
    /// `participant`, `broadcaster` or `viewer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A join token, or the room's host token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The room's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whether to make the room if it does not exist.
    pub create: bool,
    /// `mesh`, `sfu` or `auto`, if this join makes the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// What every peer sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// A secret of the client: a later join with it replaces this peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl Join {
    /// Enters a room as a participant, and makes it if it does not exist.
    pub fn new(room: &str, name: &str) -> Self {
        Self {
            room: room.to_owned(),
            name: name.to_owned(),
            role: None,
            token: None,
            password: None,
            create: true,
            topology: None,
            metadata: None,
            client_id: None,
        }
    }
}

/// What resumes a session, also in another process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The session.
    pub session: String,
    /// Its secret.
    pub secret: String,
    /// The id of the newest event that was received.
    pub last_id: u64,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, {})", self.session, self.last_id)
    }
}

impl Credentials {
    pub(crate) fn of(welcome: &Value) -> Result<Self, Error> {
        Self::deserialize(welcome).map_err(|error| Error::Protocol(error.to_string()))
    }
}

/// A session. Dropping it only closes the connection; [`Session::leave`] leaves the room.
pub struct Session {
    server: Server,
    transport: Transport,
    credentials: Credentials,
    welcome: Value,
    seq: u64,
    unanswered: VecDeque<(u64, Value)>,
}

impl Session {
    /// Enters a room.
    pub async fn join(server: &Server, over: Over, join: &Join) -> Result<Self, Error> {
        let mut first = serde_json::to_value(join).map_err(|error| Error::Protocol(error.to_string()))?;
        first["type"] = "join".into();
        let (transport, welcome) = Transport::open(server, over, &first).await?;
        let credentials = Credentials::of(&welcome)?;
        let server = server.clone();
        Ok(Self { server, transport, credentials, welcome, seq: 0, unanswered: VecDeque::new() })
    }

    /// Continues a session of another process. Its unanswered messages are not known here.
    pub async fn resume_from(server: &Server, over: Over, credentials: Credentials) -> Result<Self, Error> {
        let (transport, welcome) = Transport::open(server, over, &resume(&credentials)).await?;
        let seq = welcome.get("lastSeq").and_then(Value::as_u64).unwrap_or(0);
        let mut session = Self {
            server: server.clone(),
            transport,
            credentials,
            welcome,
            seq,
            unanswered: VecDeque::new(),
        };
        session.renew()?;
        Ok(session)
    }

    /// Continues the session over a new connection. Missed events follow, and unanswered messages are sent again: those
    /// that the server has are answered without a second effect, unless it was restarted in between.
    pub async fn resume(&mut self, over: Over) -> Result<(), Error> {
        (self.transport, self.welcome) =
            Transport::open(&self.server, over, &resume(&self.credentials)).await?;
        self.renew()?;
        for (_, message) in &self.unanswered {
            self.transport.send(message).await?;
        }
        Ok(())
    }

    /// Takes the new secret. The cursor stays: the events after it are still to come.
    fn renew(&mut self) -> Result<(), Error> {
        let last_id = self.credentials.last_id;
        self.credentials = Credentials { last_id, ..Credentials::of(&self.welcome)? };
        Ok(())
    }

    /// The newest `welcome`: the own peer as `self`, the `room`, and after a join the other `peers`.
    pub fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// What resumes the session at this point.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// Sends a message, such as `{"type": "chat", "text": "Good morning"}`. Returns its number, which its `ack` carries.
    /// On an [`Error::Connection`] the message is sent again by [`Session::resume`].
    pub async fn send(&mut self, mut message: Value) -> Result<u64, Error> {
        if self.unanswered.len() >= UNANSWERED {
            return Err(Error::Unanswered);
        }
        self.seq += 1;
        let fields = message.as_object_mut();
        let fields = fields.ok_or_else(|| Error::Protocol("a message is a JSON object".to_owned()))?;
        fields.insert("seq".to_owned(), self.seq.into());
        self.unanswered.push_back((self.seq, message.clone()));
        self.transport.send(&message).await?;
        Ok(self.seq)
    }

    /// The next event, `ack`s and the `error`s of messages included. Heartbeats are answered here, so that this must be
    /// called at least every few seconds. It may be dropped and called again.
    pub async fn next(&mut self) -> Result<Value, Error> {
        loop {
            let event = self.transport.next().await?;
            match event["type"].as_str() {
                Some("ping") => {
                    self.transport.send(&json!({"type": "ping"})).await?;
                    continue;
                }
                Some("pong") => continue,
                Some("error") if event["seq"].is_null() => return Err(refused(&event)),
                Some("snapshot") => {
                    self.credentials.last_id = event["lastId"].as_u64().unwrap_or(self.credentials.last_id);
                }
                Some("welcome") => self.welcome = event.clone(),
                _ => {}
            }
            if let Some(id) = event["id"].as_u64() {
                self.credentials.last_id = id;
            }
            if matches!(event["type"].as_str(), Some("ack" | "error")) && event["provisional"] != true {
                let seq = event["seq"].as_u64();
                self.unanswered.retain(|(sent, _)| Some(*sent) != seq);
            }
            return Ok(event);
        }
    }

    /// The next event of a type; others are dropped.
    pub async fn until(&mut self, kind: &str) -> Result<Value, Error> {
        loop {
            let event = self.next().await?;
            if event["type"] == kind {
                return Ok(event);
            }
        }
    }

    /// Leaves the room for good.
    pub async fn leave(mut self) -> Result<(), Error> {
        let seq = self.send(json!({"type": "leave"})).await?;
        loop {
            match self.next().await {
                Ok(event) if event["type"] == "ack" && event["seq"] == seq => return Ok(()),
                Ok(_) => {}
                // The session is over, which was asked for.
                Err(Error::Over(1000) | Error::Connection(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn resume(credentials: &Credentials) -> Value {
    let Credentials { session, secret, last_id } = credentials;
    json!({"type": "resume", "session": session, "secret": secret, "lastId": last_id})
}
