//! A session: a peer of a room, across the connections by which it is reached.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::fields::{millis, number, text};
use crate::transport::Connection;
use crate::{Error, Server, Transport};

/// The most messages that may be unanswered: the server keeps that many answers.
const UNANSWERED: usize = 64;

/// The interval of heartbeats, unless the server names its own.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The first pause between attempts to resume, which doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a peer does in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It sends and receives.
    Participant,
    /// It sends to viewers.
    Broadcaster,
    /// It receives, and is counted but not listed.
    Viewer,
}

/// The path of a room's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// From peer to peer.
    Mesh,
    /// Through the media server.
    Sfu,
    /// As the number of peers demands.
    Auto,
}

/// How to enter a room.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "join", rename_all = "camelCase")]
pub struct Join {
    /// The room's name or id, or a meeting's code.
    pub room: String,
    /// The display name.
    pub name: String,
    /// What the peer does; participant by default, or what the token says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// A join token, or the room's host token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The room's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whether to make the room if it does not exist.
    pub create: bool,
    /// The path of media, if this join makes the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
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
    connection: Connection,
    credentials: Credentials,
    welcome: Value,
    seq: u64,
    unanswered: VecDeque<(u64, Value)>,
    /// When the server was last heard.
    heard: Instant,
    /// How long the server asks to stay away before the next connection.
    stay_away: Option<Duration>,
}

impl Session {
    /// Enters a room.
    pub async fn join(server: &Server, transport: Transport, join: &Join) -> Result<Self, Error> {
        let first = serde_json::to_value(join).map_err(|error| Error::Protocol(error.to_string()))?;
        let (connection, welcome) = Connection::open(server, transport, &first).await?;
        let credentials = Credentials::of(&welcome)?;
        Ok(Self::new(server, transport, connection, credentials, welcome))
    }

    fn new(
        server: &Server,
        transport: Transport,
        connection: Connection,
        credentials: Credentials,
        welcome: Value,
    ) -> Self {
        Self {
            server: server.clone(),
            transport,
            connection,
            credentials,
            seq: number(&welcome, "lastSeq").unwrap_or(0),
            welcome,
            unanswered: VecDeque::new(),
            heard: clock::now(),
            stay_away: None,
        }
    }

    /// Continues a session of another process. Its unanswered messages are not known here.
    pub async fn resume_from(
        server: &Server,
        transport: Transport,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        let (connection, welcome) = Connection::open(server, transport, &resume(&credentials)).await?;
        let mut session = Self::new(server, transport, connection, credentials, welcome);
        session.renew()?;
        Ok(session)
    }

    /// Continues the session over a new connection. Missed events follow, and unanswered messages are sent again: those
    /// that the server has are answered without a second effect, unless it was restarted in between.
    pub async fn resume(&mut self, transport: Transport) -> Result<(), Error> {
        (self.connection, self.welcome) =
            Connection::open(&self.server, transport, &resume(&self.credentials)).await?;
        self.transport = transport;
        (self.heard, self.stay_away) = (clock::now(), None);
        self.renew()?;
        for (_, message) in &self.unanswered {
            self.connection.send(message).await?;
        }
        Ok(())
    }

    /// Continues the session as soon as the server is reached again: as [`Session::resume`], over both transports by
    /// turns, with growing pauses, until the server refuses for good or the room keeps the peer's place no longer. For use
    /// after an [`Error::Connection`].
    pub async fn recover(&mut self) -> Result<(), Error> {
        let kept = millis(&self.welcome, "resumeWindowMs").unwrap_or(LONGEST_PAUSE);
        let deadline = clock::now() + kept;
        let mut pause = FIRST_PAUSE;
        if let Some(wait) = self.stay_away.take() {
            sleep(wait.min(kept / 2)).await;
        }
        loop {
            let Err(error) = self.resume(self.transport).await else { return Ok(()) };
            self.transport = self.transport.other();
            let wait = match &error {
                Error::Refused { retry_after: Some(wait), .. } => *wait,
                // The clients of a server that was restarted do not come back all at once.
                _ => pause.mul_f64(rand::random_range(0.5..1.0)),
            };
            if !error.is_retryable() || clock::now() + wait > deadline {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
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

    /// The id of the session's own peer.
    pub fn peer(&self) -> &str {
        self.welcome.get("self").map_or("", |own| text(own, "id"))
    }

    /// What resumes the session at this point.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// Sends a message, such as `{"type": "chat", "text": "Good morning"}`. Returns its number, which its `ack` carries.
    /// On an [`Error::Connection`] the message is not lost: the next resume sends it again.
    pub async fn send(&mut self, mut message: Value) -> Result<u64, Error> {
        if self.unanswered.len() >= UNANSWERED {
            return Err(Error::Unanswered);
        }
        self.seq += 1;
        let fields = message.as_object_mut();
        let fields = fields.ok_or_else(|| Error::Protocol("a message is a JSON object".to_owned()))?;
        fields.insert("seq".to_owned(), self.seq.into());
        self.unanswered.push_back((self.seq, message.clone()));
        let sent = self.connection.send(&message).await;
        if let Err(Error::Refused { .. }) = sent {
            self.unanswered.pop_back();
        }
        sent.map(|()| self.seq)
    }

    /// The next event, `ack`s and the `error`s of messages included (a message that is none of the protocol's gets an
    /// `error` without `seq`). Heartbeats are answered here, so that this must be
    /// called at least every few seconds; a server that is silent for two of them is an [`Error::Connection`]. It may be
    /// dropped and called again.
    pub async fn next(&mut self) -> Result<Value, Error> {
        loop {
            let silence = self.heartbeat() * 2;
            let left = (self.heard + silence).saturating_duration_since(clock::now());
            let event = timeout(left, self.connection.next()).await.map_err(|_| Error::silence())??;
            self.heard = clock::now();
            match text(&event, "type") {
                "ping" => {
                    // If the connection is lost, the events before the loss are still to be read.
                    let _ = self.connection.send(&json!({"type": "ping"})).await;
                    continue;
                }
                "pong" => continue,
                "going-away" => self.stay_away = millis(&event, "reconnectAfterMs"),
                "error" if text(&event, "code") == "session-replaced" => return Err(Error::Replaced),
                "ack" | "error" if event.get("provisional") != Some(&Value::Bool(true)) => {
                    let seq = number(&event, "seq");
                    self.unanswered.retain(|(sent, _)| Some(*sent) != seq);
                }
                "snapshot" => {
                    self.credentials.last_id = number(&event, "lastId").unwrap_or(self.credentials.last_id);
                }
                // Admitted from the lobby.
                "welcome" => self.welcome = event.clone(),
                _ => {}
            }
            if let Some(id) = number(&event, "id") {
                self.credentials.last_id = id;
            }
            return Ok(event);
        }
    }

    /// How often the server is heard at least.
    fn heartbeat(&self) -> Duration {
        millis(&self.welcome, "heartbeatMs").unwrap_or(HEARTBEAT)
    }

    /// The next event of a type; others are dropped.
    pub async fn until(&mut self, kind: &str) -> Result<Value, Error> {
        loop {
            let event = self.next().await?;
            if text(&event, "type") == kind {
                return Ok(event);
            }
        }
    }

    /// Leaves the room for good.
    pub async fn leave(mut self) -> Result<(), Error> {
        let seq = self.send(json!({"type": "leave"})).await?;
        loop {
            match self.next().await {
                Ok(event) if text(&event, "type") == "ack" && number(&event, "seq") == Some(seq) => {
                    return Ok(());
                }
                Ok(_) => {}
                // The session is over, which was asked for.
                Err(Error::Over | Error::Connection(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn resume(credentials: &Credentials) -> Value {
    let Credentials { session, secret, last_id } = credentials;
    json!({"type": "resume", "session": session, "secret": secret, "lastId": last_id})
}
