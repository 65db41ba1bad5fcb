//! The floor: a relay that authenticates nobody, and finds the socket for a packet in an array.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use stun_turn::net::{Egress, Epoll, Events, Interest, Pace, Receiver, enable_gro};

use crate::process::say;

/// What a client says to get a relay: this, and the port of its peer.
pub(super) const HELLO: [u8; 4] = *b"open";

struct Flow {
    socket: UdpSocket,
    client: SocketAddr,
    peer: SocketAddr,
}

const LISTENER: u64 = u64::MAX;
const BATCH: usize = 16;
const BUDGET: usize = 8;

/// Runs until it is killed.
#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn serve() -> anyhow::Result<()> {
    let listener = UdpSocket::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    enable_gro(&listener)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Interest { read: true, write: false, edge: false })?;
    let mut flows: Vec<Flow> = Vec::new();
    let mut by_port: Vec<Option<usize>> = vec![None; 65_536];
    let (mut receiver, mut egress, mut events) = (Receiver::new(), Egress::new(), Events::with_capacity(256));
    let mut pace = Pace::new(Instant::now(), Duration::from_micros(300));
    say(listener.local_addr()?)?;
    loop {
        let count = epoll.wait(&mut events, None)?;
        let now = Instant::now();
        let mut packets = 0;
        for token in (0..count).filter_map(|at| events.token(at)) {
            for _ in 0..BUDGET {
                let flow = usize::try_from(token).ok().and_then(|index| flows.get(index));
                let socket = flow.map_or(&listener, |flow| &flow.socket);
                let Ok(count) = receiver.receive(socket) else { break };
                for received in (0..count).filter_map(|at| receiver.message(at)) {
                    for datagram in received.datagrams() {
                        packets += 1;
                        if let Some(index) = usize::try_from(token).ok().filter(|index| *index < flows.len())
                        {
                            if let Some(flow) = flows.get(index) {
                                egress.push(listener.as_raw_fd(), flow.client, None, [datagram, &[], &[]]);
                            }
                            continue;
                        }
                        let known = by_port.get(usize::from(received.from.port())).copied().flatten();
                        if let Some(flow) = known.and_then(|index| flows.get(index)) {
                            egress.push(flow.socket.as_raw_fd(), flow.peer, None, [datagram, &[], &[]]);
                        } else if let Some(port) = datagram.strip_prefix(&HELLO) {
                            let port = port.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
                            let flow = open(received.from, SocketAddr::from(([127, 0, 0, 1], port)))?;
                            let relay = flow.socket.local_addr()?.port();
                            let interest = Interest { read: true, write: false, edge: true };
                            epoll.add(&flow.socket, flows.len() as u64, interest)?;
                            if let Some(slot) = by_port.get_mut(usize::from(received.from.port())) {
                                *slot = Some(flows.len());
                            }
                            flows.push(flow);
                            let answer = relay.to_be_bytes();
                            egress.push(listener.as_raw_fd(), received.from, None, [&answer, &[], &[]]);
                        }
                    }
                }
                if count < BATCH {
                    break;
                }
            }
        }
        egress.flush();
        pace.wait_for_company(now, packets, false);
    }
}

fn open(client: SocketAddr, peer: SocketAddr) -> anyhow::Result<Flow> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    enable_gro(&socket)?;
    Ok(Flow { socket, client, peer })
}
