//! The load: packets from many clients to one peer and back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use datagrams::{Egress, Epoll, Events, Interest, Options, Receiver, Socket};

use super::client::{CHANNEL, Client};
use super::report::Figures;
use super::server::{Kind, Running};

/// The direction of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToPeer,
    ToClient,
}

/// Packets in flight at once; few enough that no socket buffer overflows.
const WINDOW: usize = 64;
/// Packets sent by each client before the measurement.
const WARM_UP: usize = 100;
/// Maximum number of messages received by one system call.
const BATCH: usize = 16;
/// Number of clients that allocate a relay at the same time.
const AT_ONCE: usize = 64;
const PEER: u64 = u64::MAX;

/// Clients with relays, and the peer.
pub(super) struct Load<'a> {
    server: &'a Running,
    clients: Vec<Client>,
    peer: Socket,
    peer_address: SocketAddr,
    epoll: Epoll,
    events: Events,
    receiver: Receiver,
    egress: Egress,
    next: usize,
    /// The server's CPU time when all relays were allocated.
    pub(super) allocating: Duration,
}

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
fn now() -> Instant {
    Instant::now()
}

impl<'a> Load<'a> {
    /// Allocates the relays.
    pub(super) fn prepare(server: &'a Running, allocations: usize) -> anyhow::Result<Self> {
        let peer = Socket::bind("127.0.0.1:0".parse()?, &Options::default())?;
        let peer_address = peer.local_addr()?;
        let epoll = Epoll::new()?;
        epoll.add(&peer, PEER, Interest::READ)?;
        let mut clients = Vec::with_capacity(allocations);
        while clients.len() < allocations {
            let group = clients.len()..allocations.min(clients.len() + AT_ONCE);
            clients.extend(Client::allocate(server, group, peer_address)?);
        }
        let allocating = server.cpu()?;
        for (token, client) in (0..).zip(&clients) {
            client.socket.as_ref().set_nonblocking(true)?;
            epoll.add(&client.socket, token, Interest::READ)?;
        }
        Ok(Self {
            server,
            clients,
            peer,
            peer_address,
            epoll,
            events: Events::with_capacity(256),
            receiver: Receiver::new(BATCH),
            egress: Egress::default(),
            next: 0,
            allocating,
        })
    }

    /// Binds the channels.
    pub(super) fn bind(&mut self) -> anyhow::Result<()> {
        if self.server.kind == Kind::Floor {
            return Ok(());
        }
        for client in &mut self.clients {
            client.socket.as_ref().set_nonblocking(false)?;
            client.bind(self.peer_address)?;
            client.socket.as_ref().set_nonblocking(true)?;
        }
        Ok(())
    }

    /// Maximum throughput, one window at a time.
    pub(super) fn saturate(
        &mut self,
        server: &Running,
        direction: Direction,
        size: usize,
        burst: usize,
        time: Duration,
    ) -> anyhow::Result<Figures> {
        let payload = vec![0xda; size];
        self.receive_for(Duration::from_millis(1))?;
        let (cpu, start) = (server.cpu()?, now());
        let (mut sent, mut received) = (0, 0);
        while start.elapsed() < time {
            let (wave, back) = self.wave(direction, &payload, burst)?;
            sent += wave;
            received += back;
        }
        let cost = server.cpu()?.saturating_sub(cpu);
        Ok(Figures::new(cost, sent, received))
    }

    /// Sends packets of every client, so that the measurement covers the steady state.
    pub(super) fn warm_up(&mut self) -> anyhow::Result<()> {
        let mut sent = 0;
        while sent < self.clients.len() * WARM_UP {
            sent += self.wave(Direction::ToPeer, &[0xda; 160], 1)?.0;
        }
        Ok(())
    }

    /// Sends a window of packets; returns how many were sent, and how many arrived.
    fn wave(&mut self, direction: Direction, payload: &[u8], burst: usize) -> anyhow::Result<(usize, usize)> {
        let mut sent = 0;
        while sent < WINDOW {
            self.send(direction, payload, burst);
            sent += burst;
        }
        self.egress.flush();
        let deadline = now() + Duration::from_millis(20);
        let mut received = 0;
        // Never sleeps while packets are in flight: between machines, the relay does not wake the receiver either.
        while received < sent && now() < deadline {
            received += self.receive(Duration::ZERO, |_| {})?;
        }
        Ok((sent, received))
    }

    /// Sends `rate` packets of 1,000 bytes per second to the peer, evenly; returns CPU figures and the delay of each
    /// packet.
    pub(super) fn pace(
        &mut self,
        server: &Running,
        rate: u32,
        time: Duration,
    ) -> anyhow::Result<(Figures, Vec<Duration>)> {
        self.receive_for(Duration::from_millis(1))?;
        let (cpu, start) = (server.cpu()?, now());
        let interval = Duration::from_secs(1) / rate;
        let mut delays = Vec::new();
        let mut sent: u32 = 0;
        let mut payload = vec![0; 1000];
        loop {
            let elapsed = start.elapsed();
            if elapsed > time + Duration::from_millis(20) {
                break;
            }
            if elapsed < time && elapsed >= interval * sent {
                let stamp = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
                payload.iter_mut().zip(stamp).for_each(|(slot, byte)| *slot = byte);
                self.send(Direction::ToPeer, &payload, 1);
                self.egress.flush();
                sent += 1;
            }
            self.receive(Duration::ZERO, |packet| {
                let payload = packet.len().checked_sub(1000).and_then(|at| packet.get(at..));
                if let Some(stamp) = payload.and_then(<[u8]>::first_chunk::<8>) {
                    let at = Duration::from_nanos(u64::from_be_bytes(*stamp));
                    delays.push(start.elapsed().saturating_sub(at));
                }
            })?;
        }
        let cost = server.cpu()?.saturating_sub(cpu);
        delays.sort_unstable();
        Ok((Figures::new(cost, sent as usize, delays.len()), delays))
    }

    /// Queues `burst` packets of the next client.
    fn send(&mut self, direction: Direction, payload: &[u8], burst: usize) {
        self.next = (self.next + 1) % self.clients.len().max(1);
        let Some(client) = self.clients.get(self.next) else { return };
        let [c0, c1] = CHANNEL.to_be_bytes();
        let [l0, l1] = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        let header = [c0, c1, l0, l1];
        // The bare loop forwards packets unchanged; bytes of the size of a header stand in for the header.
        let (route, head): (_, &[u8]) = match (direction, self.server.kind) {
            (Direction::ToClient, _) => (self.peer.route(client.relay, None), &[]),
            (Direction::ToPeer, Kind::Floor | Kind::Visavis | Kind::Coturn) => {
                (client.socket.route(self.server.address, None), &header)
            }
        };
        for _ in 0..burst {
            self.egress.push(route, [head, payload]);
        }
    }

    fn receive_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = now();
        while start.elapsed() < time {
            self.receive(time, |_| {})?;
        }
        Ok(())
    }

    /// Receives everything that has arrived; returns the number of packets.
    fn receive(&mut self, wait: Duration, mut each: impl FnMut(&[u8])) -> anyhow::Result<usize> {
        self.epoll.wait(&mut self.events, Some(wait))?;
        let mut packets = 0;
        for token in self.events.tokens() {
            let client = usize::try_from(token).ok().and_then(|index| self.clients.get(index));
            let socket = client.map_or(&self.peer, |client| &client.socket);
            // The rest is reported again.
            let Ok(messages) = self.receiver.receive(socket) else { continue };
            for received in messages {
                for packet in received.datagrams() {
                    packets += 1;
                    each(packet);
                }
            }
        }
        Ok(packets)
    }
}
