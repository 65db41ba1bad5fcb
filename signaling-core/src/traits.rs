//! The seams of the core: what is implemented outside of it.

use std::sync::Arc;

use crate::message::{IceServers, Join, Reply, Role, ServerEvent};
use crate::room::RoomRecord;
use crate::{Envelope, Frame, MediaDemand, PeerId, Refusal, RoomId, Timestamp, Unreadable};

/// The wall clock. Its readings never go backwards within a process.
pub trait WallClock: Send + Sync {
    /// The present.
    fn now(&self) -> Timestamp;
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
    /// Passes lock, password, lobby and capacity, as a host does.
    pub admitted: bool,
    /// Whether this join may make the room.
    pub may_create: bool,
    /// Whether the join's token was one of the authenticator's. Any other must be a host token of the room.
    pub token_known: bool,
    /// Good only if the join's token proves to be a host token of the room as it is now.
    pub hosts_only: bool,
}

/// Decides who may come in at all, before the room is asked.
pub trait Authenticator: Send + Sync {
    /// What the join's token (or its absence) grants, or why it is refused.
    fn authenticate(&self, now: Timestamp, join: &Join) -> Result<Grant, Refusal>;

    /// Whether somebody with this token, or without one, may make a room whose name the server chooses.
    fn may_make_room(&self, _now: Timestamp, _token: Option<&str>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether the token is one of the authenticator's, for this room.
    fn opens(&self, _now: Timestamp, _room: &RoomId, _token: &str) -> bool {
        false
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
    /// Forgets a room.
    fn forget(&mut self, room: &RoomId);
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
