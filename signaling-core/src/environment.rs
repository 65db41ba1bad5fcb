//! What a shard is given: the configuration of the server, and the interfaces to everything outside the core.

use std::sync::Arc;

use crate::room::Rules;
use crate::{
    Entropy, IceProvider, JsonCodec, MediaPlane, NoIceServers, NoMedia, NoObserver, NoRoomLog, NoStore,
    NodeId, PeerMessage, Peers, RoomId, RoomLog, RoomObserver, RoomStore, ServerKey, Wall,
};

/// The configuration of a shard, and its interfaces to everything outside the core.
pub struct Environment {
    /// Limits, keys, and the server's capabilities.
    pub rules: Arc<Rules>,
    /// The wire format of messages.
    pub codec: Arc<JsonCodec>,
    /// Carries media that peers do not exchange directly.
    pub media: Box<dyn MediaPlane>,
    /// Stores what must outlive the process.
    pub store: Box<dyn RoomStore>,
    /// Keeps what was decided.
    pub log: Box<dyn RoomLog>,
    /// The other nodes, if there are any: then rooms move between them.
    pub peers: Option<Box<dyn Peers>>,
    /// Learns what happens in the rooms of meetings.
    pub observer: Box<dyn RoomObserver>,
    /// The source of ids and nonces.
    pub entropy: Box<dyn Entropy>,
    /// The STUN and TURN servers for peers that join.
    pub ice: Arc<dyn IceProvider>,
    /// The features that the server announces to clients.
    pub features: Arc<[String]>,
    /// The offset of the wall clock from the ticks, until [`Shard::set_wall`](crate::Shard::set_wall) changes it.
    pub wall: Wall,
}

impl Environment {
    /// A server with the default limits that keeps nothing and leaves media to the peers: an embedder replaces what it
    /// has. `entropy` is the system's, or seeded in a test.
    pub fn new(key: ServerKey, entropy: Box<dyn Entropy>) -> Self {
        Self {
            rules: Arc::new(Rules::new(key)),
            codec: Arc::new(JsonCodec::default()),
            media: Box::new(NoMedia),
            store: Box::new(NoStore),
            log: Box::new(NoRoomLog),
            peers: None,
            observer: Box::new(NoObserver),
            entropy,
            ice: Arc::new(NoIceServers),
            features: Arc::new([]),
            wall: Wall::default(),
        }
    }

    /// This process, as the log knows it.
    pub(crate) fn node(&self) -> NodeId {
        self.peers.as_ref().map_or(NodeId::default(), |peers| peers.node())
    }

    /// Sends a message to another node.
    pub(crate) fn send(&mut self, to: NodeId, room: &RoomId, message: PeerMessage) {
        if let Some(peers) = &mut self.peers {
            peers.send(to, room, message);
        }
    }
}
