//! Connections between TCP relays and their peers (RFC 6062).

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use datagrams::Interest;

use super::EventLoop;
use crate::driver::peer_stream::{HIGH_WATER, PeerStream, State};
use crate::driver::ports::connect_from;
use crate::driver::relay_socket::RelaySocket;
use crate::driver::stream::Pending;
use crate::driver::token::Token;
use crate::five_tuple::RelayId;
use crate::shard::{ConnectionId, Input, PeerSocketId};

impl EventLoop {
    pub(super) fn connect_peer(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        connection: ConnectionId,
    ) {
        let local = match self.relays.get(relay.0 as usize) {
            Some(RelaySocket::Tcp(relay)) => Some(relay.local),
            _ => None,
        };
        let socket = local.and_then(|local| connect_from(local, peer).ok());
        let interest = Interest { read: false, write: true, edge: false };
        let added = socket.and_then(|socket| self.add_peer(socket, State::Connecting(connection), interest));
        if added.is_none() {
            self.input(now, Input::PeerConnected { connection, socket: None });
        }
    }

    pub(super) fn accept_peers(&mut self, now: Instant, index: u32) {
        while let Some(RelaySocket::Tcp(listener)) = self.relays.get(index as usize) {
            let Ok((socket, from)) = listener.socket.accept() else { return };
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            let interest = Interest { read: false, write: false, edge: false };
            if let Some(id) = self.add_peer(socket, State::Waiting, interest) {
                self.input(now, Input::PeerAccepted { relay: RelayId(index), socket: id, from });
                self.drain_outputs(now);
            }
        }
    }

    fn add_peer(&mut self, socket: TcpStream, state: State, interest: Interest) -> Option<PeerSocketId> {
        let _ = socket.set_nodelay(true);
        let entry = self.peers.vacant_entry();
        let id = PeerSocketId(u32::try_from(entry.key()).ok()?);
        self.epoll.add(&socket, Token::Peer(id.0).number(), interest).ok()?;
        entry.insert(PeerStream { socket, state, pending: Pending::default(), interest });
        Some(id)
    }

    /// Handles an event of a peer's connection.
    pub(super) fn read_peer(&mut self, now: Instant, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        match peer.state {
            State::Connecting(connection) => self.peer_is_connected(now, index, connection),
            // Nothing is watched for, so the event is the end of the connection.
            State::Waiting => self.close_peer(now, index),
            State::Finishing(_) => {
                if peer.pending.write_to(&peer.socket).is_err() || peer.pending.len() == 0 {
                    self.peers.try_remove(index);
                }
            }
            State::Spliced(stream) => {
                let is_end = !peer.interest.read && !peer.interest.write;
                if is_end || self.copy_from_peer(index, stream).is_err() {
                    self.close_peer(now, index);
                    return;
                }
                self.dirty_streams.push(stream);
                let is_written = self.peers.get_mut(index).map(|peer| peer.pending.write_to(&peer.socket));
                if matches!(is_written, Some(Err(_))) {
                    self.close_peer(now, index);
                    return;
                }
                self.update_peer(index);
            }
        }
    }

    fn peer_is_connected(&mut self, now: Instant, index: usize, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let is_connected = matches!(peer.socket.take_error(), Ok(None)) && peer.socket.peer_addr().is_ok();
        if !is_connected {
            self.peers.try_remove(index);
            self.input(now, Input::PeerConnected { connection, socket: None });
            return;
        }
        peer.state = State::Waiting;
        self.update_peer(index);
        let socket = u32::try_from(index).ok().map(PeerSocketId);
        self.input(now, Input::PeerConnected { connection, socket });
    }

    /// Copies bytes of the peer to its client. An error ends the connection.
    fn copy_from_peer(&mut self, index: usize, stream: usize) -> io::Result<()> {
        let (Some(peer), Some(stream)) = (self.peers.get_mut(index), self.streams.get_mut(stream)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        while stream.pending() <= HIGH_WATER {
            match (&peer.socket).read(&mut self.scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => stream.send([self.scratch.get(..read).unwrap_or_default(), &[], &[]])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Queues bytes of a client for its peer.
    pub(super) fn send_to_peer(&mut self, now: Instant, index: usize, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.pending.extend(bytes);
        if peer.pending.write_to(&peer.socket).is_err() {
            self.close_peer(now, index);
            return;
        }
        self.update_peer(index);
    }

    /// Connects a client's connection with a peer's.
    pub(super) fn splice(&mut self, now: Instant, stream: usize, socket: PeerSocketId) {
        let index = socket.0 as usize;
        let (Some(client), Some(peer)) = (self.streams.get_mut(stream), self.peers.get_mut(index)) else {
            self.close_stream(now, stream);
            return;
        };
        client.spliced = Some(index);
        peer.state = State::Spliced(stream);
        self.update_peer(index);
    }

    /// Updates the events that a peer's connection is watched for.
    pub(super) fn update_peer(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let read = match peer.state {
            State::Connecting(_) => return,
            State::Waiting | State::Finishing(_) => false,
            State::Spliced(stream) => {
                self.streams.get(stream).is_some_and(|stream| stream.pending() <= HIGH_WATER)
            }
        };
        let interest = Interest { read, write: peer.pending.len() > 0, edge: false };
        if interest != peer.interest {
            peer.interest = interest;
            let token = Token::Peer(u32::try_from(index).unwrap_or(u32::MAX)).number();
            if let Err(error) = self.epoll.modify(&peer.socket, token, interest) {
                tracing::debug!(%error, "a peer's connection can't be watched");
            }
        }
    }

    /// Closes a peer's connection after the last bytes of the client are written.
    pub(super) fn finish_peer(&mut self, now: Instant, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.pending.write_to(&peer.socket).is_err() || peer.pending.len() == 0 {
            peer.state = State::Waiting;
            self.close_peer(now, index);
            return;
        }
        peer.state = State::Finishing(now);
        self.update_peer(index);
        if let Ok(id) = u32::try_from(index) {
            self.input(now, Input::PeerClosed { socket: PeerSocketId(id) });
        }
    }

    /// Closes connections that have been finishing since before `since`.
    pub(super) fn sweep_peers(&mut self, since: Instant) {
        self.peers.retain(|_, peer| !matches!(peer.state, State::Finishing(at) if at < since));
    }

    pub(super) fn close_peer(&mut self, now: Instant, index: usize) {
        let Some(mut peer) = self.peers.try_remove(index) else { return };
        let _ = peer.pending.write_to(&peer.socket);
        if let Ok(id) = u32::try_from(index) {
            self.input(now, Input::PeerClosed { socket: PeerSocketId(id) });
        }
        if let State::Spliced(stream) = peer.state {
            self.finish_stream(stream);
        }
    }
}
