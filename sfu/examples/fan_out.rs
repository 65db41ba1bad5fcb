//! What forwarding costs: one publisher to N players over loopback, with real ICE, DTLS, SRTP, feedback and reports.
//!
//! `cargo run --release -p sfu --example fan_out -- 100 10`: players, seconds. Pictures come 30 times a second in 17
//! packets of 1,100 bytes, sound 50 times. Printed are the CPU time of the server's thread per forwarded datagram, the
//! share that arrived, and the time from sending to arrival.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use sfu::driver::{self, MediaSocket};
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};
use sfu::{Config, Egress, HttpSession, Path, Sfu, SfuHandle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{MediaDemand, MediaPlane, PeerId, RoomId};

const PACKETS: u16 = 17;
const PICTURE: Duration = Duration::from_micros(33_333);
const SOUND: Duration = Duration::from_millis(20);

/// A client with a socket of its own.
struct Endpoint {
    client: Client,
    socket: MediaSocket,
    out: Egress,
    datagrams: u64,
}

impl Endpoint {
    fn join(
        sfu: &mut SfuHandle,
        room: &RoomId,
        kind: ClientKind,
        identity: &Identity,
        number: u64,
        epoch: Instant,
    ) -> Result<Self, Box<dyn Error>> {
        let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let mut client = Client::new(kind, socket.local_addr()?, identity.clone(), number, epoch);
        let peer = PeerId::random(&mut SeededEntropy::new(number));
        let (role, session) = match kind {
            ClientKind::Publisher => (Role::Broadcaster, HttpSession::Publish),
            ClientKind::Player => (Role::Viewer, HttpSession::Play { publisher: None }),
        };
        sfu.demand(room, MediaDemand::Join { peer, role });
        let (reply, answer) = sync_channel(1);
        let reply = Box::new(move |result| drop(reply.send(result)));
        sfu.offer(room.clone(), peer, session, client.offer(), None, reply)?;
        client.accept_answer(epoch, &answer.recv()??.sdp).ok_or("no usable answer")?;
        Ok(Self { client, socket, out: Egress::default(), datagrams: 0 })
    }

    fn turn(&mut self, now: Instant) -> std::io::Result<()> {
        let Self { client, socket, datagrams, .. } = self;
        *datagrams += socket.receive(|_, datagram| client.handle_datagram(now, datagram))? as u64;
        client.handle_timeout(now);
        self.send();
        Ok(())
    }

    fn send(&mut self) {
        while let Some((server, datagram)) = self.client.poll_transmit() {
            self.out.push_copy(Path::to(server), &datagram);
        }
        if !self.out.is_empty() {
            self.socket.send(&self.out);
            self.out.clear();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let count = arguments.next().transpose()?.unwrap_or(100);
    let seconds = arguments.next().transpose()?.unwrap_or(10);

    let epoch = Instant::now();
    let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let (mut sfu, seats) = Sfu::new(Config::new(vec![socket.local_addr()?], [9; 32]), epoch)?;
    let seat = seats.into_iter().next().ok_or("no worker")?;
    let stop = Arc::new(AtomicBool::new(false));
    let (task, schedstat) = sync_channel(1);
    let server = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let _ = task.send(std::fs::read_link("/proc/thread-self"));
            driver::run(seat, socket, |_, _| {}, &stop)
        })
    };
    let schedstat = std::path::Path::new("/proc").join(schedstat.recv()??).join("schedstat");
    let cpu = || -> Result<Duration, Box<dyn Error>> {
        let text = std::fs::read_to_string(&schedstat)?;
        Ok(Duration::from_nanos(text.split(' ').next().ok_or("empty schedstat")?.parse()?))
    };

    let room: RoomId = "bench".parse()?;
    let identity = Identity::generate()?;
    let mut publisher = Endpoint::join(&mut sfu, &room, ClientKind::Publisher, &identity, 0, epoch)?;
    let mut players = Vec::new();
    for number in 1..=count {
        let mut player = Endpoint::join(&mut sfu, &room, ClientKind::Player, &identity, number, epoch)?;
        while !player.client.is_connected() {
            player.turn(Instant::now())?;
            publisher.turn(Instant::now())?;
        }
        players.push(player);
    }

    let warm = Instant::now() + Duration::from_secs(2);
    let end = warm + Duration::from_secs(seconds);
    let (mut picture, mut sound) = (Instant::now(), Instant::now());
    let (mut cpu_before, mut sent_measured) = (None, 0_u64);
    loop {
        let now = Instant::now();
        if cpu_before.is_none() && now >= warm {
            cpu_before = Some(cpu()?);
            for player in &mut players {
                player.datagrams = 0;
                player.client.playback.clear();
            }
        }
        if now >= end {
            break;
        }
        let measured = u64::from(cpu_before.is_some());
        if picture <= now {
            picture += PICTURE;
            publisher.client.send_picture(now, PACKETS);
            sent_measured += measured * u64::from(PACKETS);
        }
        if sound <= now {
            sound += SOUND;
            publisher.client.send_sound(30);
            sent_measured += measured;
        }
        publisher.turn(now)?;
        for player in &mut players {
            player.turn(Instant::now())?;
        }
    }
    let spent = cpu()?.saturating_sub(cpu_before.unwrap_or_default());
    stop.store(true, Ordering::Release);
    server.join().map_err(|_| "the server's thread panicked")??;

    let forwarded = sent_measured * count;
    let received: u64 = players.iter().map(|player| player.datagrams).sum();
    let mut latencies: Vec<u64> = players
        .iter()
        .flat_map(|player| player.client.playback.values())
        .flat_map(|playback| playback.latencies_micros.iter().copied())
        .collect();
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or(0);
    let per_packet = spent.as_nanos() / u128::from(forwarded.max(1));
    let server_address: SocketAddr = players.first().ok_or("no players")?.client.address;
    writeln!(
        std::io::stdout(),
        "{count} players ({server_address} and others): {per_packet} ns of server CPU per forwarded datagram, \
         {forwarded} forwarded, {received} received, latency p50 {} us, p99 {} us",
        at(50),
        at(99)
    )?;
    Ok(())
}
