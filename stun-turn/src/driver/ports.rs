//! The ports that relays are opened on, shared by the shards.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::sys;
use crate::core::OpenError;
use crate::directory::RelayDirectory;

/// How long a reserved port waits to be asked for (RFC 8656, section 7.2).
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
const MAX_RESERVATIONS: usize = 1024;

struct Reservation {
    socket: UdpSocket,
    bound: SocketAddr,
    expires: Instant,
}

/// Ports for relays.
pub(super) struct PortPool {
    range: RangeInclusive<u16>,
    directory: Arc<RelayDirectory>,
    reservations: Mutex<HashMap<[u8; 8], Reservation>>,
}

/// A socket opened for a relay.
pub(super) struct Opened<S> {
    pub(super) socket: S,
    pub(super) bound: SocketAddr,
}

impl PortPool {
    pub(super) fn new(range: RangeInclusive<u16>, directory: Arc<RelayDirectory>) -> Self {
        Self { range, directory, reservations: Mutex::default() }
    }

    /// Opens a UDP socket on a free port of the range, looking from a random one on.
    pub(super) fn open_udp(
        &self,
        address: IpAddr,
        shard: u8,
        is_even: bool,
        random: u64,
    ) -> Result<Opened<UdpSocket>, OpenError> {
        self.open(address, shard, random, |bound| {
            if is_even && bound.port() % 2 != 0 { None } else { Some(bind_udp(bound)) }
        })
    }

    /// Opens a TCP listener (RFC 6062).
    pub(super) fn open_tcp(
        &self,
        address: IpAddr,
        shard: u8,
        random: u64,
    ) -> Result<Opened<TcpListener>, OpenError> {
        self.open(address, shard, random, |bound| Some(bind_tcp(bound)))
    }

    /// Opens an even port and holds the next one under a token.
    pub(super) fn open_pair(
        &self,
        address: IpAddr,
        shard: u8,
        now: Instant,
        random: u64,
        token: [u8; 8],
    ) -> Result<Opened<UdpSocket>, OpenError> {
        let mut held = None;
        let opened = self.open(address, shard, random, |bound| {
            let port = bound.port();
            let next = port.checked_add(1).filter(|next| port % 2 == 0 && self.range.contains(next))?;
            if !self.directory.reserve(next) {
                return None;
            }
            match (bind_udp(bound), bind_udp(SocketAddr::new(address, next))) {
                (Ok(socket), Ok(second)) => {
                    held = Some((second, SocketAddr::new(address, next)));
                    Some(Ok(socket))
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.directory.release(next);
                    Some(Err(error))
                }
            }
        })?;
        if let Some((socket, bound)) = held {
            let mut reservations = self.reservations.lock().unwrap_or_else(PoisonError::into_inner);
            if reservations.len() >= MAX_RESERVATIONS {
                self.directory.release(bound.port());
                self.directory.release(opened.bound.port());
                return Err(OpenError::Exhausted);
            }
            reservations.insert(token, Reservation { socket, bound, expires: now + RESERVATION_LIFETIME });
        }
        Ok(opened)
    }

    /// The socket that was held under `token`.
    pub(super) fn redeem(
        &self,
        token: [u8; 8],
        shard: u8,
        now: Instant,
    ) -> Result<Opened<UdpSocket>, OpenError> {
        self.expire(now);
        let mut reservations = self.reservations.lock().unwrap_or_else(PoisonError::into_inner);
        let Reservation { socket, bound, .. } =
            reservations.remove(&token).ok_or(OpenError::UnknownReservation)?;
        self.directory.assign(bound.port(), shard);
        Ok(Opened { socket, bound })
    }

    /// Closes what nobody asked for in time.
    pub(super) fn expire(&self, now: Instant) {
        let mut reservations = self.reservations.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, late) in reservations.extract_if(|_, reservation| reservation.expires <= now) {
            self.directory.release(late.bound.port());
        }
    }

    /// Makes a port free after its socket was closed.
    pub(super) fn release(&self, port: u16) {
        self.directory.release(port);
    }

    fn open<S>(
        &self,
        address: IpAddr,
        shard: u8,
        random: u64,
        mut bind: impl FnMut(SocketAddr) -> Option<io::Result<S>>,
    ) -> Result<Opened<S>, OpenError> {
        let (low, high) = (u64::from(*self.range.start()), u64::from(*self.range.end()));
        let size = (high + 1).saturating_sub(low);
        let attempts =
            (0..size).filter_map(|step| u16::try_from(low + (random.wrapping_add(step)) % size).ok());
        for port in attempts {
            // Port 0 would be another one once it is bound.
            if port == 0 || !self.directory.reserve(port) {
                continue;
            }
            let bound = SocketAddr::new(address, port);
            let error = match bind(bound) {
                None => {
                    self.directory.release(port);
                    continue;
                }
                Some(Ok(socket)) => {
                    self.directory.assign(port, shard);
                    return Ok(Opened { socket, bound });
                }
                Some(Err(error)) => error,
            };
            self.directory.release(port);
            match error.raw_os_error() {
                // Another program's, or one that the system keeps.
                Some(libc::EADDRINUSE | libc::EACCES) => {}
                Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EINVAL) => {
                    return Err(OpenError::AddressUnavailable);
                }
                _ => {
                    tracing::warn!(%error, "no socket for a relay");
                    return Err(OpenError::Exhausted);
                }
            }
        }
        Err(OpenError::Exhausted)
    }
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        sys::set_dont_fragment(&socket, false)?;
    }
    socket.bind(&address.into())?;
    // An older kernel does without; it is only slower then.
    let _ = sys::enable_gro(&socket);
    Ok(socket.into())
}

/// A second socket on the address of a relay's, connected to one of its peers.
///
/// Until it is connected, either socket may get a datagram that comes in; they are read alike, and nothing is lost. Only while it is
/// bound can the address be shared, so that no other program of the same user gets in by accident.
pub(super) fn connect_beside(relay: &UdpSocket, peer: SocketAddr) -> io::Result<UdpSocket> {
    let address = relay.local_addr()?;
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        sys::set_dont_fragment(&socket, false)?;
    }
    let relay = SockRef::from(relay);
    socket.set_reuse_port(true)?;
    relay.set_reuse_port(true)?;
    let bound = socket.bind(&address.into());
    relay.set_reuse_port(false)?;
    bound?;
    socket.set_reuse_port(false)?;
    let _ = sys::enable_gro(&socket);
    socket.connect(&peer.into())?;
    Ok(socket.into())
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections to peers leave from the same port as the one that is listened on (RFC 6062, section 5.2).
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    Ok(socket.into())
}

/// A socket that connects to `peer` from the port of a TCP relay. The connection is under way when this returns.
pub(super) fn connect_from(local: SocketAddr, peer: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
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
            let relay = bind_udp(any).unwrap();
            let local = relay.local_addr().unwrap();
            let (peer, other) = (UdpSocket::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
            let beside = connect_beside(&relay, peer.local_addr().unwrap()).unwrap();
            assert_eq!(beside.local_addr().unwrap(), local);
            for _ in 0..10 {
                peer.send_to(b"peer", local).unwrap();
                other.send_to(b"other", local).unwrap();
                assert_eq!(receive(&beside), b"peer");
                assert_eq!(receive(&relay), b"other");
            }
            beside.send(b"out").unwrap();
            assert_eq!(receive(&peer), b"out");
            let intruder = Socket::new(Domain::for_address(local), Type::DGRAM, None).unwrap();
            intruder.set_reuse_port(true).unwrap();
            assert!(intruder.bind(&local.into()).is_err(), "nobody else gets in");
            drop(beside);
            peer.send_to(b"again", local).unwrap();
            assert_eq!(receive(&relay), b"again");
        }
    }
}
