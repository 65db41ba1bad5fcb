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
        /// The code of the wire protocol, such as `room-locked`.
        code: String,
        /// The explanation.
        message: String,
        /// When to try again, if that helps.
        retry_after: Option<Duration>,
    },
    /// The session is over: the server has closed the connection with this code, which is final.
    #[error("the session is over (close code {0})")]
    Over(u16),
    /// 64 messages are unanswered; [`Session::next`](crate::Session::next) receives the answers.
    #[error("too many messages are unanswered")]
    Unanswered,
    /// The answer is not one of this protocol.
    #[error("the server's answer is not understood: {0}")]
    Protocol(String),
    /// The media connection failed.
    #[error("the media connection failed: {0}")]
    Media(String),
    /// A file cannot be read or written.
    #[error("the file cannot be used")]
    File(#[source] io::Error),
    /// The contents of a file are not what is supported.
    #[error("the file is not supported: {0}")]
    Format(&'static str),
}

impl Error {
    pub(crate) fn connection(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Connection(io::Error::other(error))
    }

    pub(crate) fn media(error: &impl std::fmt::Display) -> Self {
        Self::Media(error.to_string())
    }
}
