//! The states of a meeting.

use serde::{Deserialize, Serialize};

/// The stored state of a meeting, independent of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nobody has joined yet.
    Planned,
    /// Somebody has joined since the present occurrence began to admit people.
    Live,
    /// Ended by somebody with that permission.
    Ended,
    /// Cancelled.
    Cancelled,
    /// Everybody left, or nobody came.
    Expired,
}

impl Status {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// How a meeting stands at a moment, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum State {
    Scheduled,
    Open,
    Ended,
    Cancelled,
    Expired,
}

impl State {
    /// What an `ETag` ends in where the clock alone has led here.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Scheduled => "-scheduled",
            Self::Open => "-open",
            Self::Ended => "-ended",
            Self::Cancelled => "-cancelled",
            Self::Expired => "-expired",
        }
    }
}
