//! The protocol's errors.

use std::time::Duration;

use serde::Serialize;

use crate::Timestamp;

/// The error codes of the wire protocol. Each calls for a different reaction of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The message is malformed, or a field makes no sense.
    BadRequest,
    /// The server does not know the message's `type`.
    UnknownMessage,
    /// The name is empty, too long, or has control characters.
    NameInvalid,
    /// The secret or token is missing or invalid.
    Unauthorized,
    /// The client is known but not permitted.
    Forbidden,
    /// The room is locked.
    RoomLocked,
    /// The room's password is missing or wrong.
    WrongPassword,
    /// The meeting has not begun.
    NotStarted,
    /// The room, meeting or recording does not exist.
    NotFound,
    /// The session does not exist.
    SessionUnknown,
    /// The room has no such peer.
    PeerUnknown,
    /// The room is full.
    RoomFull,
    /// The state does not allow the request; nothing has changed.
    InvalidState,
    /// Another connection has taken over the session.
    SessionReplaced,
    /// The room has ended.
    RoomEnded,
    /// A message or body exceeds its limit.
    TooLarge,
    /// The server does not support the media.
    UnsupportedMedia,
    /// The idempotency key was used with another body.
    IdempotencyMismatch,
    /// Too many requests in too short a time.
    RateLimited,
    /// The server has no capacity at present.
    Overloaded,
    /// The fault is the server's.
    Internal,
}

impl Code {
    /// The code as messages carry it.
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

    /// The HTTP status for the code.
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

    /// The code with which a WebSocket closes after this error, if it does.
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

/// The WebSocket close code for a reader that was too slow. The client may resume.
pub const CLOSE_SLOW_READER: u16 = 4408;

/// Why a credential does not admit its bearer, where a person can remedy it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// A credential is required, and none was presented.
    InvitationNeeded,
    /// The credential has expired.
    Expired,
    /// The credential is for another room.
    OtherRoom,
}

/// Why a request was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Refusal {
    /// The code, on which the client's program acts.
    pub code: Code,
    /// A sentence for the developer of that program.
    pub message: String,
    /// With `rate-limited` and `overloaded`: when to try again.
    pub retry_after_ms: Option<u64>,
    /// With `not-started`: when the meeting begins.
    pub starts_at: Option<Timestamp>,
    /// With `unauthorized`: what is wrong with the token, where it may be disclosed.
    pub reason: Option<Reason>,
}

impl Refusal {
    /// A refusal with a code and a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, starts_at: None, reason: None }
    }

    /// Adds what is wrong with the token.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// `bad-request`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// `rate-limited`; the client may retry after `wait`.
    pub fn rate_limited(wait: Duration, message: impl Into<String>) -> Self {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self { retry_after_ms: Some(millis), ..Self::new(Code::RateLimited, message) }
    }

    /// `not-started`, with the start of the meeting.
    pub fn not_started(starts_at: Timestamp) -> Self {
        let mut refusal = Self::new(Code::NotStarted, "the meeting has not begun");
        refusal.starts_at = Some(starts_at);
        refusal
    }
}
