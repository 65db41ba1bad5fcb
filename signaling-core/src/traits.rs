//! The seams of the core: what is implemented outside of it.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::meeting::{Happening, MeetingCode};
use crate::message::{IceServers, Join, Json, Reply, Role, ServerEvent};
use crate::room::RoomRecord;
use crate::{Code, Envelope, Frame, MediaDemand, PeerId, Refusal, RoomId, SessionId, Timestamp, Unreadable};

/// The clocks of a driver.
pub trait WallClock: Send + Sync {
    /// The present, as the machine's wall clock has it. It goes back when that is set back.
    fn now(&self) -> Timestamp;

    /// The present by a clock that has stood long enough to be believed with what cannot be undone; `None` when none has.
    fn settled(&self) -> Option<Timestamp> {
        Some(self.now())
    }

    /// What timers go by: begins with the time of the process's start, never goes back, and stands still while the
    /// process does not run.
    fn ticks(&self) -> Timestamp {
        self.now()
    }
}

/// A source of unguessable bytes.
pub trait Entropy: Send {
    /// Fills the slice.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// How messages look on the wire.
pub trait MessageCodec: Send + Sync {
    /// Reads one message of a client.
    fn decode(&self, text: &[u8]) -> Result<Envelope, Unreadable>;
    /// Writes an event with its number.
    fn encode_event(&self, id: u64, event: &ServerEvent) -> Frame;
    /// Writes what has no number.
    fn encode_reply(&self, reply: &Reply) -> Frame;
}

/// What a connection made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is on its way.
    Taken,
    /// No room at present: the frame was not taken, and the connection says so when there is room again, by
    /// [`Shard::writable`](crate::Shard::writable).
    Full,
    /// Nobody is there any more. The driver reports the loss by [`Shard::detach`](crate::Shard::detach).
    Gone,
}

/// Which request of a connection an answer belongs to, on transports that have such a notion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// The outbound half of a peer: a WebSocket, an event stream, a Socket.IO connection. (A WHIP or WHEP session has none:
/// it hears nothing, and lives by its media; see [`Shard::join_media`](crate::Shard::join_media).)
///
/// It holds a few frames at most. What lies behind them stays in the room's log.
pub trait Outbound: Send {
    /// Offers one frame; `answers` names the request that it answers.
    fn offer(&mut self, frame: &Arc<Frame>, answers: Option<RequestId>) -> Offer;
    /// The last word. Frames taken before are still sent.
    fn close(&mut self, reason: CloseReason);
}

/// Why the server lets a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The session is over: left, kicked, or its room ended.
    Ended,
    /// Another connection took the session over. Final for this one.
    Replaced,
    /// It read too slowly. A resume is welcome.
    SlowReader,
    /// It was silent for two heartbeats. A resume is welcome.
    Silent,
    /// The server is going away. A resume is welcome.
    GoingAway,
}

/// The media plane of a room, driven by what the room decides. What it has to say comes back by
/// [`Shard::media`](crate::Shard::media).
pub trait MediaPlane: Send {
    /// Carries out one demand. Must not block.
    fn demand(&mut self, room: &RoomId, demand: MediaDemand);
}

/// Hands out STUN and TURN servers, with credentials that expire.
pub trait IceProvider: Send + Sync {
    /// What a peer of a room gets now.
    /// `reached_at` is the host name or address by which the client reached the server, as it stands in a URL.
    fn ice_servers(
        &self,
        now: Timestamp,
        room: &RoomId,
        peer: PeerId,
        reached_at: Option<&str>,
    ) -> IceServers;
}

/// Who somebody is, according to an [`Authenticator`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// A name that replaces the one given.
    pub name: Option<String>,
    /// A role that replaces the one given.
    pub role: Option<Role>,
    /// A host's power.
    pub host: bool,
    /// Passes lock, password and lobby. Only a host passes the capacity as well.
    pub admitted: bool,
    /// Whether this join may make the room.
    pub may_create: bool,
    /// Whether the join's token was one of the authenticator's. Any other must be a host token of the room.
    pub token_known: bool,
    /// By what the join's token is known again, if it was one of the authenticator's.
    pub token: Option<TokenIdentity>,
    /// The room of a meeting, to be opened when it is not there.
    pub arranged: Option<Arranged>,
    /// What the service that signed the join's token says of its bearer.
    pub signed: Option<Signed>,
    /// Good only if the join's token proves to be a host token of the room as it is now.
    pub hosts_only: bool,
}

/// By what a join token is known again when its holder has been removed from a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIdentity {
    /// The token's own id (`jti`).
    pub id: Option<String>,
    /// Whom it was made for (`sub`).
    pub subject: Option<String>,
    /// What of its text cannot be written in another way.
    pub text: String,
}

/// What the service that signed a join token says of its bearer, who cannot change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// Who it is for that service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What stands in the place of the `metadata` of the join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// The room of a meeting as a [`MeetingDirectory`] knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arranged {
    /// As it is to be opened.
    pub record: Arc<RoomRecord>,
    /// When the directory was asked, by the ticks of the shards. A room that was ended since then is not opened.
    pub as_of: Timestamp,
}

/// Decides who may come in at all, before the room is asked.
pub trait Authenticator: Send + Sync {
    /// What the join's token (or its absence) grants, or why it is refused.
    fn authenticate(&self, now: Timestamp, join: &Join) -> Result<Grant, Refusal>;

    /// Whether somebody with this token, or without one, may make a room whose name the server chooses.
    fn may_make_room(&self, _now: Timestamp, _token: Option<&str>) -> Result<(), Refusal> {
        Ok(())
    }

    /// The room that a good token of the authenticator's is for, as it stands there: a code, a name or an id.
    fn names(&self, _now: Timestamp, _token: &str) -> Option<String> {
        None
    }
}

/// Lets everybody in: the authenticator of a server without tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAuthenticator;

impl Authenticator for OpenAuthenticator {
    fn authenticate(&self, _now: Timestamp, _join: &Join) -> Result<Grant, Refusal> {
        Ok(Grant { may_create: true, ..Grant::default() })
    }
}

/// Keeps of rooms what must outlive the process.
pub trait RoomStore: Send {
    /// Every room that was saved and not forgotten.
    fn load(&mut self) -> Vec<RoomRecord>;
    /// Keeps the newest record of a room.
    fn save(&mut self, record: &RoomRecord);
    /// Adds to a room's record that a session has ended: [`RoomRecord::end_session`].
    fn end_session(&mut self, room: &RoomId, session: SessionId);
    /// Forgets a room.
    fn forget(&mut self, room: &RoomId);
}

/// Knows the rooms that were arranged for meetings, open or not.
#[async_trait]
pub trait MeetingDirectory: Send + Sync {
    /// The room of the meeting with this code, as it is to be opened; `None` when there never was one, and a refusal
    /// (`room-ended`) when the meeting is over.
    async fn by_code(&self, code: MeetingCode) -> Result<Option<RoomRecord>, Refusal>;
    /// The room of the meeting with this code, over or not.
    async fn room_of_code(&self, code: MeetingCode) -> Result<Option<RoomId>, Refusal> {
        Ok(self.by_code(code).await?.map(|record| record.room))
    }
    /// As [`Self::by_code`], by the room's own name.
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

/// Is told what happens in the rooms of meetings. Must not block, and may forget: a room waits for nobody.
pub trait RoomObserver: Send {
    /// Something happened.
    fn happened(&mut self, happening: Happening);
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl RoomObserver for NoObserver {
    fn happened(&mut self, _happening: Happening) {}
}

/// What a key of the server's own HTTP interface opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `meetings:read`
    MeetingsRead,
    /// `meetings:write`, which includes reading.
    MeetingsWrite,
    /// `rooms`: see live rooms, end them, mint join tokens.
    Rooms,
    /// `recordings`
    Recordings,
    /// `admin`: everything, of everybody.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 5] =
        [Self::MeetingsRead, Self::MeetingsWrite, Self::Rooms, Self::Recordings, Self::Admin];

    /// As it stands on command lines and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeetingsRead => "meetings:read",
            Self::MeetingsWrite => "meetings:write",
            Self::Rooms => "rooms",
            Self::Recordings => "recordings",
            Self::Admin => "admin",
        }
    }

    /// Whether a key with this scope may do what needs `other`.
    pub fn includes(self, other: Self) -> bool {
        self == other || self == Self::Admin || (self == Self::MeetingsWrite && other == Self::MeetingsRead)
    }
}

/// Knows the keys of the HTTP interface.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Whether the bearer is a key at all; others are tokens of other kinds.
    fn is_key(&self, bearer: &str) -> bool;
    /// Nothing when the key is good for the scope; else `unauthorized` (unknown, revoked), `forbidden` (another scope) or
    /// `overloaded` (nobody can look it up at present).
    async fn check(&self, bearer: &str, scope: Scope) -> Result<(), Refusal>;
    /// As [`Self::check`] with the scope `rooms`; also nothing when the room is that of a meeting which is the key's own, and
    /// the key has `own` for its meetings.
    async fn check_room(&self, bearer: &str, _room: &RoomId, _own: Scope) -> Result<(), Refusal> {
        self.check(bearer, Scope::Rooms).await
    }
}

/// A request that may come again (the `Idempotency-Key` header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// Whose key it is: keys of different senders have nothing to do with each other.
    pub owner: String,
    /// The key.
    pub key: String,
    /// A digest of what is asked for.
    pub digest: String,
}

/// Remembers what was answered to requests that may come again.
#[async_trait]
pub trait Replies: Send + Sync {
    /// What was answered to this request before; `idempotency-mismatch` when its key was used for another one.
    async fn former(&self, request: &Repeatable) -> Result<Option<String>, Refusal>;
    /// Keeps an answer. When another was kept in the meantime, it is the result, and the one that counts.
    async fn keep(&self, request: &Repeatable, answer: &str) -> Result<Option<String>, Refusal>;
}

/// Remembers nothing, and says so to who relies on it.
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

/// A server without keys.
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

/// Where a room lives, when there are several nodes.
///
/// On one node every room is here. With several, a node that does not own a room passes on what came in for it.
pub trait Placement: Send + Sync {
    /// Which shard of this process serves the room, or `None` when another node does.
    fn shard(&self, room: &RoomId, shards: usize) -> Option<usize>;
}

/// The placement of a server that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleNode;

impl Placement for SingleNode {
    fn shard(&self, room: &RoomId, shards: usize) -> Option<usize> {
        usize::try_from(crate::shard_hash(room) % (shards.max(1) as u64)).ok()
    }
}

/// No media plane: for servers that leave media to the peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMedia;

impl MediaPlane for NoMedia {
    fn demand(&mut self, _room: &RoomId, _demand: MediaDemand) {}
}

/// Keeps nothing: for servers whose rooms need not outlive the process.
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
