//! TCP and TLS clients.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use datagrams::Interest;

use super::EventLoop;
use crate::driver::peer_stream::PeerStream;
use crate::driver::stream::{ClientConnection, MAX_PENDING, ReadOutcome, Stream};
use crate::driver::token::{Path, Token};
use crate::five_tuple::{FiveTuple, Transport};
use crate::shard::Input;
use crate::wire::{Frame, next_frame};

/// Bytes of an incomplete message that a client without an allocation may send.
const MAX_STRANGER: usize = 2048;
/// Connections accepted per event.
const ACCEPT_BUDGET: usize = 64;

impl EventLoop {
    pub(super) fn accept(&mut self, now: Instant, index: usize) {
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = self.tcp.get(index) else { return };
            let transport = listener.transport;
            match listener.socket.accept() {
                Ok((socket, client)) => self.add_stream(now, socket, client, transport),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::WouldBlock {
                        tracing::debug!(%error, "connection not accepted");
                    }
                    return;
                }
            }
        }
    }

    fn add_stream(
        &mut self,
        now: Instant,
        socket: TcpStream,
        client: std::net::SocketAddr,
        transport: Transport,
    ) {
        let Ok(server) = socket.local_addr() else { return };
        if socket.set_nonblocking(true).is_err() || !self.server.connections.take(&self.limits, client.ip()) {
            return;
        }
        // Media packets must not wait for Nagle's algorithm.
        let _ = socket.set_nodelay(true);
        let tuple = FiveTuple { transport: Transport::Tcp, client, server };
        let allows_plain = transport == Transport::Tcp;
        let entry = self.streams.vacant_entry();
        let token = Token::Stream(u32::try_from(entry.key()).unwrap_or(u32::MAX)).number();
        if self.epoll.add(&socket, token, Interest::READ).is_err() {
            self.server.connections.release(client.ip());
            return;
        }
        let tls = self.tls.tls.clone();
        entry.insert(Stream::new(socket, tuple, tls, allows_plain, now));
    }

    /// Takes over a connection that was accepted elsewhere.
    pub(super) fn take_over(&mut self, now: Instant, connection: ClientConnection) {
        let addresses =
            connection.socket.peer_addr().and_then(|client| Ok((client, connection.socket.local_addr()?)));
        let Ok((client, server)) = addresses else { return };
        // A socket of both families writes IPv4 addresses as IPv6.
        let [client, server] =
            [client, server].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        if connection.socket.set_nonblocking(true).is_err()
            || !self.server.connections.take(&self.limits, client.ip())
        {
            return;
        }
        let _ = connection.socket.set_nodelay(true);
        let transport = if connection.tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let tuple = FiveTuple { transport, client, server };
        let entry = self.streams.vacant_entry();
        let index = entry.key();
        let token = Token::Stream(u32::try_from(index).unwrap_or(u32::MAX)).number();
        let stream = Stream::accepted(connection, tuple, now)
            .and_then(|stream| self.epoll.add(&stream.socket, token, Interest::READ).map(|()| stream));
        match stream {
            Ok(stream) => {
                entry.insert(stream);
                self.read_stream(now, index);
            }
            Err(error) => {
                tracing::debug!(%error, "connection not taken over");
                self.server.connections.release(client.ip());
            }
        }
    }

    pub(super) fn read_stream(&mut self, now: Instant, index: usize) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let outcome = stream.read(&mut self.scratch);
        if stream.is_tls() {
            stream.tuple.transport = Transport::Tls;
        }
        stream.last_heard = now;
        self.dirty_streams.push(index);
        let is_open = matches!(outcome, Ok(ReadOutcome::Open));
        if let Err(error) = &outcome {
            tracing::debug!(%error, "connection failed");
        }
        let goes_on = self.take_frames(now, index);
        if !is_open || !goes_on {
            self.close_stream(now, index);
        }
    }

    /// Passes whole frames to the state machine; `false` when the stream is malformed.
    fn take_frames(&mut self, now: Instant, index: usize) -> bool {
        let Some(stream) = self.streams.get_mut(index) else { return true };
        let (tuple, path) = (stream.tuple, Path::Stream(index).id());
        let mut received = std::mem::take(&mut stream.received);
        if stream.is_finishing {
            return true;
        }
        let mut start = 0;
        let goes_on = loop {
            // After ConnectionBind this is a data connection: the bytes that follow belong to the peer (RFC 6062).
            let spliced = self.streams.get(index).and_then(|stream| stream.spliced);
            let rest = received.get(start..).unwrap_or_default();
            if let Some(peer) = spliced {
                self.send_to_peer(now, peer, rest);
                start = received.len();
                break true;
            }
            match next_frame(rest) {
                Ok(Frame::Whole { message, consumed }) => {
                    let message = rest.get(..message).unwrap_or_default();
                    self.input(now, Input::Client { tuple, path, message });
                    self.drain_outputs(now);
                    start += consumed;
                }
                Ok(Frame::Partial) => {
                    break rest.len() <= MAX_STRANGER || self.shard.has_allocation(&tuple);
                }
                Err(_) => break false,
            }
        };
        received.drain(..start);
        if received.is_empty() {
            received.shrink_to(4096);
        }
        if let Some(stream) = self.streams.get_mut(index) {
            stream.received = received;
        }
        goes_on
    }

    /// Sends a relayed packet, or drops it when the client does not read.
    pub(super) fn send_stream_data(&mut self, index: usize, parts: [&[u8]; 3]) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if stream.pending() + length > MAX_PENDING {
            self.egress.dropped += 1;
            return;
        }
        // A failure recurs when the stream is flushed or read.
        let _ = stream.send(parts);
        self.dirty_streams.push(index);
    }

    /// Sends a response. A client that does not read them is disconnected.
    pub(super) fn send_stream_control(&mut self, now: Instant, index: usize, message: &[u8]) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let is_full = stream.pending() + message.len() > 2 * MAX_PENDING;
        if is_full || stream.send([message, &[], &[]]).is_err() {
            self.close_stream(now, index);
            return;
        }
        self.dirty_streams.push(index);
    }

    pub(super) fn flush_streams(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty_streams);
        dirty.sort_unstable();
        dirty.dedup();
        for &index in &dirty {
            self.flush_stream(now, index);
        }
        dirty.clear();
        // Closing a stream may have made others dirty; they are flushed in the next turn.
        dirty.append(&mut self.dirty_streams);
        self.dirty_streams = dirty;
    }

    fn flush_stream(&mut self, now: Instant, index: usize) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.flush().is_err() {
            self.close_stream(now, index);
            return;
        }
        let is_paused = stream.spliced.and_then(|peer| self.peers.get(peer)).is_some_and(PeerStream::is_full);
        let wants_write = stream.pending() > 0;
        if stream.is_finishing && !wants_write {
            self.close_stream(now, index);
            return;
        }
        let was = (stream.wants_write, stream.is_paused);
        if was != (wants_write, is_paused) {
            (stream.wants_write, stream.is_paused) = (wants_write, is_paused);
            let token = Token::Stream(u32::try_from(index).unwrap_or(u32::MAX)).number();
            let interest = Interest { read: !is_paused, write: wants_write, edge: false };
            if self.epoll.modify(&stream.socket, token, interest).is_err() {
                self.close_stream(now, index);
                return;
            }
        }
        // There is room again, so the peer's connection is read.
        if let Some(peer) = self.streams.get(index).and_then(|stream| stream.spliced) {
            self.update_peer(peer);
        }
    }

    pub(super) fn close_stream(&mut self, now: Instant, index: usize) {
        let Some(mut stream) = self.streams.try_remove(index) else { return };
        // The last bytes are sent if possible: an error response, a TLS alert.
        stream.close();
        self.server.connections.release(stream.tuple.client.ip());
        if let Some(peer) = stream.spliced {
            self.finish_peer(now, peer);
        }
        self.input(now, Input::Disconnected { tuple: stream.tuple });
        self.drain_outputs(now);
    }

    /// Closes a data connection after the last bytes of the peer are written.
    pub(super) fn finish_stream(&mut self, index: usize) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.spliced = None;
            stream.is_finishing = true;
            self.dirty_streams.push(index);
        }
    }
}
