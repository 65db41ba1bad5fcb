//! What goes wrong, by who has to change something.

use std::time::Duration;

use serde::Serialize;

use crate::Timestamp;

/// The error codes of the wire protocol. Each is one different reaction of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// Not parseable, or a field that has no sense.
    BadRequest,
    /// A `type` that this server does not know.
    UnknownMessage,
    /// A name that is empty, too long or has control characters.
    NameInvalid,
    /// No secret or token, or one that opens nothing.
    Unauthorized,
    /// Known, and not allowed.
    Forbidden,
    /// The room takes nobody in.
    RoomLocked,
    /// The room's password was not given, or another was.
    WrongPassword,
    /// A meeting that begins later.
    NotStarted,
    /// No such room, meeting or recording.
    NotFound,
    /// No such session.
    SessionUnknown,
    /// Nobody of that id in the room.
    PeerUnknown,
    /// The room has as many peers as it takes.
    RoomFull,
    /// Not possible in this state; nothing was changed.
    InvalidState,
    /// Another connection took the session over.
    SessionReplaced,
    /// The room is over.
    RoomEnded,
    /// A message or body over its limit.
    TooLarge,
    /// Media that this server cannot take.
    UnsupportedMedia,
    /// The same idempotency key with another body.
    IdempotencyMismatch,
    /// Too many in too short a time.
    RateLimited,
    /// The server takes no more at present.
    Overloaded,
    /// The server's own fault.
    Internal,
}

impl Code {
    /// The code as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::UnknownMessage => "unknown-message",
            Self::NameInvalid => "name-invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RoomLocked => "room-locked",
            Self::WrongPassword => "wrong-password",
            Self::NotStarted => "not-started",
            Self::NotFound => "not-found",
            Self::SessionUnknown => "session-unknown",
            Self::PeerUnknown => "peer-unknown",
            Self::RoomFull => "room-full",
            Self::InvalidState => "invalid-state",
            Self::SessionReplaced => "session-replaced",
            Self::RoomEnded => "room-ended",
            Self::TooLarge => "too-large",
            Self::UnsupportedMedia => "unsupported-media",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::UnknownMessage | Self::NameInvalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::RoomLocked | Self::WrongPassword | Self::NotStarted => 403,
            Self::NotFound | Self::SessionUnknown | Self::PeerUnknown => 404,
            Self::RoomFull | Self::InvalidState | Self::SessionReplaced => 409,
            Self::RoomEnded => 410,
            Self::TooLarge => 413,
            Self::UnsupportedMedia | Self::IdempotencyMismatch => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Overloaded => 503,
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Internal | Self::NotStarted)
    }

    /// The code with which a WebSocket closes after this error, for the errors after which it does.
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Self::Unauthorized => Some(4401),
            Self::SessionReplaced => Some(4409),
            Self::TooLarge => Some(4413),
            Self::Overloaded => Some(4503),
            _ => None,
        }
    }
}

/// The WebSocket close code of a connection whose reader was too slow; a resume is welcome.
pub const CLOSE_SLOW_READER: u16 = 4408;

/// Why nobody comes in by what was shown, where people can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Nothing was shown, and something is needed.
    InvitationNeeded,
    /// It was good once.
    Expired,
    /// It is good for another room.
    OtherRoom,
}

/// Why something that a client asked for was not done. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// What the client's program acts on.
    pub code: Code,
    /// A sentence for the person who writes that program.
    pub message: String,
    /// With `rate-limited` and `overloaded`: when to try again.
    pub retry_after_ms: Option<u64>,
    /// With `not-started`: when the meeting begins.
    pub starts_at: Option<Timestamp>,
    /// With `unauthorized`: what is wrong with the token, where it can be said.
    pub reason: Option<Reason>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, starts_at: None, reason: None }
    }

    /// The same, with what is wrong with the token.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// `bad-request`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// `rate-limited`, to be tried again after `wait`.
    pub fn rate_limited(wait: Duration, message: impl Into<String>) -> Self {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self { retry_after_ms: Some(millis), ..Self::new(Code::RateLimited, message) }
    }

    /// `not-started`, with the beginning.
    pub fn not_started(starts_at: Timestamp) -> Self {
        let mut refusal = Self::new(Code::NotStarted, "the meeting has not begun");
        refusal.starts_at = Some(starts_at);
        refusal
    }
}
