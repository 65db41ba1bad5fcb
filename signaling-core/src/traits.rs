//! The interfaces of the core to what is implemented outside it.

use std::sync::Arc;

use crate::meeting::Happening;
use crate::message::{IceServers, Role};
use crate::room::{Pass, RoomRecord};
use crate::{Frame, MediaDemand, PeerId, RoomId, SessionId, Signed, Timestamp, TokenIdentity};

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

/// A function that is offered frames, for a connection that nobody has to close.
impl<F: FnMut(&Arc<Frame>) -> Offer + Send> Outbound for F {
    fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
        self(frame)
    }
    fn close(&mut self, _reason: CloseReason) {}
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
pub trait MediaPlane: Send + Sync {
    /// Carries out one demand. Must not block.
    fn demand(&self, room: &RoomId, demand: MediaDemand);
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

/// What whoever decides about entry, before the room does, grants to a join.
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

/// The room of a meeting, as a directory of meetings knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arranged {
    /// The record with which to open it.
    pub record: Arc<RoomRecord>,
    /// When the directory was asked, in the ticks of the shards. A room that has ended since is not opened.
    pub as_of: Timestamp,
}

/// Stores the part of rooms that must outlive the process.
pub trait RoomStore: Send + Sync {
    /// The record of every room that was saved and not forgotten.
    fn load(&self) -> Vec<RoomRecord>;
    /// Replaces the record of a room.
    fn save(&self, record: &RoomRecord);
    /// Adds to a room's record that a session has ended: [`RoomRecord::end_session`].
    fn end_session(&self, room: &RoomId, session: SessionId);
    /// Deletes the record of a room.
    fn forget(&self, room: &RoomId);
}

/// Learns what happens in the rooms of meetings. It must not block, and may lose events: no room waits for it.
pub trait RoomObserver: Send + Sync {
    /// Whether it learns of rooms without a meeting, too.
    fn wants_all(&self) -> bool {
        false
    }
    /// An event has happened.
    fn happened(&self, happening: Happening);
}

/// Ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl RoomObserver for NoObserver {
    fn happened(&self, _happening: Happening) {}
}

/// No media plane: for servers that leave media to the peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMedia;

impl MediaPlane for NoMedia {
    fn demand(&self, _room: &RoomId, _demand: MediaDemand) {}
}

/// Stores nothing: for servers whose rooms need not outlive the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl RoomStore for NoStore {
    fn load(&self) -> Vec<RoomRecord> {
        Vec::new()
    }

    fn save(&self, _record: &RoomRecord) {}

    fn end_session(&self, _room: &RoomId, _session: SessionId) {}

    fn forget(&self, _room: &RoomId) {}
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
