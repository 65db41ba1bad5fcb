//! API keys: who issues them is behind a trait, what they permit is shared.

use async_trait::async_trait;
use signaling_core::{Code, Refusal, RoomId};

/// The permission of a key to the server's own HTTP interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `meetings:read`
    MeetingsRead,
    /// `meetings:write`, which includes reading.
    MeetingsWrite,
    /// `rooms`: list live rooms, end them, mint join tokens.
    Rooms,
    /// `recordings`
    Recordings,
    /// `captions:write`: send captions to rooms.
    CaptionsWrite,
    /// `admin`: everything, whoever owns it.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 6] = [
        Self::MeetingsRead,
        Self::MeetingsWrite,
        Self::Rooms,
        Self::Recordings,
        Self::CaptionsWrite,
        Self::Admin,
    ];

    /// The scope as command lines and answers write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeetingsRead => "meetings:read",
            Self::MeetingsWrite => "meetings:write",
            Self::Rooms => "rooms",
            Self::Recordings => "recordings",
            Self::CaptionsWrite => "captions:write",
            Self::Admin => "admin",
        }
    }

    /// Whether a key with this scope may do what requires `other`.
    pub fn includes(self, other: Self) -> bool {
        self == other || self == Self::Admin || (self == Self::MeetingsWrite && other == Self::MeetingsRead)
    }
}

/// Knows the keys of the HTTP interface.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Whether the bearer is an API key at all, rather than another kind of token.
    fn is_key(&self, bearer: &str) -> bool;
    /// Succeeds if the key is valid for the scope. Otherwise the refusal is `unauthorized` (unknown, revoked),
    /// `forbidden` (another scope) or `overloaded` (no look-up is possible at present).
    async fn check(&self, bearer: &str, scope: Scope) -> Result<(), Refusal>;
    /// As [`Self::check`] with the scope `rooms`. Also succeeds if the room belongs to the key's own meeting and the
    /// key has the scope `own`, and in every room if `own` is `captions:write` and the key is no customer's.
    async fn check_room(&self, bearer: &str, _room: &RoomId, _own: Scope) -> Result<(), Refusal> {
        self.check(bearer, Scope::Rooms).await
    }
}

/// A server without API keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApiKeys;

#[async_trait]
impl ApiKeys for NoApiKeys {
    fn is_key(&self, _bearer: &str) -> bool {
        false
    }

    async fn check(&self, _bearer: &str, _scope: Scope) -> Result<(), Refusal> {
        Err(Refusal::new(Code::Unauthorized, "this server has no API keys"))
    }
}
