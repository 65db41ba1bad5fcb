//! The links between the nodes that serve one room.

use std::sync::Arc;

use crate::room::{FleetingEvent, Recipients};
use crate::{
    ConnectionId, Envelope, Frame, Input, NodeId, PeerId, RoomId, RoomSnapshot, SessionClaims, SessionId,
    Step,
};

/// Sends messages to other nodes. A link between two nodes keeps the order of its messages and loses none but the last
/// ones, when it breaks; then the driver of each side calls [`Shard::peer_lost`](crate::Shard::peer_lost) before it
/// passes on a message of the next link.
pub trait Peers: Send + Sync {
    /// This process.
    fn node(&self) -> NodeId;
    /// Sends a message about a room. It arrives by [`Shard::handle_peer`](crate::Shard::handle_peer), or never.
    fn send(&self, to: NodeId, room: &RoomId, message: PeerMessage);
}

/// An event in the log of a room, as it is given to a node that begins to follow.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// Its id.
    pub id: u64,
    /// The sessions that receive the frame.
    pub recipients: Recipients,
    /// The encoded event.
    pub frame: Arc<Frame>,
}

/// A client that is connected to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectedClient {
    /// The peer.
    pub peer: PeerId,
    /// Its session.
    pub session: SessionId,
    /// Its connection.
    pub by: ConnectionId,
    /// How often the session was resumed, up to this connection.
    pub resumes: u32,
}

/// What nodes say to each other about a room.
#[derive(Clone, Debug)]
pub enum PeerMessage {
    /// To the owner: the sender has somebody of the room.
    Follow {
        /// The guard of the ownership that the sender has read in the log.
        guard: u64,
        /// The sessions that are connected to the sender.
        connected: Vec<ConnectedClient>,
    },
    /// From the owner: the room as it has told it so far.
    Followed {
        /// The guard of its ownership.
        guard: u64,
        /// The room.
        snapshot: Box<RoomSnapshot>,
        /// The messages that led to what is told of it and not in the log.
        loose: Vec<Input>,
        /// The events that its log keeps.
        recent: Vec<LoggedEvent>,
        /// The id of the newest event that its log does not keep any more.
        floor: u64,
    },
    /// The sender does not own the room, or no longer.
    NotMine,
    /// From the owner, and at least twice a second: what is to be told.
    Told {
        /// The guard of its ownership.
        guard: u64,
        /// The id of the entry before.
        after: u64,
        /// What was decided.
        steps: Arc<[Step]>,
        /// Whether the log has it.
        kept: bool,
    },
    /// From the owner: the log has what these messages led to, which was told before.
    Kept {
        /// The guard of its ownership.
        guard: u64,
        /// The messages.
        inputs: Vec<Input>,
    },
    /// From the owner: an event of interest only at present.
    Fleeting(FleetingEvent),
    /// To the owner: a message of a client.
    Said {
        /// The sender.
        peer: PeerId,
        /// Its session.
        session: SessionId,
        /// The message.
        envelope: Envelope,
    },
    /// From the owner: the answer to a client's message that the log knows nothing of.
    Answer {
        /// The client's message.
        input: Input,
        /// The answer; `None` if that is an `ack`.
        refusal: Option<Arc<Frame>>,
        /// Whether the number of the message is used: otherwise the client may send it again.
        is_used: bool,
    },
    /// To the owner: a client has connected.
    Connected {
        /// The client.
        client: ConnectedClient,
        /// Whether it had missed events that are gone.
        gap: bool,
    },
    /// To the owner: a client is no longer connected.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// By which connection it was.
        by: ConnectionId,
    },
    /// From the owner: a client that was connected so has connected elsewhere.
    Replaced {
        /// The peer.
        peer: PeerId,
        /// By which connection it was.
        by: ConnectionId,
    },
    /// To the owner: a client resumes a session that the room does not know.
    Return(Box<SessionClaims>),
}
