//! The sockets that clients reach.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use datagrams::{Options, Socket};
use socket2::{Domain, Protocol, Type};

use super::config::{Config, Listener};
use super::error::BindError;
use super::tls::TlsContext;
use crate::five_tuple::Transport;

/// Bytes of a client's stream that the kernel takes beyond what is under way: packets that wait longer are of no use to a call, and
/// a client that does not read would fill megabytes.
const UNSENT: u32 = 64 * 1024;
/// Room for a burst towards clients, and from them.
const SOCKET_BUFFER: usize = 4 << 20;

/// A UDP socket that clients send to.
pub(super) struct UdpListener {
    pub(super) socket: Socket,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    /// Whether a media server of this process reads it.
    pub(super) is_shared: bool,
}

impl UdpListener {
    /// Whether plain datagrams to `address` come in here.
    pub(super) fn hears(&self, address: SocketAddr) -> bool {
        Listener { transport: self.transport, address: self.local }.hears(address)
    }
}

/// A TCP socket that clients connect to.
pub(super) struct StreamListener {
    pub(super) socket: TcpListener,
    pub(super) transport: Transport,
}

pub(super) enum AnySocket {
    Udp(Socket),
    SharedUdp(Socket),
    Tcp(TcpListener),
}

/// The sockets of one listener, one for each shard.
pub(super) struct SocketGroup {
    pub(super) listener: Listener,
    pub(super) sockets: Vec<AnySocket>,
}

pub(super) fn open_listeners(
    config: &Config,
    tls: &TlsContext,
    shards: u8,
) -> Result<Vec<SocketGroup>, BindError> {
    let mut groups = open_shared(&config.shared_port, shards)?;
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

/// The port that a media server reads. The first socket of a shard is that by which it answers there.
fn open_shared(
    sockets: &[Arc<Socket>],
    shards: u8,
) -> Result<Vec<Result<SocketGroup, BindError>>, BindError> {
    let Some(first) = sockets.first() else { return Ok(Vec::new()) };
    let address = first.local_addr().map_err(BindError::System)?;
    let clones = sockets.iter().cycle().take(usize::from(shards));
    let clones = clones.map(|socket| socket.try_clone().map(AnySocket::SharedUdp));
    let sockets = clones.collect::<io::Result<_>>().map_err(BindError::System)?;
    let mut groups = vec![Ok(SocketGroup { listener: Listener::udp(address), sockets })];
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        // The same sockets take IPv4.
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        groups.push(Ok(SocketGroup { listener: Listener::udp(address), sockets: Vec::new() }));
    }
    Ok(groups)
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
