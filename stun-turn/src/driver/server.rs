//! A server: bound, run, and spoken to while it runs.

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use aws_lc_rs::rand;
use datagrams::{Options, Socket};
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Type};
use thiserror::Error;

use super::clock;
use super::config::{Certificate, CertificateError, Config, Listener};
use super::connections::Connections;
use super::flow::FlowBudget;
use super::inbox::Inbox;
use super::ports::PortPool;
use super::tls::TlsContext;
use super::worker::{Hub, Parts, StreamListener, UdpListener, Worker};
use crate::core::{Counters, Shared, Turn};
use crate::directory::RelayDirectory;
use crate::five_tuple::Transport;
use crate::limits::Quotas;
use crate::policy::PeerPolicy;
use crate::settings::{RelayAddresses, Settings};

/// Bytes of a client's stream that the kernel takes beyond what is under way: packets that wait longer are of no use to a call, and
/// a client that does not read would fill megabytes.
const UNSENT: u32 = 64 * 1024;
/// Room for a burst towards clients, and from them.
const SOCKET_BUFFER: usize = 4 << 20;

/// Why a server does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address to listen on is taken, or not of this machine.
    #[error("can not listen on {address} ({transport:?})")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// How.
        transport: Transport,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A listener for TLS or DTLS alone, and nothing to speak it with.
    #[error("{transport:?} on {address} needs a certificate that fits")]
    NoCertificate {
        /// Which one.
        address: SocketAddr,
        /// How.
        transport: Transport,
    },
    /// The certificate can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The range of relay ports is empty.
    #[error("the range of relay ports is empty")]
    NoRelayPorts,
    /// The system has no more descriptors, or no random numbers.
    #[error("the system refused")]
    System(#[source] io::Error),
}

/// A STUN and TURN server whose sockets are open.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Worker>,
    handle: Handle,
}

/// What has happened, over all shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// What the state machines counted.
    pub counters: Counters,
    /// Datagrams that the kernel did not take, or for which a client's stream or another shard's queue had no room.
    pub datagrams_dropped: u64,
    /// Connections over TCP and TLS, and DTLS associations.
    pub connections: u64,
}

/// Numbers of one shard, as of its last turn.
#[derive(Default)]
pub(super) struct ShardMetrics(Mutex<Metrics>);

impl ShardMetrics {
    pub(super) fn publish(&self, counters: &Counters, datagrams_dropped: u64, connections: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Metrics { counters: *counters, datagrams_dropped, connections };
    }
}

/// Speaks to a server while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    hub: Arc<Hub>,
    directory: Arc<RelayDirectory>,
    listeners: Arc<[Listener]>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Handle {
    /// Where the server listens, with the ports that the system chose.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What has happened up to now.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for shard in &self.hub.metrics {
            let shard = *shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            sum.counters.add(&shard.counters);
            sum.datagrams_dropped += shard.datagrams_dropped;
            sum.connections += shard.connections;
        }
        sum
    }

    /// Takes no more allocations. Clients are sent to the alternate server of their family (300), or away (508).
    pub fn drain(&self, alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr>) {
        for inbox in &self.hub.inboxes {
            inbox.order(|orders| orders.drain = Some((alternate_v4, alternate_v6)));
        }
    }

    /// Uses another certificate for connections that begin from now on.
    ///
    /// # Errors
    ///
    /// When the certificate can't be used; the old one stays then.
    pub fn reload_certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let context = TlsContext::new(certificate)?;
        for inbox in &self.hub.inboxes {
            inbox.order(|orders| orders.tls = Some(context.clone()));
        }
        Ok(())
    }

    /// Ends the server. Allocations end with it.
    pub fn stop(&self) {
        for inbox in &self.hub.inboxes {
            inbox.order(|orders| orders.is_stopped = true);
        }
    }

    /// Hands a packet of the media server in this process to the relay at `to`, as if it came from `from`. `false` when there is
    /// no such relay, or its shard has too much to do: the packet is lost then, as on a network.
    pub fn send_to_relay(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let owner = self.directory.owner(to.port());
        let inbox = owner.and_then(|shard| self.hub.inboxes.get(usize::from(shard)));
        inbox.is_some_and(|inbox| inbox.put(to, from, payload))
    }

    /// Whether the port of `address` is that of a relay of this server.
    pub fn is_relay(&self, address: SocketAddr) -> bool {
        self.directory.owner(address.port()).is_some()
    }
}

impl Server {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// When an address can't be listened on, or the certificate can't be used.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        if config.relay_ports.is_empty() {
            return Err(BindError::NoRelayPorts);
        }
        let tls = config.certificate.as_ref().map(TlsContext::new).transpose()?.unwrap_or_default();
        let shards = shard_count(config);
        let sockets = open_listeners(config, &tls, shards)?;
        let listeners: Arc<[Listener]> = sockets.iter().map(|group| group.listener).collect();
        let directory = Arc::new(RelayDirectory::default());
        let shared = shared(config, &listeners, directory.clone()).map_err(BindError::System)?;
        let hub = hub(config, shards, directory.clone()).map_err(BindError::System)?;
        let handle = Handle { hub: hub.clone(), directory, listeners };
        let mut groups: Vec<_> = sockets.into_iter().map(|group| (group.listener, group.sockets)).collect();
        let mut workers = Vec::new();
        for index in 0..shards {
            let (mut udp, mut tcp) = (Vec::new(), Vec::new());
            for (listener, sockets) in &mut groups {
                let transport = listener.transport;
                match sockets.pop() {
                    Some(AnySocket::Udp(socket)) => {
                        udp.push(UdpListener { socket, local: listener.address, transport });
                    }
                    Some(AnySocket::Tcp(socket)) => tcp.push(StreamListener { socket, transport }),
                    None => {}
                }
            }
            let seed = random_u64().map_err(BindError::System)?;
            let turn = Turn::new(shared.clone(), index, clock::now(), clock::unix_time(), seed);
            let parts = Parts {
                index,
                turn,
                hub: hub.clone(),
                media: config.media.clone(),
                limits: config.limits.clone(),
                tls: tls.clone(),
                udp,
                tcp,
                random: random_u64().map_err(BindError::System)?,
            };
            workers.push(Worker::new(parts).map_err(BindError::System)?);
        }
        Ok(Self { workers, handle })
    }

    /// What speaks to the server while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.workers.len()
    }

    /// The shards, each to be run on a thread of its own.
    pub fn into_workers(self) -> Vec<Worker> {
        self.workers
    }

    /// Runs a thread for each shard until [`Handle::stop`], and waits for them.
    ///
    /// # Errors
    ///
    /// When a shard fails or panics; the others are stopped then.
    pub fn run(self) -> io::Result<()> {
        let mut threads = Vec::new();
        for (index, worker) in self.workers.into_iter().enumerate() {
            // One shard does not go on without the others: a part of the clients would be left without an answer.
            let stop = StopOnDrop(self.handle.clone());
            let run = move || {
                let _stop = stop;
                worker.run()
            };
            threads.push(thread::Builder::new().name(format!("relay-{index}")).spawn(run)?);
        }
        let mut outcome = Ok(());
        for thread in threads {
            if let Err(error) = thread.join().unwrap_or_else(|panic| Err(panicked(&*panic))) {
                tracing::error!(%error, "a shard of the relay failed");
                outcome = Err(error);
            }
        }
        outcome
    }
}

fn panicked(payload: &(dyn Any + Send)) -> io::Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    io::Error::other(format!("a shard panicked: {}", text.unwrap_or("without a message")))
}

struct StopOnDrop(Handle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

enum AnySocket {
    Udp(Socket),
    Tcp(TcpListener),
}

/// The sockets of one listener, one for each shard.
struct SocketGroup {
    listener: Listener,
    sockets: Vec<AnySocket>,
}

fn shard_count(config: &Config) -> u8 {
    if config.features.tcp_allocations || config.features.mobility {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = u8::try_from(cores).unwrap_or(u8::MAX);
    config.shards.unwrap_or(cores).clamp(1, RelayDirectory::MAX_SHARDS - 1)
}

fn open_listeners(config: &Config, tls: &TlsContext, shards: u8) -> Result<Vec<SocketGroup>, BindError> {
    let mut groups = Vec::new();
    for listener in &config.listeners {
        let Listener { transport, address } = *listener;
        let lacks = match transport {
            Transport::Tls => tls.tls.is_none(),
            Transport::Dtls => tls.dtls.is_none(),
            Transport::Udp | Transport::Tcp => false,
        };
        if lacks {
            return Err(BindError::NoCertificate { address, transport });
        }
        groups.push(open_group(*listener, shards));
        if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            groups.extend(open_other_half(config, *listener, groups.last(), shards));
            // A machine without IPv6 is served by the IPv4 half alone.
            if let [.., Err(_), Ok(_)] = groups.as_slice() {
                groups.swap_remove(groups.len() - 2).ok();
            }
        }
    }
    if let Some(discovery) = config.features.behaviour_discovery {
        for address in discovery.addresses() {
            let is_open = groups.iter().flatten().any(|group: &SocketGroup| group.listener.hears(address));
            if !is_open {
                groups.push(open_group(Listener::udp(address), shards));
            }
        }
    }
    groups.into_iter().collect()
}

/// The IPv4 side of a listener on `[::]`, unless it is configured on its own.
fn open_other_half(
    config: &Config,
    listener: Listener,
    first: Option<&Result<SocketGroup, BindError>>,
    shards: u8,
) -> Option<Result<SocketGroup, BindError>> {
    let port = match first {
        Some(Ok(group)) => group.listener.address.port(),
        _ => listener.address.port(),
    };
    let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let half = Listener { address, ..listener };
    let is_configured = config.listeners.contains(&half);
    (!is_configured).then(|| open_group(half, shards))
}

fn open_group(listener: Listener, shards: u8) -> Result<SocketGroup, BindError> {
    let Listener { transport, address } = listener;
    let fail = |source| BindError::Listen { address, transport, source };
    // With SO_REUSEPORT a second server would share the port without a word, so the first socket is tried without it.
    if address.port() != 0 {
        drop(open_socket(transport, address, false).map_err(fail)?);
    }
    let mut sockets = Vec::new();
    let mut address = address;
    for _ in 0..shards {
        let (socket, bound) = open_socket(transport, address, true).map_err(fail)?;
        address = bound;
        sockets.push(socket);
    }
    Ok(SocketGroup { listener: Listener { transport, address }, sockets })
}

fn open_socket(
    transport: Transport,
    address: SocketAddr,
    is_shared: bool,
) -> io::Result<(AnySocket, SocketAddr)> {
    if !transport.is_stream() {
        let options = Options {
            shares_port: is_shared,
            may_fragment: true,
            buffer_bytes: Some(SOCKET_BUFFER),
            ..Options::default()
        };
        let socket = Socket::bind(address, &options)?;
        let bound = socket.local_addr()?;
        return Ok((AnySocket::Udp(socket), bound));
    }
    let kind = Type::STREAM.nonblocking();
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(is_shared)?;
    socket.set_reuse_address(true)?;
    // Connections have it from their listener.
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    let socket = TcpListener::from(socket);
    let bound = socket.local_addr()?;
    Ok((AnySocket::Tcp(socket), bound))
}

/// How many descriptors the process may have open.
fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn hub(config: &Config, shards: u8, directory: Arc<RelayDirectory>) -> io::Result<Arc<Hub>> {
    Ok(Arc::new(Hub {
        inboxes: (0..shards).map(|_| Inbox::new()).collect::<io::Result<_>>()?,
        ports: PortPool::new(config.relay_ports.clone(), directory),
        metrics: (0..shards).map(|_| ShardMetrics::default()).collect(),
        connections: Connections::default(),
        max_wait: config.max_wait,
        // Most of what the process may open is for relays and connections.
        flows: FlowBudget::new(descriptor_limit() / 4),
        on_turn: config.on_turn.clone(),
    }))
}

/// What the state machines need to know.
fn shared(config: &Config, listeners: &[Listener], directory: Arc<RelayDirectory>) -> io::Result<Shared> {
    let interfaces: Vec<IpAddr> = if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    let own = interfaces.iter().copied().filter(|ip| !ip.is_loopback());
    let external = config.external_ips.iter().map(|external| external.public);
    let mut policy = PeerPolicy { ..config.policy.clone() };
    policy.own_addresses.extend(own.chain(external).chain(config.relay_ips.iter().copied()));
    policy.own_addresses.sort_unstable();
    policy.own_addresses.dedup();
    policy.own_services.extend(listeners.iter().map(|listener| listener.address));
    let relays = RelayAddresses {
        fixed: config.relay_ips.clone(),
        other_v4: other_address(listeners, &interfaces, true).and_then(|ip| match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        other_v6: other_address(listeners, &interfaces, false).and_then(|ip| match ip {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        }),
        external: config.external_ips.clone(),
    };
    let mut nonce_secret = [0; 32];
    rand::fill(&mut nonce_secret).map_err(io::Error::other)?;
    let settings = Settings {
        realm: config.realm.clone(),
        credentials: config.credentials(),
        limits: config.limits.clone(),
        policy,
        relays,
        features: config.features,
        nonce_lifetime: config.nonce_lifetime,
    };
    Ok(Shared {
        settings: Arc::new(settings),
        quotas: Arc::new(Quotas::default()),
        directory,
        media: config.media.clone(),
        nonce_secret,
    })
}

/// The address of a family that relays are opened on for clients that came in by the other one: one that is listened on, else,
/// where all are, the one that the default route leaves from.
fn other_address(listeners: &[Listener], interfaces: &[IpAddr], is_ipv4: bool) -> Option<IpAddr> {
    let of_family =
        || listeners.iter().map(|listener| listener.address.ip()).filter(|ip| ip.is_ipv4() == is_ipv4);
    if let Some(named) = of_family().find(|ip| !ip.is_unspecified() && !ip.is_loopback()) {
        return Some(named);
    }
    of_family().find(IpAddr::is_unspecified)?;
    routed_address(is_ipv4).or_else(|| {
        let is_global = |ip: &IpAddr| match ip {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        interfaces.iter().copied().find(|ip| ip.is_ipv4() == is_ipv4 && is_global(ip))
    })
}

/// The source address of packets to the internet. Connecting a UDP socket sends none.
fn routed_address(is_ipv4: bool) -> Option<IpAddr> {
    let (any, remote): (SocketAddr, SocketAddr) = if is_ipv4 {
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    } else {
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into())
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}
