//! The socket of the media port, with batched receiving and sending.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use datagrams::{Batch, Options, Receiver, Run, Sender, Socket};

use super::relay::Relay;
use crate::demux::is_for_relay;
use crate::path::{Carrier, Path};

/// The default buffer of the system would overflow at every key frame.
const BUFFER_BYTES: usize = 4 << 20;
/// Maximum number of messages received by one system call.
const RECEIVE_MESSAGES: usize = 64;

/// A UDP socket of the media port.
pub struct MediaSocket {
    socket: Socket,
    receiver: Receiver,
    sender: Sender,
    port: u16,
    /// The port of the server's candidates.
    announced_port: u16,
    relay: Option<Arc<dyn Relay>>,
    /// Whether STUN and TURN of the relay's clients come in here as well.
    is_shared: bool,
}

impl MediaSocket {
    /// Opens the port on an address; `[::]` accepts IPv4 as well. Each shard opens the same port, and the kernel
    /// distributes the clients over the sockets.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let options = Options {
            shares_port: true,
            is_dual_stack: true,
            waits_to_send: true,
            buffer_bytes: Some(BUFFER_BYTES),
            ..Options::default()
        };
        let socket = Socket::bind(address, &options)?;
        let port = socket.local_addr()?.port();
        Ok(Self {
            port,
            announced_port: port,
            socket,
            receiver: Receiver::new(RECEIVE_MESSAGES),
            sender: Sender::default(),
            relay: None,
            is_shared: false,
        })
    }

    /// The port of the server's candidates, if clients see another one than the socket's. Clients behind a relay of this
    /// process are answered from it.
    #[must_use]
    pub fn announced_as(self, port: u16) -> Self {
        Self { announced_port: port, ..self }
    }

    /// Passes datagrams for clients behind a relay of this process to that relay.
    #[must_use]
    pub fn with_relay(mut self, relay: Option<Arc<dyn Relay>>) -> Self {
        self.relay = relay;
        self
    }

    /// Passes datagrams for clients behind the relay to it, and what comes in here for the relay itself
    /// ([`is_for_relay`]). The relay answers its clients by a [`clone`](Self::try_clone_socket) of this socket.
    #[must_use]
    pub fn shared_with(self, relay: Option<Arc<dyn Relay>>) -> Self {
        Self { is_shared: relay.is_some(), relay, ..self }
    }

    /// The socket, for the relay that shares the port. Only the media server reads from it.
    pub fn try_clone_socket(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// The address to which the socket is bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Passes each datagram that one system call yields to `handle`. Does not block.
    pub fn receive(&mut self, mut handle: impl FnMut(Path, &mut [u8])) -> io::Result<usize> {
        let messages = match self.receiver.receive(&self.socket) {
            Ok(messages) => messages,
            // There is no datagram, or the kernel reports an ICMP error for an earlier one.
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused => Ok(0),
                    _ => Err(error),
                };
            }
        };
        let relay = self.relay.as_deref().filter(|_| self.is_shared);
        let mut datagrams = 0;
        for received in messages {
            let local = received.to.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let path = Path { remote: received.from, local, carrier: Carrier::Socket };
            for datagram in received.datagrams().filter(|datagram| !datagram.is_empty()) {
                datagrams += 1;
                match relay {
                    Some(relay) if is_for_relay(datagram) => {
                        relay.receive(path.remote, SocketAddr::new(local, self.port), datagram);
                    }
                    _ => handle(path, datagram),
                }
            }
        }
        Ok(datagrams)
    }

    /// Sends the batch. Datagrams that the system refuses are lost.
    pub fn send(&mut self, batch: &Batch<Path>) {
        if let Some(relay) = &self.relay {
            for run in batch.runs().filter(|run| run.to.carrier == Carrier::Relay) {
                let from = SocketAddr::new(run.to.local, self.announced_port);
                run.datagrams().for_each(|datagram| relay.deliver(from, run.to.remote, datagram));
            }
        }
        let socket = &self.socket;
        let runs = batch.runs().filter(|run| run.to.carrier == Carrier::Socket);
        self.sender.send(runs.map(|Run { to: Path { remote, local, .. }, segment, bytes }| {
            let from = Some(local).filter(|local| !local.is_unspecified());
            Run { to: socket.route(remote, from), segment, bytes }
        }));
    }
}

impl AsFd for MediaSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
