//! Datagrams between relays and their peers.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use datagrams::{Epoll, Interest, Messages, Receiver};

use super::{EventLoop, SOCKET_BUDGET};
use crate::driver::flow::Flow;
use crate::driver::relay_socket::{RelaySocket, UdpRelay};
use crate::driver::token::Token;
use crate::five_tuple::RelayId;
use crate::shard::Input;

impl EventLoop {
    /// Queues a packet for a peer.
    pub(super) fn send_from_relay(
        &mut self,
        relay: RelayId,
        peer: SocketAddr,
        dont_fragment: bool,
        payload: &[u8],
    ) {
        let Self { relays, egress, epoll, server, connected, .. } = self;
        let Some(RelaySocket::Udp(udp)) = relays.get_mut(relay.0 as usize) else { return };
        if !dont_fragment {
            if let Some(route) = udp.flow.route_to(peer) {
                egress.push(route, [payload]);
                return;
            }
            if udp.flow.count(peer) {
                // The socket serves the packets after this one.
                if !server.flows.take() {
                    udp.flow = Flow::NEW;
                } else if connect(udp, relay, peer, epoll).is_ok() {
                    connected.push(relay);
                } else {
                    udp.flow = Flow::Refused;
                    server.flows.give_back();
                }
            }
        }
        if udp.dont_fragment != dont_fragment && peer.is_ipv4() {
            // Queued packets leave with the setting that they were queued with.
            egress.flush();
            if udp.socket.set_dont_fragment(dont_fragment).is_ok() {
                udp.dont_fragment = dont_fragment;
            }
        }
        egress.push(udp.socket.route(peer, None), [payload]);
    }

    pub(super) fn read_relay(&mut self, now: Instant, index: u32, receiver: &mut Receiver) {
        for _ in 0..SOCKET_BUDGET {
            let socket = match self.relays.get(index as usize) {
                Some(RelaySocket::Udp(udp)) => &udp.socket,
                Some(RelaySocket::Tcp(_)) => return self.accept_peers(now, index),
                Some(RelaySocket::Inside(_)) | None => return,
            };
            // The error is one peer's (ICMP), or there is nothing to read; the next event follows either way.
            let Ok(messages) = receiver.receive(socket) else { return };
            let has_more = messages.is_full();
            self.take_from_peers(now, RelayId(index), messages);
            if !has_more {
                return;
            }
        }
        self.unfinished.push(Token::Relay(index));
    }

    /// Reads the socket for the main peer of a relay.
    pub(super) fn read_flow(&mut self, now: Instant, index: u32, receiver: &mut Receiver) {
        for _ in 0..SOCKET_BUDGET {
            let Some(RelaySocket::Udp(udp)) = self.relays.get_mut(index as usize) else { return };
            let Some(socket) = udp.flow.socket() else { return };
            match receiver.receive(socket) {
                Ok(messages) => {
                    udp.flow.touch();
                    let has_more = messages.is_full();
                    self.take_from_peers(now, RelayId(index), messages);
                    if !has_more {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error is reported once, before the datagrams that follow it.
                Err(_) => {}
            }
        }
        self.unfinished.push(Token::Flow(index));
    }

    fn take_from_peers(&mut self, now: Instant, relay: RelayId, messages: Messages<'_>) {
        for received in messages {
            let from = received.from;
            for payload in received.datagrams() {
                self.packets += 1;
                self.input(now, Input::Peer { relay, from, payload });
            }
        }
    }

    /// Closes idle sockets of main peers.
    pub(super) fn sweep_flows(&mut self) {
        let Self { relays, egress, server, connected, .. } = self;
        connected.retain(|relay| {
            let Some(RelaySocket::Udp(udp)) = relays.get_mut(relay.0 as usize) else { return false };
            let is_idle = udp.flow.is_idle();
            if is_idle {
                // Packets queued for the descriptor leave before its number names another socket.
                egress.flush();
                udp.flow = Flow::NEW;
                server.flows.give_back();
            }
            !is_idle
        });
    }
}

/// Gives `peer` a socket of its own.
fn connect(udp: &mut UdpRelay, relay: RelayId, peer: SocketAddr, epoll: &Epoll) -> io::Result<()> {
    let socket = udp.socket.connect_beside(peer)?;
    epoll.add(&socket, Token::Flow(relay.0).number(), Interest::READ_EDGE)?;
    udp.flow = Flow::Connected { peer, socket, idle_sweeps: 0 };
    Ok(())
}
