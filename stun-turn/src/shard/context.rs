//! What the shards of a server have in common.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::directory::RelayDirectory;
use crate::limits::Quotas;
use crate::settings::Settings;

/// What is the same for all shards of a server.
#[derive(Debug, Clone, Default)]
pub struct ServerContext {
    /// What the operator decided.
    pub settings: Arc<Settings>,
    /// Who uses how much.
    pub quotas: Arc<Quotas>,
    /// Whose port is whose.
    pub directory: Arc<RelayDirectory>,
    /// The media server in this process, if there is one.
    pub media: Option<Arc<dyn RelayPeer>>,
    /// The secret of the nonces.
    pub nonce_secret: [u8; 32],
}

/// A media server in the same process, reached without a socket.
pub trait RelayPeer: Send + Sync + fmt::Debug {
    /// Whether packets to `address` are for it. Only addresses of this machine are asked for.
    fn serves(&self, address: SocketAddr) -> bool;

    /// Takes a packet. Called on the relay's thread: it must not block, and drops what it can not take.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]);
}
