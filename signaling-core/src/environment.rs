//! What a shard is given: the configuration of the server, and the interfaces to everything outside the core.

use std::sync::Arc;

use crate::room::Rules;
use crate::{
    Entropy, IceProvider, JsonCodec, MediaPlane, NoIceServers, NoMedia, NoObserver, NoRoomLog, NoStore,
    NodeId, PeerMessage, Peers, RoomId, RoomLog, RoomObserver, RoomStore, ServerKey, SystemEntropy, Wall,
};

/// The configuration of a shard, and its interfaces to everything outside the core.
pub struct Environment {
    /// Limits, keys, and the server's capabilities.
    pub rules: Arc<Rules>,
    /// The wire format of messages.
    pub codec: Arc<JsonCodec>,
    /// Carries media that peers do not exchange directly.
    pub media: Arc<dyn MediaPlane>,
    /// Stores what must outlive the process.
    pub store: Arc<dyn RoomStore>,
    /// Keeps what was decided.
    pub log: Arc<dyn RoomLog>,
    /// The other nodes, if there are any: then rooms move between them.
    pub peers: Option<Arc<dyn Peers>>,
    /// Learns what happens in the rooms of meetings.
    pub observer: Arc<dyn RoomObserver>,
    /// The source of ids and nonces: the system's, or a seeded one in a test.
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
    /// has.
    pub fn new(key: ServerKey) -> Self {
        Self::with_rules(Rules::new(key))
    }

    /// As [`Self::new`], with limits and capabilities of one's own.
    pub fn with_rules(rules: Rules) -> Self {
        Self {
            codec: Arc::new(JsonCodec::new(rules.limits.clone())),
            rules: Arc::new(rules),
            media: Arc::new(NoMedia),
            store: Arc::new(NoStore),
            log: Arc::new(NoRoomLog),
            peers: None,
            observer: Arc::new(NoObserver),
            entropy: Box::new(SystemEntropy),
            ice: Arc::new(NoIceServers),
            features: Arc::new([]),
            wall: Wall::default(),
        }
    }

    /// The same for a further shard, whose ids and nonces come from the system.
    #[must_use]
    pub fn for_another_shard(&self) -> Self {
        Self {
            rules: Arc::clone(&self.rules),
            codec: Arc::clone(&self.codec),
            media: Arc::clone(&self.media),
            store: Arc::clone(&self.store),
            log: Arc::clone(&self.log),
            peers: self.peers.clone(),
            observer: Arc::clone(&self.observer),
            entropy: Box::new(SystemEntropy),
            ice: Arc::clone(&self.ice),
            features: Arc::clone(&self.features),
            wall: self.wall,
        }
    }

    /// This process, as the log knows it.
    pub(crate) fn node(&self) -> NodeId {
        self.peers.as_ref().map_or(NodeId::default(), |peers| peers.node())
    }

    /// Sends a message to another node.
    pub(crate) fn send(&self, to: NodeId, room: &RoomId, message: PeerMessage) {
        if let Some(peers) = &self.peers {
            peers.send(to, room, message);
        }
    }
}
