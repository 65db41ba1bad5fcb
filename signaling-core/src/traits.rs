//! The interfaces of the core to what is implemented outside it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::meeting::{Happening, MeetingCode};
use crate::message::{IceServers, Join, Role};
use crate::room::{Pass, RoomRecord};
use crate::{Code, Frame, MediaDemand, PeerId, Refusal, RoomId, SessionId, Signed, Timestamp, TokenIdentity};

/// The clocks of a driver.
pub trait WallClock: Send + Sync {
    /// The present time by the machine's wall clock. It goes back when that clock is set back.
    fn now(&self) -> Timestamp;

    /// The present time by a clock that has been stable long enough to be trusted with irreversible decisions; `None`
    /// if there is none.
    fn settled(&self) -> Option<Timestamp> {
        Some(self.now())
    }

    /// The time by which timers run. It starts at the time of the process's start, never goes back, and stands still
    /// while the process does not run.
    fn ticks(&self) -> Timestamp {
        self.now()
    }
}

/// A connection's answer to the offer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The connection took the frame.
    Taken,
    /// The connection has no room and did not take the frame. When there is room again, it is reported by
    /// [`Shard::writable`](crate::Shard::writable).
    Full,
    /// The connection is gone. The driver reports it by [`Shard::detach`](crate::Shard::detach).
    Gone,
}

/// The request of a connection that an answer belongs to, on transports that have requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// The outbound half of a connection: a WebSocket, an event stream, a Socket.IO connection. (A WHIP or WHEP session has
/// none: it receives no events, and lives by its media; see [`Shard::join_media`](crate::Shard::join_media).)
///
/// It holds a few frames at most. Further frames stay in the room's log.
pub trait Outbound: Send {
    /// Offers one frame; `answers` names the request that it answers.
    fn offer(&mut self, frame: &Arc<Frame>, answers: Option<RequestId>) -> Offer;
    /// The close follows, and the session cannot be resumed: all frames offered until then are taken.
    fn take_all(&mut self) {}
    /// Closes the connection. Frames that it has taken are still sent.
    fn close(&mut self, reason: CloseReason);
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The session has ended: the peer left or was kicked, or its room ended.
    Ended,
    /// Another connection has taken over the session, for good.
    Replaced,
    /// The client read too slowly. It may resume.
    SlowReader,
    /// The client was silent for two heartbeats. It may resume.
    Silent,
    /// The server is going away. The client may resume.
    GoingAway,
}

/// The media plane of a room, driven by the room's decisions. It reports by [`Shard::media`](crate::Shard::media).
pub trait MediaPlane: Send {
    /// Carries out one demand. Must not block.
    fn demand(&mut self, room: &RoomId, demand: MediaDemand);
}

/// Provides STUN and TURN servers, with credentials that expire.
pub trait IceProvider: Send + Sync {
    /// The servers for a peer of a room. `reached_at` is the host name or address by which the client reached the
    /// server, as a URL contains it.
    fn ice_servers(
        &self,
        now: Timestamp,
        room: &RoomId,
        peer: PeerId,
        reached_at: Option<&str>,
    ) -> IceServers;
}

/// What an [`Authenticator`] grants to a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// A name that replaces the one in the join.
    pub name: Option<String>,
    /// A role that replaces the one in the join.
    pub role: Option<Role>,
    /// Which admission checks it passes.
    pub pass: Pass,
    /// Whether this join may make the room.
    pub may_create: bool,
    /// Whether the join's token was one of the authenticator's. Any other token must be a host token of the room.
    pub token_known: bool,
    /// The identity of the join's token, if it was one of the authenticator's.
    pub token: Option<TokenIdentity>,
    /// The room of a meeting, which is opened if it does not exist.
    pub arranged: Option<Arranged>,
    /// What the signer of the join's token asserts about its bearer.
    pub signed: Option<Signed>,
    /// Valid only if the join's token proves to be a host token of the room in its present life.
    pub hosts_only: bool,
}

/// The room of a meeting, as a [`MeetingDirectory`] knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arranged {
    /// The record with which to open it.
    pub record: Arc<RoomRecord>,
    /// When the directory was asked, in the ticks of the shards. A room that has ended since is not opened.
    pub as_of: Timestamp,
}

/// Decides who may enter at all, before the room is asked.
pub trait Authenticator: Send + Sync {
    /// What the join's token, or its absence, grants, or why the join is refused.
    fn authenticate(&self, now: Timestamp, join: &Join) -> Result<Grant, Refusal>;

    /// Whether the bearer of this token, or of none, may make a room whose name the server chooses.
    fn may_make_room(&self, _now: Timestamp, _token: Option<&str>) -> Result<(), Refusal> {
        Ok(())
    }

    /// The room that a valid token of the authenticator is for, as the token states it: a code, a name or an id.
    fn names(&self, _now: Timestamp, _token: &str) -> Option<String> {
        None
    }
}

/// Admits everyone: the authenticator of a server without tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAuthenticator;

impl Authenticator for OpenAuthenticator {
    fn authenticate(&self, _now: Timestamp, _join: &Join) -> Result<Grant, Refusal> {
        Ok(Grant { may_create: true, ..Grant::default() })
    }
}

/// Stores the part of rooms that must outlive the process.
pub trait RoomStore: Send {
    /// The record of every room that was saved and not forgotten.
    fn load(&mut self) -> Vec<RoomRecord>;
    /// Replaces the record of a room.
    fn save(&mut self, record: &RoomRecord);
    /// Adds to a room's record that a session has ended: [`RoomRecord::end_session`].
    fn end_session(&mut self, room: &RoomId, session: SessionId);
    /// Deletes the record of a room.
    fn forget(&mut self, room: &RoomId);
}

/// Knows the rooms of meetings, open or not.
#[async_trait]
pub trait MeetingDirectory: Send + Sync {
    /// The record of the room of the meeting with this code; `None` if there never was such a meeting, and the refusal
    /// `room-ended` if it is over.
    async fn by_code(&self, code: MeetingCode) -> Result<Option<RoomRecord>, Refusal>;
    /// The room of the meeting with this code, over or not.
    async fn room_of_code(&self, code: MeetingCode) -> Result<Option<RoomId>, Refusal> {
        Ok(self.by_code(code).await?.map(|record| record.room))
    }
    /// As [`Self::by_code`], by the room's own id.
    async fn by_room(&self, room: &RoomId) -> Result<Option<RoomRecord>, Refusal>;
}

/// No meetings: every code is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeetings;

#[async_trait]
impl MeetingDirectory for NoMeetings {
    async fn by_code(&self, _code: MeetingCode) -> Result<Option<RoomRecord>, Refusal> {
        Ok(None)
    }

    async fn by_room(&self, _room: &RoomId) -> Result<Option<RoomRecord>, Refusal> {
        Ok(None)
    }
}

/// Learns what happens in the rooms of meetings. It must not block, and may lose events: no room waits for it.
pub trait RoomObserver: Send {
    /// Whether it learns of rooms without a meeting, too.
    fn wants_all(&self) -> bool {
        false
    }
    /// An event has happened.
    fn happened(&mut self, happening: Happening);
}

/// Ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl RoomObserver for NoObserver {
    fn happened(&mut self, _happening: Happening) {}
}

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

/// A request that may be repeated (the `Idempotency-Key` header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// The owner of the idempotency key; keys of different owners are unrelated.
    pub owner: String,
    /// The idempotency key.
    pub key: String,
    /// A digest of the request.
    pub digest: String,
}

/// Stores the answers to requests that may be repeated.
#[async_trait]
pub trait Replies: Send + Sync {
    /// The earlier answer to this request; `idempotency-mismatch` if its key was used for another request.
    async fn former(&self, request: &Repeatable) -> Result<Option<String>, Refusal>;
    /// Stores an answer. If another was stored in the meantime, that one is returned, and counts.
    async fn keep(&self, request: &Repeatable, answer: &str) -> Result<Option<String>, Refusal>;
}

/// Stores nothing, and refuses requests that rely on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplies;

#[async_trait]
impl Replies for NoReplies {
    async fn former(&self, _request: &Repeatable) -> Result<Option<String>, Refusal> {
        Err(Refusal::bad_request("this server honours no `Idempotency-Key` here"))
    }

    async fn keep(&self, _request: &Repeatable, _answer: &str) -> Result<Option<String>, Refusal> {
        Ok(None)
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

/// No media plane: for servers that leave media to the peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMedia;

impl MediaPlane for NoMedia {
    fn demand(&mut self, _room: &RoomId, _demand: MediaDemand) {}
}

/// Stores nothing: for servers whose rooms need not outlive the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl RoomStore for NoStore {
    fn load(&mut self) -> Vec<RoomRecord> {
        Vec::new()
    }

    fn save(&mut self, _record: &RoomRecord) {}

    fn end_session(&mut self, _room: &RoomId, _session: SessionId) {}

    fn forget(&mut self, _room: &RoomId) {}
}

/// No STUN and no TURN: for calls within one network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIceServers;

impl IceProvider for NoIceServers {
    fn ice_servers(
        &self,
        _now: Timestamp,
        _room: &RoomId,
        _peer: PeerId,
        _reached_at: Option<&str>,
    ) -> IceServers {
        IceServers::default()
    }
}
