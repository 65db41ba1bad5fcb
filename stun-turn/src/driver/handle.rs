//! The handle of a running server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::config::{Certificate, CertificateError, Listener};
use super::inbox::{Entrance, Inbox};
use super::metrics::Metrics;
use super::server_state::ServerState;
use super::stream::ClientConnection;
use super::tls::TlsContext;
use crate::directory::RelayDirectory;

/// Controls a running server. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) server: Arc<ServerState>,
    pub(super) directory: Arc<RelayDirectory>,
    pub(super) listeners: Arc<[Listener]>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Handle {
    /// Where the server listens, with the ports that the system chose.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The metrics as of the last turn of each shard.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        self.server.metrics.iter().for_each(|shard| sum.add(&shard.read()));
        sum
    }

    /// Refuses new allocations. Clients are redirected to the alternate server of their family (300), or refused (508).
    pub fn drain(&self, alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr>) {
        for inbox in &self.server.inboxes {
            inbox.order(|orders| orders.drain = Some((alternate_v4, alternate_v6)));
        }
    }

    /// Uses another certificate for connections that begin from now on.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be used. The old one stays in use.
    pub fn reload_certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let context = TlsContext::new(certificate)?;
        for inbox in &self.server.inboxes {
            inbox.order(|orders| orders.tls = Some(context.clone()));
        }
        Ok(())
    }

    /// Takes over a client's connection that was accepted elsewhere. `false` when it was closed because too many wait.
    pub fn accept(&self, connection: ClientConnection) -> bool {
        let port = connection.socket.peer_addr().map_or(0, |client| client.port());
        self.inbox_for(port).is_some_and(|inbox| inbox.connect(connection))
    }

    /// Takes a datagram that `client` sent to `server` on the port that the relay shares ([`Config::shared_port`]).
    /// `false` when the queue of its shard is full: the datagram is lost, as on a network.
    ///
    /// [`Config::shared_port`]: crate::Config::shared_port
    pub fn receive(&self, client: SocketAddr, server: SocketAddr, datagram: &[u8]) -> bool {
        let entrance = Entrance::SharedPort { client, server };
        self.inbox_for(client.port()).is_some_and(|inbox| inbox.put(entrance, datagram))
    }

    /// Any shard will do for a client, as with the kernel's choice between listeners, if it is always the same one.
    fn inbox_for(&self, port: u16) -> Option<&Inbox> {
        self.server.inboxes.get(usize::from(port) % self.server.inboxes.len().max(1))
    }

    /// Ends the server. Allocations end with it.
    pub fn stop(&self) {
        for inbox in &self.server.inboxes {
            inbox.order(|orders| orders.is_stopped = true);
        }
    }

    /// Hands a packet of the media server in this process to the relay at `to`, as if it came from `from`. `false` when there is
    /// no such relay, or the queue of its shard is full: the packet is lost, as on a network.
    pub fn send_to_relay(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let owner = self.directory.owner(to.port());
        let inbox = owner.and_then(|shard| self.server.inboxes.get(usize::from(shard)));
        inbox.is_some_and(|inbox| inbox.put(Entrance::Local { to, from }, payload))
    }

    /// Whether the port of `address` is that of a relay of this server.
    pub fn is_relay(&self, address: SocketAddr) -> bool {
        self.directory.owner(address.port()).is_some()
    }
}
