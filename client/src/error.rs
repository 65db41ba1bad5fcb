//! What can go wrong, by what the caller does about it.

use std::io;
use std::time::Duration;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not that of a server.
    #[error("not the URL of a server: {0}")]
    Url(String),
    /// The server cannot be reached, or the connection is lost. A session may be resumed.
    #[error("there is no connection to the server")]
    Connection(#[source] io::Error),
    /// The server has refused.
    #[error("{code}: {message}")]
    Refused {
        /// The code of the wire protocol, such as `room-locked`; without one, the HTTP status.
        code: String,
        /// The explanation.
        message: String,
        /// When to try again, if the server says so.
        retry_after: Option<Duration>,
    },
    /// The session is over, and cannot be resumed: its peer has been removed, or the room has ended.
    #[error("the session is over")]
    Over,
    /// Another connection has taken the session over, which is final for this one.
    #[error("another connection has taken the session over")]
    Replaced,
    /// 64 messages are unanswered; [`Session::next`](crate::Session::next) receives the answers.
    #[error("too many messages are unanswered")]
    Unanswered,
    /// The answer is not one of this protocol.
    #[error("the server's answer is not understood: {0}")]
    Protocol(String),
    /// The media connection failed or has ended.
    #[error("media: {0}")]
    Media(String),
    /// A file cannot be read or written.
    #[error("the file cannot be used")]
    File(#[source] io::Error),
    /// The contents of a file are not what is supported.
    #[error("the file is not supported: {0}")]
    Format(&'static str),
}

impl Error {
    /// Whether the same call may succeed later, without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        const PASSING: [&str; 9] = [
            "rate-limited",
            "overloaded",
            "internal",
            "not-started",
            // A proxy's answers, without a code of ours.
            "429",
            "500",
            "502",
            "503",
            "504",
        ];
        match self {
            Self::Connection(_) => true,
            Self::Refused { code, .. } => PASSING.contains(&code.as_str()),
            _ => false,
        }
    }

    /// Nothing came for too long.
    pub(crate) fn silence() -> Self {
        Self::Connection(io::ErrorKind::TimedOut.into())
    }

    pub(crate) fn connection(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Connection(io::Error::other(error))
    }

    pub(crate) fn media(error: &impl std::fmt::Display) -> Self {
        Self::Media(error.to_string())
    }
}
