//! The server: a listening socket, the rules for its connections, and its shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, ServerState};
use super::connection_limits::{ConnectionCounts, Permit, Place};
use super::listener::{self, Acceptor};
use super::refused::{self, Refused};
use super::{
    AddressLimits, BindError, Certificates, MediaListener, Mount, PlainHttp, RelayListener, TrustedProxies,
};
use crate::log_summary::LogSummary;

/// The configuration of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The certificate; without one, TLS handshakes are refused.
    pub certificates: Option<Certificates>,
    /// Proxies whose statements about the client are trusted. Their connections are not counted by address, since all
    /// clients would share one.
    pub trusted_proxies: TrustedProxies,
    /// The treatment of plain http.
    pub plain_http: PlainHttp,
    /// The path below which clients find the server.
    pub mount: Mount,
    /// The time a client has for its first byte, its TLS handshake, and for each request's head; also how long a
    /// connection may stay idle between two requests.
    pub header_timeout: Duration,
    /// The time a client has for a request's body, counted from its head. The reader of a late body gets an error.
    pub body_timeout: Duration,
    /// Limits on connections by address.
    pub address_limits: AddressLimits,
    /// What takes over the connections that carry media; without it they are refused.
    pub media: Option<Arc<dyn MediaListener>>,
    /// What takes over the connections that carry STUN and TURN, also under TLS; without it they are refused.
    pub relay: Option<Arc<dyn RelayListener>>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            certificates: None,
            trusted_proxies: TrustedProxies::default(),
            plain_http: PlainHttp::default(),
            mount: Mount::default(),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            address_limits: AddressLimits::default(),
            media: None,
            relay: None,
        }
    }
}

/// A listening socket that serves a router.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: ServerConfig,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Every connection had finished.
    Finished,
    /// This many connections were left when the time was up. They are cut, except upgraded ones, which belong to the
    /// tasks that took them over.
    Cut(usize),
}

impl Server {
    /// Opens the listening socket; connections wait in it until [`serve`](Self::serve). `[::]` takes IPv4 as well, and
    /// falls back to `0.0.0.0` on a machine without IPv6. Must be called within a tokio runtime.
    pub fn bind(address: SocketAddr, config: ServerConfig) -> Result<Self, BindError> {
        let listener = listener::bind(address)?;
        let local_addr = listener.local_addr().map_err(|source| BindError { address, source })?;
        Ok(Self { listener, local_addr, config })
    }

    /// The listening address, with the actual port if port 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Hands connections that carry media to `media`.
    #[must_use]
    pub fn with_media(mut self, media: Option<Arc<dyn MediaListener>>) -> Self {
        self.config.media = media;
        self
    }

    /// Hands connections that carry STUN and TURN to `relay`.
    #[must_use]
    pub fn with_relay(mut self, relay: Option<Arc<dyn RelayListener>>) -> Self {
        self.config.relay = relay;
        self
    }

    /// Serves the router until `shutdown` is cancelled. Then no connection is accepted, idle ones are closed, and
    /// requests have `drain` to finish, including upgraded connections and event streams, which their owners must end.
    pub async fn serve(self, router: Router, shutdown: CancellationToken, drain: Duration) -> Shutdown {
        let Self { listener, config, .. } = self;
        let counts = ConnectionCounts::new(config.address_limits);
        let server = Arc::new(ServerState {
            router,
            certificates: config.certificates,
            trusted_proxies: config.trusted_proxies,
            plain_http: config.plain_http,
            mount: config.mount,
            header_timeout: config.header_timeout,
            body_timeout: config.body_timeout,
            media: config.media,
            relay: config.relay,
            ending: shutdown.clone(),
        });
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let mut acceptor = Acceptor::new(listener);
        let mut refused = Refused::new(clock::now(), &server);
        let mut summary = LogSummary::default();
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = acceptor.accept() => accepted,
            };
            let ip = peer.ip();
            let permit = if server.trusted_proxies.trusts(ip) {
                Permit::exempt()
            } else {
                match counts.admit(clock::now(), ip) {
                    Ok(permit) => permit,
                    Err(limit) => {
                        if let Some(count) = summary.count(clock::now()) {
                            tracing::warn!(count, latest = %ip, reason = ?limit, "connections refused");
                        }
                        if let Some(server) = refused.next(clock::now()) {
                            let place = Place { _permit: Permit::exempt(), _tracked: connections.token() };
                            let answering = connection::serve(server, stream, peer, place);
                            let answering = tokio::time::timeout(refused::PATIENCE, answering);
                            tokio::spawn(cut.clone().run_until_cancelled_owned(answering));
                        }
                        continue;
                    }
                }
            };
            let place = Place { _permit: permit, _tracked: connections.token() };
            tokio::spawn(cut.clone().run_until_cancelled_owned(connection::serve(
                Arc::clone(&server),
                stream,
                peer,
                place,
            )));
        }
        drop(acceptor);
        connections.close();
        if tokio::time::timeout(drain, connections.wait()).await.is_ok() {
            return Shutdown::Finished;
        }
        let left = connections.len();
        cut.cancel();
        Shutdown::Cut(left)
    }
}
