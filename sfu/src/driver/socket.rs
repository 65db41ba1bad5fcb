//! The media port: batches in and out, with segmentation offload where the system has it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::sys;
use crate::egress::Egress;
use crate::path::{Carrier, Path};
use crate::relay::Relay;

const BUFFER_BYTES: usize = 4 << 20;

/// A UDP socket of the media port.
pub struct MediaSocket {
    socket: UdpSocket,
    inbound: sys::Inbound,
    outbound: sys::Outbound,
    port: u16,
    relay: Option<Arc<dyn Relay>>,
}

impl MediaSocket {
    /// Opens the port on an address. With several workers each opens the same one; the kernel spreads clients over them.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // One socket for both families where the address allows it.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_port(true)?;
        // What the system grants of it; the default would overflow at every key frame.
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        if address.ip().is_unspecified() {
            sys::enable_packet_info(socket.as_fd(), address.is_ipv6())?;
        }
        // Without coalescing the kernel hands datagrams over one by one, which is all the same but slower.
        let _ = sys::enable_gro(socket.as_fd());
        Ok(Self {
            inbound: sys::Inbound::new(),
            outbound: sys::Outbound::new(address.is_ipv6()),
            port: socket.local_addr()?.port(),
            relay: None,
            socket,
        })
    }

    /// Hands what is for clients behind a relay of this process to that relay.
    #[must_use]
    pub fn with_relay(mut self, relay: Option<Arc<dyn Relay>>) -> Self {
        self.relay = relay;
        self
    }

    /// Opens the port on every address of both families, or of IPv4 where there is no IPv6.
    pub fn bind_any(port: u16) -> io::Result<Self> {
        Self::bind((Ipv6Addr::UNSPECIFIED, port).into())
            .or_else(|_| Self::bind((Ipv4Addr::UNSPECIFIED, port).into()))
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hands over everything that one system call yields, datagram by datagram. Does not wait.
    pub fn receive(&mut self, mut handle: impl FnMut(Path, &mut [u8])) -> io::Result<usize> {
        self.inbound.receive(self.socket.as_fd())?;
        let mut datagrams = 0;
        self.inbound.for_each(|path, segment, bytes| {
            for datagram in bytes.chunks_mut(segment.max(1)) {
                datagrams += 1;
                handle(path, datagram);
            }
        });
        Ok(datagrams)
    }

    /// Puts at most so many datagrams into one message from now on; 1 does without segmentation offload.
    pub fn limit_runs(&mut self, datagrams: usize) {
        self.outbound.limit_segments(datagrams);
    }

    /// Sends the slab. What the system refuses is lost, as datagrams may be.
    pub fn send(&mut self, egress: &Egress) {
        if let Some(relay) = &self.relay {
            for (path, datagram) in egress.iter().filter(|(path, _)| path.carrier == Carrier::Relay) {
                relay.deliver(SocketAddr::new(path.local, self.port), path.remote, datagram);
            }
        }
        self.outbound.send(self.socket.as_fd(), egress);
    }
}

impl AsFd for MediaSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
