//! Packets and orders that other threads send to a shard.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use datagrams::{Batch, Mailbox, Wake};

use super::stream::ClientConnection;
use super::tls::TlsContext;

/// A packet's way into a shard without a socket of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Between two relays of this server, or between one and the media server.
    Local { to: SocketAddr, from: SocketAddr },
    /// From a client, through the port that the media server shares with the relay.
    SharedPort { client: SocketAddr, server: SocketAddr },
}

/// Orders to a shard. A later one of a kind replaces an earlier one that was not taken.
#[derive(Default)]
pub(super) struct Orders {
    /// Take no more allocations; the alternate servers for IPv4 and IPv6.
    pub(super) drain: Option<(Option<SocketAddr>, Option<SocketAddr>)>,
    /// Use another certificate.
    pub(super) tls: Option<TlsContext>,
    pub(super) is_stopped: bool,
    /// Connections that were accepted elsewhere; each one counts.
    pub(super) connections: Vec<ClientConnection>,
}

/// Connections that wait for a shard.
const MAX_CONNECTIONS: usize = 256;

pub(super) struct Inbox {
    packets: Mailbox<Entrance>,
    orders: Mutex<Orders>,
    wake: Arc<Wake>,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Self> {
        let wake = Arc::new(Wake::new()?);
        Ok(Self { packets: Mailbox::new(Arc::clone(&wake)), orders: Mutex::default(), wake })
    }

    /// Puts a packet in; `false` when it was dropped.
    pub(super) fn put(&self, entrance: Entrance, payload: &[u8]) -> bool {
        self.packets.put(entrance, payload)
    }

    /// Lets `write` give orders.
    pub(super) fn order(&self, write: impl FnOnce(&mut Orders)) {
        write(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.signal();
    }

    /// Hands a connection over; `false` when too many wait.
    pub(super) fn connect(&self, connection: ClientConnection) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.connections.len() >= MAX_CONNECTIONS {
            return false;
        }
        orders.connections.push(connection);
        drop(orders);
        self.wake.signal();
        true
    }

    /// Takes everything out.
    pub(super) fn take(&self, batch: &mut Batch<Entrance>) -> Orders {
        self.wake.reset();
        self.packets.take(batch);
        std::mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
