//! The relays' sockets of a worker.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Instant;

use super::sys::Interest;
use super::token::Token;
use super::worker::{READ, Worker, splitmix};
use crate::core::{OpenError, OpenedRelay, OpenedRelays, RelayWanted};
use crate::five_tuple::RelayId;

const READ_EDGE: Interest = Interest { read: true, write: false, edge: true };

/// A relay's socket. Small, because there are thousands of them and each packet looks one up.
pub(super) enum RelaySocket {
    Udp { socket: UdpSocket, port: u16, dont_fragment: bool },
    Tcp(Box<TcpRelay>),
}

/// The listener of a TCP relay.
pub(super) struct TcpRelay {
    pub(super) socket: TcpListener,
    pub(super) local: SocketAddr,
}

impl Worker {
    pub(super) fn open_relay(
        &mut self,
        now: Instant,
        wanted: RelayWanted,
    ) -> Result<OpenedRelays, OpenError> {
        let ports = &self.hub.ports;
        let random = splitmix(&mut self.random);
        match wanted {
            RelayWanted::Udp { address, additional, is_even, reserve_next } => {
                let token = splitmix(&mut self.random).to_be_bytes();
                let opened = if reserve_next {
                    ports.open_pair(address, self.index, now, random, token)?
                } else {
                    ports.open_udp(address, self.index, is_even, random)?
                };
                let second = additional.map(|address| ports.open_udp(address, self.index, false, random));
                let relay = self.add_relay(opened.socket, opened.bound)?;
                let additional = second
                    .map(|opened| opened.and_then(|opened| self.add_relay(opened.socket, opened.bound)));
                Ok(OpenedRelays { relay, additional, reservation: reserve_next.then_some(token) })
            }
            RelayWanted::Reserved(token) => {
                let opened = ports.redeem(token, self.index, now)?;
                let relay = self.add_relay(opened.socket, opened.bound)?;
                Ok(OpenedRelays { relay, additional: None, reservation: None })
            }
            RelayWanted::Tcp { address } => {
                let opened = ports.open_tcp(address, self.index, random)?;
                let relay = self.add_tcp_relay(opened.socket, opened.bound)?;
                Ok(OpenedRelays { relay, additional: None, reservation: None })
            }
        }
    }

    fn add_relay(&mut self, socket: UdpSocket, bound: SocketAddr) -> Result<OpenedRelay, OpenError> {
        let entry = self.relays.vacant_entry();
        let id = RelayId(u32::try_from(entry.key()).unwrap_or(u32::MAX));
        if self.epoll.add(&socket, Token::Relay(id.0).number(), READ_EDGE).is_err() {
            self.hub.ports.release(bound.port());
            return Err(OpenError::Exhausted);
        }
        entry.insert(RelaySocket::Udp { socket, port: bound.port(), dont_fragment: false });
        Ok(OpenedRelay { id, bound })
    }

    fn add_tcp_relay(&mut self, socket: TcpListener, bound: SocketAddr) -> Result<OpenedRelay, OpenError> {
        let entry = self.relays.vacant_entry();
        let id = RelayId(u32::try_from(entry.key()).unwrap_or(u32::MAX));
        if self.epoll.add(&socket, Token::Relay(id.0).number(), READ).is_err() {
            self.hub.ports.release(bound.port());
            return Err(OpenError::Exhausted);
        }
        entry.insert(RelaySocket::Tcp(Box::new(TcpRelay { socket, local: bound })));
        Ok(OpenedRelay { id, bound })
    }

    pub(super) fn close_relay(&mut self, relay: RelayId) {
        // What is queued for its descriptor must go before the number means another socket.
        self.egress.flush();
        let port = match self.relays.try_remove(relay.0 as usize) {
            Some(RelaySocket::Udp { port, .. }) => port,
            Some(RelaySocket::Tcp(relay)) => relay.local.port(),
            None => return,
        };
        self.hub.ports.release(port);
    }
}
