//! The ports that relays are opened on, shared by the shards.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datagrams::{Options, Socket};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Type};

use crate::directory::RelayDirectory;
use crate::shard::OpenError;

/// How long a port stays reserved (RFC 8656, section 7.2).
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
const MAX_RESERVATIONS: usize = 1024;

struct Reservation {
    socket: Option<Socket>,
    bound: SocketAddr,
    expires: Instant,
}

/// Ports for relays.
pub(super) struct PortPool {
    range: RangeInclusive<u16>,
    /// Whether relays exist inside the process only: they have a number and no socket.
    is_inside: bool,
    directory: Arc<RelayDirectory>,
    reservations: Mutex<HashMap<[u8; 8], Reservation>>,
}

/// What was opened for a relay: a socket, or `None` for a UDP relay inside the process.
pub(super) struct Opened<S> {
    pub(super) socket: S,
    pub(super) bound: SocketAddr,
}

impl PortPool {
    pub(super) fn new(range: RangeInclusive<u16>, is_inside: bool, directory: Arc<RelayDirectory>) -> Self {
        Self { range, is_inside, directory, reservations: Mutex::default() }
    }

    /// Opens the socket of a UDP relay. For one inside the process it is closed at once: then nothing else listens there.
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Option<Socket>> {
        let socket = Socket::bind(address, &Options { may_fragment: true, ..Options::default() })?;
        Ok((!self.is_inside).then_some(socket))
    }

    /// Opens a UDP socket on a free port of the range, looking from a random one on.
    pub(super) fn open_udp(
        &self,
        address: IpAddr,
        shard: u8,
        is_even: bool,
        random: u64,
    ) -> Result<Opened<Option<Socket>>, OpenError> {
        self.open(address, shard, random, |bound| {
            if is_even && bound.port() % 2 != 0 { None } else { Some(self.bind_udp(bound)) }
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
    ) -> Result<Opened<Option<Socket>>, OpenError> {
        let mut held = None;
        let opened = self.open(address, shard, random, |bound| {
            let port = bound.port();
            let next = port.checked_add(1).filter(|next| port % 2 == 0 && self.range.contains(next))?;
            if !self.directory.reserve(next) {
                return None;
            }
            match (self.bind_udp(bound), self.bind_udp(SocketAddr::new(address, next))) {
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
    ) -> Result<Opened<Option<Socket>>, OpenError> {
        self.expire(now);
        let mut reservations = self.reservations.lock().unwrap_or_else(PoisonError::into_inner);
        let Reservation { socket, bound, .. } =
            reservations.remove(&token).ok_or(OpenError::UnknownReservation)?;
        self.directory.assign(bound.port(), shard);
        Ok(Opened { socket, bound })
    }

    /// Closes reservations that have expired.
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
            match Errno::from_io_error(&error) {
                // Another program uses it, or the system reserves it.
                Some(Errno::ADDRINUSE | Errno::ACCESS) => {}
                Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL) => {
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

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
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
    let socket =
        socket2::Socket::new(Domain::for_address(local), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}
