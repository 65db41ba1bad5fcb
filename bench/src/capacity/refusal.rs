//! The reasons for which a server does not do what a client asks for.

use std::io::ErrorKind;

use serde_json::Value;

use crate::sfu::load::Unconnected;
use crate::turn::client::Refused;

/// `EMFILE`.
const TOO_MANY_FILES: i32 = 24;

/// What the server answered, or that it did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The connection ended before the server had said anything.
    #[error("the server closes new connections without an answer")]
    Unanswered,
    /// No answer within the time.
    #[error("the server does not answer")]
    Silent,
    /// Another response than an upgrade.
    #[error("the server answers HTTP {status}: {body}")]
    Http { status: u16, body: String },
    /// An `error` event.
    #[error("the server refuses: {code} ({message})")]
    Error { code: String, message: String },
    /// The connection of a client that had joined was closed.
    #[error("the server closed the connection of a client, with code {0}")]
    Closed(u16),
}

impl Refusal {
    /// The content of an `error` event.
    pub(super) fn of(event: &Value) -> Self {
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self::Error { code: text("code"), message: text("message") }
    }

    /// The failure of a connection to which the server has said nothing yet; `None` if it is not the server's.
    pub(super) fn of_io(error: &std::io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Some(Self::Unanswered),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Some(Self::Silent),
            _ => None,
        }
    }
}

/// Whether this machine has no port or descriptor left.
pub(super) fn is_local(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| {
        error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(TOO_MANY_FILES)
    })
}

/// Whether the server refuses connections of this address: it answers some of them, and closes the others.
pub(super) fn is_over_connections(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(Refusal::Unanswered) => true,
        Some(Refusal::Http { status: 429, body }) => body.contains("too many connections"),
        _ => false,
    }
}

/// A limit of the server, as far as its answer tells it.
pub(super) fn limit(error: &anyhow::Error) -> Option<&'static str> {
    if error.is::<Unconnected>() {
        return Some(
            "joining: the server's processors, or UDP between the two (see --metrics, and `visavis doctor`)",
        );
    }
    if let Some(Refused { code, .. }) = error.downcast_ref() {
        return Some(match code {
            486 => "relays of one user or of one address (100 and 2,000)",
            508 => "relay ports (--turn-relay-ports), or the server drains",
            401 | 438 => "credentials of the relay",
            403 => "the relay's policy (--turn-allow-peer)",
            _ => return None,
        });
    }
    let code = match error.downcast_ref::<Refusal>()? {
        Refusal::Http { status: 429, .. } => "rate-limited",
        Refusal::Http { status: 503, .. } | Refusal::Closed(4503) => "overloaded",
        Refusal::Closed(4408) => return Some("this load generator, which did not read fast enough"),
        Refusal::Error { code, .. } => code.as_str(),
        _ => return None,
    };
    Some(match code {
        "rate-limited" => {
            "sessions of one address (50 a second, with bursts of 500), or messages of a session"
        }
        "room-full" => "people in one room (5,000, or the meeting's capacity)",
        "overloaded" => "rooms of the server (100,000), or it is overloaded or drains",
        "unauthorized" | "forbidden" => "admission: the server wants a join token (--token, --auth-key)",
        "room-locked" | "wrong-password" => "admission: the room is not open",
        _ => return None,
    })
}
