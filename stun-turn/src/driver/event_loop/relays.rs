//! Opening and closing the sockets of relays.

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use datagrams::{Interest, Socket};

use super::EventLoop;
use crate::driver::flow::Flow;
use crate::driver::relay_socket::{RelaySocket, TcpRelay, UdpRelay};
use crate::driver::token::Token;
use crate::five_tuple::RelayId;
use crate::shard::{OpenError, OpenedRelay, OpenedRelays, RelayWanted};

impl EventLoop {
    pub(super) fn open_relay(
        &mut self,
        now: Instant,
        wanted: RelayWanted,
    ) -> Result<OpenedRelays, OpenError> {
        let ports = &self.server.ports;
        let random = self.random.next();
        match wanted {
            RelayWanted::Udp { address, additional, is_even, reserve_next } => {
                let token = self.random.next().to_be_bytes();
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

    fn add_relay(&mut self, socket: Option<Socket>, bound: SocketAddr) -> Result<OpenedRelay, OpenError> {
        let entry = self.relays.vacant_entry();
        let id = RelayId(u32::try_from(entry.key()).unwrap_or(u32::MAX));
        let Some(socket) = socket else {
            entry.insert(RelaySocket::Inside(bound.port()));
            return Ok(OpenedRelay { id, bound });
        };
        if self.epoll.add(&socket, Token::Relay(id.0).number(), Interest::READ_EDGE).is_err() {
            self.server.ports.release(bound.port());
            return Err(OpenError::Exhausted);
        }
        let relay = UdpRelay { socket, port: bound.port(), dont_fragment: false, flow: Flow::NEW };
        entry.insert(RelaySocket::Udp(relay));
        Ok(OpenedRelay { id, bound })
    }

    fn add_tcp_relay(&mut self, socket: TcpListener, bound: SocketAddr) -> Result<OpenedRelay, OpenError> {
        let entry = self.relays.vacant_entry();
        let id = RelayId(u32::try_from(entry.key()).unwrap_or(u32::MAX));
        if self.epoll.add(&socket, Token::Relay(id.0).number(), Interest::READ).is_err() {
            self.server.ports.release(bound.port());
            return Err(OpenError::Exhausted);
        }
        entry.insert(RelaySocket::Tcp(Box::new(TcpRelay { socket, local: bound })));
        Ok(OpenedRelay { id, bound })
    }

    pub(super) fn close_relay(&mut self, relay: RelayId) {
        // Packets queued for the descriptor leave before its number names another socket.
        self.egress.flush();
        let port = match self.relays.try_remove(relay.0 as usize) {
            Some(RelaySocket::Udp(udp)) => {
                if udp.flow.socket().is_some() {
                    self.connected.retain(|connected| *connected != relay);
                    self.server.flows.give_back();
                }
                udp.port
            }
            Some(RelaySocket::Inside(port)) => port,
            Some(RelaySocket::Tcp(relay)) => relay.local.port(),
            None => return,
        };
        self.server.ports.release(port);
    }
}
