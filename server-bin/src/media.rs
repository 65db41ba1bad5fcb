//! The built-in media server: its sockets, its threads, and the path of its events to the rooms.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context as _;
use datagrams::Socket;
use sfu::MilestoneObserver;
use sfu::driver::{self, MediaSocket, Worker};
use signaling_core::Watch;
use signaling_transport::Hub;
use signaling_transport::net::{self, MediaListener, self_signed};
use stun_turn::Handle;

use crate::config::{PublicUrl, Settings};
use crate::relay_bridge::{MediaPeer, TurnRelay};

/// The media server with its sockets open.
pub(crate) struct Media {
    handle: sfu::Handle,
    address: SocketAddr,
    candidates: Vec<SocketAddr>,
    workers: Vec<(Worker, MediaSocket)>,
    is_on_tcp: bool,
    /// Whether STUN and TURN over UDP come to the same port.
    is_shared: bool,
}

/// The running media server.
pub(crate) struct Workers {
    stop: Arc<AtomicBool>,
}

impl Media {
    /// Opens the sockets, unless it is disabled. A port in use is a reason not to start: without the media server,
    /// calls of three would fail one by one.
    pub(crate) fn open(
        settings: &Settings,
        http: SocketAddr,
        observer: Option<Arc<dyn MilestoneObserver>>,
    ) -> anyhow::Result<Option<Self>> {
        if settings.no_sfu {
            return Ok(None);
        }
        let port = if settings.one_port { http.port() } else { settings.media_port };
        let address = SocketAddr::new(address(settings, http.ip()), port);
        let tcp_port = page_port(settings, http);
        let media = Self::bind(settings, http, address, tcp_port, observer).with_context(|| {
            let option = if settings.one_port { "--listen" } else { "--media-port" };
            format!("cannot serve media on UDP {address}: choose another port with {option}, or say --no-sfu")
        })?;
        Ok(Some(media))
    }

    fn bind(
        settings: &Settings,
        http: SocketAddr,
        address: SocketAddr,
        tcp_port: Option<u16>,
        observer: Option<Arc<dyn MilestoneObserver>>,
    ) -> anyhow::Result<Self> {
        // The sockets share their port with one another, and would silently share it with another server's.
        drop(UdpSocket::bind(address)?);
        let workers = match settings.workers.get() {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers.try_into().unwrap_or(usize::MAX),
        };
        let first = MediaSocket::bind(address)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        while sockets.len() < workers.min(1_024) {
            sockets.push(MediaSocket::bind(address)?);
        }
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).ok().context("the system gives no random bytes")?;
        // With one port, what forwards its number for TCP forwards it for UDP.
        let announced = if settings.one_port { public_port(settings, http) } else { address.port() };
        let candidates = candidates(settings, SocketAddr::new(address.ip(), announced));
        let config = sfu::Config {
            shards: u16::try_from(sockets.len()).unwrap_or(1),
            tcp_port,
            observer,
            ..sfu::Config::new(candidates.clone(), seed)
        };
        let (handle, workers) = driver::open(config, clock::now())?;
        let sockets = sockets.into_iter().map(|socket| socket.announced_as(announced));
        let workers = workers.into_iter().zip(sockets).collect();
        let (is_on_tcp, is_shared) = (tcp_port.is_some(), settings.one_port);
        Ok(Self { handle, address, candidates, workers, is_on_tcp, is_shared })
    }

    /// The sockets of the port, for the relay that shares it.
    pub(crate) fn shared_port(&self) -> anyhow::Result<Vec<Arc<Socket>>> {
        let shared = self.workers.iter().filter(|_| self.is_shared);
        let sockets = shared.map(|(_, socket)| socket.try_clone_socket().map(Arc::new));
        Ok(sockets.collect::<std::io::Result<_>>()?)
    }

    /// The media plane for the rooms.
    pub(crate) fn handle(&self) -> sfu::Handle {
        self.handle.clone()
    }

    /// What takes over TCP connections that carry media, if they are offered to clients.
    pub(crate) fn listener(&self) -> Option<Arc<dyn MediaListener>> {
        self.is_on_tcp.then(|| -> Arc<dyn MediaListener> { Arc::new(MediaPort(self.handle())) })
    }

    /// The receiver of packets from the relay.
    pub(crate) fn behind_relay(&self) -> MediaPeer {
        MediaPeer { sfu: self.handle(), candidates: self.candidates.clone() }
    }

    /// Starts a thread for each worker. Their events go to the rooms of the hub, and packets for clients behind the
    /// relay go to the relay.
    pub(crate) fn start(self, hub: &Hub, relay: Option<&Handle>, watch: &Watch) -> anyhow::Result<Workers> {
        tracing::info!(addr = %self.address, workers = self.workers.len(), "media server ready");
        let stop = Arc::new(AtomicBool::new(false));
        let relay = relay.map(|handle| -> Arc<dyn sfu::Relay> { Arc::new(TurnRelay(handle.clone())) });
        for (index, (worker, socket)) in self.workers.into_iter().enumerate() {
            let (stop, hub) = (Arc::clone(&stop), hub.clone());
            let relay = relay.clone();
            let socket = if self.is_shared { socket.shared_with(relay) } else { socket.with_relay(relay) };
            let worker = worker.watched(watch.engine(format!("media worker {index}")));
            thread::Builder::new().name(format!("media-{index}")).spawn(move || {
                if let Err(error) = worker.run(socket, |room, event| hub.media(&room, event), &stop) {
                    tracing::error!(%error, "a media worker failed");
                }
            })?;
        }
        Ok(Workers { stop })
    }
}

/// Connections of the page's port that carry media go to the shard that their first frame names.
#[derive(Clone)]
struct MediaPort(sfu::Handle);

impl fmt::Debug for MediaPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaPort")
    }
}

impl MediaListener for MediaPort {
    fn accept(&self, connection: net::MediaConnection) {
        let net::MediaConnection { socket, received, place } = connection;
        let connection = driver::MediaConnection { socket, received, place: Box::new(place) };
        if let Err(error) = self.0.accept(connection) {
            tracing::debug!(%error, "a connection for media was refused");
        }
    }
}

impl Workers {
    /// Ends the threads, without waiting for them.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The address of the media server: that of the page. A proxy in front of the page forwards no media, so clients bypass
/// it.
pub(crate) fn address(settings: &Settings, http: IpAddr) -> IpAddr {
    if !http.is_loopback() || !is_behind_proxy(settings, http) {
        return http;
    }
    let every = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    // Some machines have no IPv6.
    if UdpSocket::bind((every, 0)).is_ok() { every } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// The TCP port of the page as clients see it, unless a proxy is in front of it.
pub(crate) fn page_port(settings: &Settings, http: SocketAddr) -> Option<u16> {
    (!is_behind_proxy(settings, http.ip())).then_some(public_port(settings, http))
}

/// The port at which clients find the page.
pub(crate) fn public_port(settings: &Settings, http: SocketAddr) -> u16 {
    settings.public_url.as_ref().map_or(http.port(), PublicUrl::port)
}

/// Whether clients reach the page through a proxy, which forwards HTTP and nothing else. A public URL alone also stands
/// for a server that its clients reach directly.
fn is_behind_proxy(settings: &Settings, http: IpAddr) -> bool {
    !settings.trusted_proxy.is_empty() || (http.is_loopback() && settings.public_url.is_some())
}

/// The addresses announced to clients, external ones first.
fn candidates(settings: &Settings, address: SocketAddr) -> Vec<SocketAddr> {
    let external = settings.external_ip.iter().map(|external| external.public);
    let own: Vec<IpAddr> = if address.ip().is_unspecified() {
        let mut own = self_signed::machine_addresses();
        own.extend([IpAddr::from([127, 0, 0, 1])]);
        own
    } else {
        vec![address.ip()]
    };
    let mut candidates: Vec<SocketAddr> = Vec::new();
    for ip in external.chain(own) {
        let candidate = SocketAddr::new(ip, address.port());
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    candidates
}
