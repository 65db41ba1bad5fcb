//! UDP sockets with the options that batches need.

#![allow(unsafe_code, reason = "UDP_GRO and packet information have no safe form in the libraries used here")]

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use socket2::{Domain, Protocol, SockRef, Type};

/// How a socket is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Other sockets of the same user may be bound to the same address; the kernel spreads senders over them. A port that
    /// the kernel chooses (port 0) is not shared at first, only by sockets bound to it afterwards.
    pub shares_port: bool,
    /// `[::]` takes IPv4 as well. Other IPv6 addresses take IPv6 alone in any case.
    pub is_dual_stack: bool,
    /// Sending waits while the send buffer is full, instead of failing. Receiving never waits.
    pub waits_to_send: bool,
    /// IPv4 datagrams leave without the don't-fragment bit.
    pub may_fragment: bool,
    /// Bytes of the receive buffer and of the send buffer; the system grants what it allows.
    pub buffer_bytes: Option<usize>,
}

/// A UDP socket that coalesces what it receives, where the system can.
#[derive(Debug)]
pub struct Socket {
    udp: UdpSocket,
    is_dual_stack: bool,
    /// Bound to all addresses: each datagram comes with the one that it was sent to.
    is_wildcard: bool,
}

/// How a datagram leaves this machine: by which socket, to which address, from which of this machine's addresses.
///
/// A route names its socket by number. What is queued for a socket must be sent before the socket is closed, or it leaves by
/// the socket that has the number next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub(crate) socket: RawFd,
    /// `None` on a connected socket.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) from: Option<IpAddr>,
}

impl Socket {
    /// Opens a socket on `address`.
    pub fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        let is_wildcard = address.ip().is_unspecified();
        let is_dual_stack = options.is_dual_stack && is_wildcard && address.is_ipv6();
        let socket = open(address, options.waits_to_send, options.may_fragment, is_dual_stack)?;
        // For a socket that already shares, the kernel may choose a port of others that share theirs.
        let shares_from_start = options.shares_port && address.port() != 0;
        if shares_from_start {
            socket.set_reuse_port(true)?;
        }
        if let Some(bytes) = options.buffer_bytes {
            let _ = socket.set_recv_buffer_size(bytes);
            let _ = socket.set_send_buffer_size(bytes);
        }
        if is_wildcard {
            enable_packet_info(&socket, address.is_ipv6())?;
        }
        socket.bind(&address.into())?;
        if options.shares_port && !shares_from_start {
            socket.set_reuse_port(true)?;
        }
        Ok(Self { udp: socket.into(), is_dual_stack, is_wildcard })
    }

    /// Opens a second socket on the address of this one, connected to `peer`: the kernel gives it what comes from `peer`,
    /// and caches the path to it.
    ///
    /// Until it is connected, either socket may receive a datagram that comes in. Only while the second one is bound can the
    /// address be shared, so that no other program of the same user gets in by accident.
    pub fn connect_beside(&self, peer: SocketAddr) -> io::Result<Self> {
        let address = self.local_addr()?;
        let socket = open(address, false, true, false)?;
        let first = SockRef::from(&self.udp);
        socket.set_reuse_port(true)?;
        first.set_reuse_port(true)?;
        let bound = socket.bind(&address.into());
        first.set_reuse_port(false)?;
        bound?;
        socket.set_reuse_port(false)?;
        socket.connect(&peer.into())?;
        Ok(Self { udp: socket.into(), is_dual_stack: false, is_wildcard: false })
    }

    /// The same socket, for another thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        let Self { udp, is_dual_stack, is_wildcard } = self;
        Ok(Self { udp: udp.try_clone()?, is_dual_stack: *is_dual_stack, is_wildcard: *is_wildcard })
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Whether it is bound to all addresses.
    pub fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// Sets or clears the don't-fragment bit of IPv4 datagrams that leave from now on.
    pub fn set_dont_fragment(&self, is_set: bool) -> io::Result<()> {
        set_dont_fragment(&self.udp, is_set)
    }

    /// How a datagram leaves to `to`. From a socket that is bound to all addresses it leaves from `from`, or from an address
    /// that the system chooses.
    pub fn route(&self, to: SocketAddr, from: Option<IpAddr>) -> Route {
        let from = from.filter(|_| self.is_wildcard);
        let (to, from) = if self.is_dual_stack { (map_address(to), from.map(map_ip)) } else { (to, from) };
        Route { socket: self.udp.as_raw_fd(), to: Some(to), from }
    }

    /// How a datagram leaves to the peer that the socket is connected to.
    pub fn route_to_peer(&self) -> Route {
        Route { socket: self.udp.as_raw_fd(), to: None, from: None }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}

impl AsRef<UdpSocket> for Socket {
    fn as_ref(&self) -> &UdpSocket {
        &self.udp
    }
}

fn open(
    address: SocketAddr,
    waits_to_send: bool,
    may_fragment: bool,
    is_dual_stack: bool,
) -> io::Result<socket2::Socket> {
    let kind = if waits_to_send { Type::DGRAM } else { Type::DGRAM.nonblocking() };
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!is_dual_stack)?;
    } else if may_fragment {
        set_dont_fragment(&socket, false)?;
    }
    // Without coalescing datagrams arrive one by one, which is the same but slower.
    let _ = set_option(&socket, libc::SOL_UDP, libc::UDP_GRO);
    Ok(socket)
}

fn set_dont_fragment(socket: &impl AsFd, is_set: bool) -> io::Result<()> {
    let mode = if is_set { Ipv4PathMtuDiscovery::DO } else { Ipv4PathMtuDiscovery::DONT };
    Ok(sockopt::set_ip_mtu_discover(socket, mode)?)
}

/// Makes the kernel report the address that each datagram was sent to.
fn enable_packet_info(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
    }
}

fn set_option(socket: &impl AsFd, level: c_int, option: c_int) -> io::Result<()> {
    const LENGTH: libc::socklen_t = 4;
    let on: c_int = 1;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the option's value is a c_int of four bytes that lives until the call returns.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const on).cast(), LENGTH) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn map_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}

fn map_address(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut buffer = [0; 16];
        let length = socket.recv(&mut buffer).expect("a datagram");
        buffer.get(..length).unwrap().to_vec()
    }

    #[test]
    fn a_connected_socket_takes_its_peer_over_and_gives_it_back() {
        for ip in ["127.0.0.1", "::1"] {
            let any = SocketAddr::new(ip.parse().unwrap(), 0);
            let first = Socket::bind(any, &Options::default()).unwrap();
            let local = first.local_addr().unwrap();
            let (peer, other) = (UdpSocket::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
            let beside = first.connect_beside(peer.local_addr().unwrap()).unwrap();
            assert_eq!(beside.local_addr().unwrap(), local);
            for _ in 0..10 {
                peer.send_to(b"peer", local).unwrap();
                other.send_to(b"other", local).unwrap();
                assert_eq!(receive(beside.as_ref()), b"peer");
                assert_eq!(receive(first.as_ref()), b"other");
            }
            beside.as_ref().send(b"out").unwrap();
            assert_eq!(receive(&peer), b"out");
            let shared = Options { shares_port: true, ..Options::default() };
            assert!(Socket::bind(local, &shared).is_err(), "nobody else gets in");
            drop(beside);
            peer.send_to(b"again", local).unwrap();
            assert_eq!(receive(first.as_ref()), b"again");
        }
    }

    #[test]
    fn a_port_that_the_system_chooses_is_not_one_that_others_share() {
        // If the system could choose a shared port, six of these sockets would meet another one on average.
        let shared = Options { shares_port: true, ..Options::default() };
        let bind = |_| Socket::bind("127.0.0.1:0".parse().unwrap(), &shared).unwrap();
        let sockets: Vec<_> = (0..600).map(bind).collect();
        let ports: HashSet<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), sockets.len());
    }

    #[test]
    fn sockets_that_agree_share_a_port() {
        let shared = Options { shares_port: true, buffer_bytes: Some(1 << 16), ..Options::default() };
        let first = Socket::bind("127.0.0.1:0".parse().unwrap(), &shared).unwrap();
        let local = first.local_addr().unwrap();
        assert!(Socket::bind(local, &shared).is_ok());
        assert!(Socket::bind(local, &Options::default()).is_err());
    }
}
