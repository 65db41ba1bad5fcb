//! The event loop of one shard: it moves packets between the sockets and the state machine.

mod dtls;
mod flows;
mod peers;
mod relays;
mod streams;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datagrams::{Batch, Egress, Epoll, Events, Interest, Pace, Pacing, Receiver};
use slab::Slab;

use super::associations::Associations;
use super::clock;
use super::inbox::{Entrance, Orders};
use super::listeners::{StreamListener, UdpListener};
use super::peer_stream::PeerStream;
use super::relay_socket::RelaySocket;
use super::server_state::ServerState;
use super::stream::Stream;
use super::tls::TlsContext;
use super::token::{Path, Token};
use crate::five_tuple::{FiveTuple, PathId, RelayId, Transport};
use crate::limits::Limits;
use crate::random::SplitMix64;
use crate::shard::{Input, Output, RelayPeer, Relayed, Shard};
use crate::wire::{Kind, classify};

/// Batches that are read from one socket before the other sockets are served.
const SOCKET_BUDGET: usize = 8;
/// Messages that one system call receives at most.
const RECEIVE_MESSAGES: usize = 16;
/// The work of a turn is counted in packets.
const PACING: Pacing =
    Pacing { busy_rate: 4_000.0, fade: Duration::from_millis(10), full_turn: 32, wait: Duration::ZERO };
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A silent connection without an allocation is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The event loop of one shard.
pub struct EventLoop {
    index: u8,
    shard: Shard,
    server: Arc<ServerState>,
    media: Option<Arc<dyn RelayPeer>>,
    limits: Limits,
    tls: TlsContext,
    epoll: Epoll,
    udp: Vec<UdpListener>,
    tcp: Vec<StreamListener>,
    relays: Slab<RelaySocket>,
    /// Relays that have a socket for their main peer.
    connected: Vec<RelayId>,
    streams: Slab<Stream>,
    dirty_streams: Vec<usize>,
    peers: Slab<PeerStream>,
    associations: Associations,
    egress: Egress,
    scratch: Vec<u8>,
    dtls_buffer: Vec<u8>,
    random: SplitMix64,
    /// Sockets with more to read. Epoll reports an edge once, so the loop remembers them.
    unfinished: Vec<Token>,
    packets: u64,
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What an event loop is made of.
pub(super) struct Parts {
    pub(super) index: u8,
    pub(super) shard: Shard,
    pub(super) server: Arc<ServerState>,
    pub(super) media: Option<Arc<dyn RelayPeer>>,
    pub(super) limits: Limits,
    pub(super) tls: TlsContext,
    pub(super) udp: Vec<UdpListener>,
    pub(super) tcp: Vec<StreamListener>,
    pub(super) random: u64,
}

impl EventLoop {
    pub(in crate::driver) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { index, shard, server, media, limits, tls, udp, tcp, random } = parts;
        let epoll = Epoll::new()?;
        for (at, listener) in (0..).zip(&udp).filter(|(_, listener)| !listener.is_shared) {
            epoll.add(&listener.socket, Token::Udp(at).number(), Interest::READ)?;
        }
        for (at, listener) in (0..).zip(&tcp) {
            epoll.add(&listener.socket, Token::Tcp(at).number(), Interest::READ)?;
        }
        if let Some(inbox) = server.inboxes.get(usize::from(index)) {
            epoll.add(inbox, Token::Inbox.number(), Interest::READ)?;
        }
        Ok(Self {
            index,
            shard,
            server,
            media,
            limits,
            tls,
            epoll,
            udp,
            tcp,
            relays: Slab::new(),
            connected: Vec::new(),
            streams: Slab::new(),
            dirty_streams: Vec::new(),
            peers: Slab::new(),
            associations: Associations::default(),
            egress: Egress::default(),
            scratch: vec![0; 32 * 1024],
            dtls_buffer: vec![0; 4096],
            random: SplitMix64::new(random),
            unfinished: Vec::new(),
            packets: 0,
        })
    }

    /// Runs until the server is stopped. It blocks its thread.
    ///
    /// # Errors
    ///
    /// When epoll itself fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut receiver = Receiver::new(RECEIVE_MESSAGES);
        let mut events = Events::with_capacity(256);
        let mut batch = Batch::default();
        let mut next_sweep = clock::now();
        let mut pace = Pace::new(Pacing { wait: self.server.max_wait, ..PACING }, clock::now());
        loop {
            if let Some(heartbeat) = &self.server.heartbeat {
                heartbeat.call(self.index);
            }
            let now = clock::now();
            let timeout = if self.unfinished.is_empty() {
                let due = self.shard.poll_timeout().map_or(next_sweep, |at| at.min(next_sweep));
                due.saturating_duration_since(now)
            } else {
                Duration::ZERO
            };
            self.epoll.wait(&mut events, Some(timeout))?;
            let now = clock::now();
            self.packets = 0;
            let unfinished = std::mem::take(&mut self.unfinished);
            let ready = events.tokens().filter_map(Token::from_number);
            for token in unfinished.into_iter().chain(ready) {
                if token == Token::Inbox {
                    if !self.read_inbox(now, &mut batch) {
                        self.finish_turn(now);
                        return Ok(());
                    }
                } else {
                    self.read(now, token, &mut receiver);
                }
            }
            if self.shard.poll_timeout().is_some_and(|at| at <= now) {
                self.shard.handle_timeout(now);
            }
            if now >= next_sweep {
                next_sweep = now + SWEEP_INTERVAL;
                self.sweep(now);
            }
            self.finish_turn(now);
            let wait = pace.after_turn(now, self.packets);
            if !wait.is_zero() && self.unfinished.is_empty() {
                std::thread::sleep(wait);
            }
        }
    }

    fn read(&mut self, now: Instant, token: Token, receiver: &mut Receiver) {
        match token {
            Token::Inbox => {}
            Token::Udp(index) => self.read_listener(now, index as usize, receiver),
            Token::Relay(index) => self.read_relay(now, index, receiver),
            Token::Flow(index) => self.read_flow(now, index, receiver),
            Token::Tcp(index) => self.accept(now, index as usize),
            Token::Stream(index) => self.read_stream(now, index as usize),
            Token::Peer(index) => self.read_peer(now, index as usize),
        }
        self.drain_outputs(now);
    }

    fn read_listener(&mut self, now: Instant, index: usize, receiver: &mut Receiver) {
        for _ in 0..SOCKET_BUDGET {
            let Some(listener) = self.udp.get(index) else { return };
            let (local, transport) = (listener.local, listener.transport);
            let Ok(messages) = receiver.receive(&listener.socket) else { return };
            let has_more = messages.is_full();
            for received in messages {
                let server = SocketAddr::new(received.to.unwrap_or(local.ip()), local.port());
                let tuple = FiveTuple { transport: Transport::Udp, client: received.from, server };
                for datagram in received.datagrams() {
                    self.packets += 1;
                    if classify(datagram) == Kind::Dtls {
                        self.read_dtls(now, index, tuple, datagram);
                    } else if transport == Transport::Udp {
                        self.input(
                            now,
                            Input::Client { tuple, path: Path::Udp(index).id(), message: datagram },
                        );
                    }
                }
            }
            self.drain_outputs(now);
            if !has_more {
                return;
            }
        }
    }

    /// A datagram of the port that a media server reads.
    fn read_shared(&mut self, now: Instant, client: SocketAddr, server: SocketAddr, message: &[u8]) {
        let Some(index) = self.udp.iter().position(|listener| listener.is_shared) else { return };
        let Some(UdpListener { local, .. }) = self.udp.get(index) else { return };
        let ip = if server.ip().is_unspecified() { local.ip() } else { server.ip() };
        let tuple =
            FiveTuple { transport: Transport::Udp, client, server: SocketAddr::new(ip, local.port()) };
        self.input(now, Input::Client { tuple, path: Path::Udp(index).id(), message });
    }

    /// Passes an input to the state machine, and sends the packet that it relays.
    pub(super) fn input(&mut self, now: Instant, input: Input<'_>) {
        match self.shard.handle_input(now, input) {
            None => {}
            Some(Relayed::ToPeer { relay, peer, dont_fragment, payload }) => {
                self.send_from_relay(relay, peer, dont_fragment, payload);
            }
            Some(Relayed::ToClient { tuple, path, prefix, payload }) => {
                self.send_data(tuple, path, [prefix.head(), payload, prefix.tail()]);
            }
            Some(Relayed::ToShard { shard, to, from, payload }) => {
                let inbox = self.server.inboxes.get(usize::from(shard));
                if inbox.is_none_or(|inbox| !inbox.put(Entrance::Local { to, from }, payload)) {
                    self.egress.dropped += 1;
                }
            }
            Some(Relayed::ToMedia { to, from, payload }) => {
                if let Some(media) = &self.media {
                    media.deliver(from, to, payload);
                }
            }
        }
    }

    /// Sends a relayed packet to a client.
    fn send_data(&mut self, tuple: FiveTuple, path: PathId, parts: [&[u8]; 3]) {
        match Path::of(path) {
            Path::Udp(index) => self.send_udp(index, tuple.client, tuple.server.ip(), parts),
            Path::Stream(index) => self.send_stream_data(index, parts),
            Path::Dtls(index) => self.send_dtls(index, &parts.concat()),
        }
    }

    pub(super) fn send_udp(&mut self, listener: usize, to: SocketAddr, from: IpAddr, parts: [&[u8]; 3]) {
        let Some(listener) = self.udp.get(listener) else { return };
        self.egress.push(listener.socket.route(to, Some(from)), parts);
    }

    /// Carries out the actions of the state machine.
    pub(super) fn drain_outputs(&mut self, now: Instant) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Transmit { tuple, path, message } => match Path::of(path) {
                    Path::Udp(index) => {
                        self.send_udp(index, tuple.client, tuple.server.ip(), [&message, &[], &[]]);
                    }
                    Path::Stream(index) => self.send_stream_control(now, index, &message),
                    Path::Dtls(index) => self.send_dtls(index, &message),
                },
                Output::TransmitFrom { server, client, message } => {
                    let found = self.udp.iter().position(|listener| listener.hears(server));
                    if let Some(index) = found {
                        self.send_udp(index, client, server.ip(), [&message, &[], &[]]);
                    }
                }
                Output::OpenRelay { opening, wanted } => {
                    let result = self.open_relay(now, wanted);
                    self.input(now, Input::RelayOpened { opening, result });
                }
                Output::CloseRelay { relay } => self.close_relay(relay),
                Output::Disconnect { path } => {
                    if let Path::Stream(index) = Path::of(path) {
                        self.close_stream(now, index);
                    }
                }
                Output::ConnectPeer { relay, peer, connection } => {
                    self.connect_peer(now, relay, peer, connection);
                }
                Output::Splice { path, socket } => {
                    if let Path::Stream(index) = Path::of(path) {
                        self.splice(now, index, socket);
                    }
                }
                Output::ClosePeer { socket } => self.close_peer(now, socket.0 as usize),
            }
        }
    }

    /// Takes packets and orders from other threads. `false` when the server stops.
    fn read_inbox(&mut self, now: Instant, batch: &mut Batch<Entrance>) -> bool {
        let server = self.server.clone();
        let Some(inbox) = server.inboxes.get(usize::from(self.index)) else { return true };
        let Orders { drain, tls, is_stopped, connections } = inbox.take(batch);
        for (entrance, payload) in batch.iter() {
            self.packets += 1;
            match entrance {
                Entrance::Local { to, from } => self.input(now, Input::Local { to, from, payload }),
                Entrance::SharedPort { client, server } => self.read_shared(now, client, server, payload),
            }
        }
        if let Some((alternate_v4, alternate_v6)) = drain {
            self.shard.drain(alternate_v4, alternate_v6);
        }
        if let Some(context) = tls {
            self.tls = context;
        }
        for connection in connections {
            self.take_over(now, connection);
        }
        self.drain_outputs(now);
        !is_stopped
    }

    /// Closes idle connections and sockets, once a second.
    fn sweep(&mut self, now: Instant) {
        self.shard.set_unix_time(now, clock::unix_time());
        self.server.ports.expire(now);
        let idle_since = now.checked_sub(IDLE_TIMEOUT).unwrap_or(now);
        let idle: Vec<usize> = self
            .streams
            .iter()
            .filter(|(_, stream)| {
                stream.spliced.is_none()
                    && stream.last_heard < idle_since
                    && !self.shard.has_allocation(&stream.tuple)
            })
            .map(|(index, _)| index)
            .collect();
        for index in idle {
            self.close_stream(now, index);
        }
        self.sweep_peers(idle_since);
        self.sweep_flows();
        self.sweep_dtls(now);
        self.drain_outputs(now);
    }

    fn finish_turn(&mut self, now: Instant) {
        self.drain_outputs(now);
        self.flush_streams(now);
        self.egress.flush();
        if let Some(metrics) = self.server.metrics.get(usize::from(self.index)) {
            metrics.publish(self.shard.counters(), self.egress.dropped, self.connections());
        }
    }

    fn connections(&self) -> u64 {
        (self.streams.len() + self.associations.len()) as u64
    }
}
