//! The floor: a relay without authentication that finds the socket of a packet in an array.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use datagrams::{Egress, Epoll, Events, Interest, Options, Pace, Pacing, Receiver, Socket};

use crate::process::say;

/// A client's allocation request: this, and the port of its peer.
pub(super) const HELLO: [u8; 4] = *b"open";

struct Flow {
    socket: Socket,
    client: SocketAddr,
    peer: SocketAddr,
}

const LISTENER: u64 = u64::MAX;
const BATCH: usize = 16;
const BUDGET: usize = 8;
/// The same as the relay's.
const PACING: Pacing = Pacing {
    busy_rate: 4_000.0,
    fade: Duration::from_millis(10),
    full_turn: 32,
    wait: Duration::from_micros(300),
};

/// Runs until it is killed.
#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn serve() -> anyhow::Result<()> {
    let listener = Socket::bind("127.0.0.1:0".parse()?, &Options::default())?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Interest::READ)?;
    let mut flows: Vec<Flow> = Vec::new();
    let mut by_port: Vec<Option<usize>> = vec![None; 65_536];
    let (mut receiver, mut egress, mut events) =
        (Receiver::new(BATCH), Egress::default(), Events::with_capacity(256));
    let mut pace = Pace::new(PACING, Instant::now());
    say(listener.local_addr()?)?;
    loop {
        epoll.wait(&mut events, None)?;
        let now = Instant::now();
        let mut packets = 0;
        for token in events.tokens() {
            for _ in 0..BUDGET {
                let flow = usize::try_from(token).ok().and_then(|index| flows.get(index));
                let socket = flow.map_or(&listener, |flow| &flow.socket);
                let Ok(messages) = receiver.receive(socket) else { break };
                let has_more = messages.is_full();
                for received in messages {
                    let from = received.from;
                    for datagram in received.datagrams() {
                        packets += 1;
                        if let Some(index) = usize::try_from(token).ok().filter(|index| *index < flows.len())
                        {
                            if let Some(flow) = flows.get(index) {
                                egress.push(listener.route(flow.client, None), [datagram]);
                            }
                            continue;
                        }
                        let known = by_port.get(usize::from(from.port())).copied().flatten();
                        if let Some(flow) = known.and_then(|index| flows.get(index)) {
                            egress.push(flow.socket.route(flow.peer, None), [datagram]);
                        } else if let Some(port) = datagram.strip_prefix(&HELLO) {
                            let port = port.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
                            let flow = open(from, SocketAddr::from(([127, 0, 0, 1], port)))?;
                            let relay = flow.socket.local_addr()?.port();
                            let interest = Interest { edge: true, ..Interest::READ };
                            epoll.add(&flow.socket, flows.len() as u64, interest)?;
                            if let Some(slot) = by_port.get_mut(usize::from(from.port())) {
                                *slot = Some(flows.len());
                            }
                            flows.push(flow);
                            let answer = relay.to_be_bytes();
                            egress.push(listener.route(from, None), [&answer]);
                        }
                    }
                }
                if !has_more {
                    break;
                }
            }
        }
        egress.flush();
        std::thread::sleep(pace.after_turn(now, packets));
    }
}

fn open(client: SocketAddr, peer: SocketAddr) -> anyhow::Result<Flow> {
    let socket = Socket::bind("127.0.0.1:0".parse()?, &Options::default())?;
    Ok(Flow { socket, client, peer })
}
