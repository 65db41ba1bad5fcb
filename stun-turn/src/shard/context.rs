//! The state that the shards of a server share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::directory::RelayDirectory;
use crate::limits::Quotas;
use crate::settings::Settings;

/// Settings and counters that all shards of a server use.
#[derive(Debug, Clone, Default)]
pub struct ServerContext {
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// Allocations in use, by user and address.
    pub quotas: Arc<Quotas>,
    /// The shard that owns each relay port.
    pub directory: Arc<RelayDirectory>,
    /// The media server in this process, if there is one.
    pub media: Option<Arc<dyn RelayPeer>>,
    /// The secret of the nonces.
    pub nonce_secret: [u8; 32],
}

/// A media server in the same process, reached without a socket.
pub trait RelayPeer: Send + Sync + fmt::Debug {
    /// Whether the media server receives packets to `address`. The relay asks for addresses of this machine only.
    fn serves(&self, address: SocketAddr) -> bool;

    /// Takes a packet. The relay's thread calls it: it must not block, and drops packets that it has no room for.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]);
}
