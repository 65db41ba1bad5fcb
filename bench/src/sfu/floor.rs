//! The floor: the cost of encrypting and sending, and nothing else. The packets, ciphers, runs and times are those of
//! the media server.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datagrams::{Batch, Receiver, Socket};
use serde::{Deserialize, Serialize};
use sfu::driver::MediaSocket;
use sfu::srtp::{self, Sealer, SrtpProfile};
use sfu::{MAX_DATAGRAM, Path};

use super::load::{Arrived, PICTURE, PICTURE_PACKETS, SOUND, now, open_socket};
use super::shape::Shape;
use crate::process::Process;

const HEADER: usize = 20;
const PICTURE_BYTES: usize = sfu::testing::SAMPLE_BYTES;
const SOUND_BYTES: usize = 80;
/// The slab is sent at this size, as in the server.
const SLAB_BYTES: usize = 256 * 1024;

/// The first line of input to the process: the receivers of each publisher, and the maximum number of packets in one
/// message.
#[derive(Serialize, Deserialize)]
struct Plan {
    publishers: Vec<Vec<SocketAddr>>,
    run: usize,
}

struct Destination {
    path: Path,
    sealer: Sealer,
    index: u64,
}

/// Encrypts and sends until it is killed.
pub(super) fn serve() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let Plan { publishers, run } = serde_json::from_str(&line)?;
    let mut socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let material = [7; 2 * (16 + 12)];
    let mut publishers: Vec<Vec<Destination>> = publishers
        .into_iter()
        .map(|receivers| {
            let destination = |to| {
                let (sealer, _) = srtp::keys(&material, SrtpProfile::AEAD_AES_128_GCM, false)?;
                Ok(Destination { path: Path::to(to), sealer, index: 1 })
            };
            receivers.into_iter().map(destination).collect::<anyhow::Result<_>>()
        })
        .collect::<anyhow::Result<_>>()?;
    writeln!(std::io::stdout(), "ready")?;
    let count = u32::try_from(publishers.len().max(1)).unwrap_or(u32::MAX);
    let start = now();
    let mut due: Vec<(Instant, Instant)> =
        (0..count).map(|at| (start + PICTURE * at / count, start + SOUND * at / count)).collect();
    let mut egress = Batch::default();
    egress.limit_runs(run);
    let payload = [0x55; PICTURE_BYTES];
    loop {
        let time = now();
        for (destinations, (picture, sound)) in publishers.iter_mut().zip(&mut due) {
            if *picture <= time {
                *picture += PICTURE;
                send(destinations, usize::from(PICTURE_PACKETS), &payload, &mut egress, &mut socket);
            }
            if *sound <= time {
                *sound += SOUND;
                send(
                    destinations,
                    1,
                    payload.get(..SOUND_BYTES).context("payload")?,
                    &mut egress,
                    &mut socket,
                );
            }
        }
        let next = due.iter().map(|(picture, sound)| *picture.min(sound)).min().unwrap_or(time + SOUND);
        std::thread::sleep(next.saturating_duration_since(now()));
    }
}

fn send(
    destinations: &mut [Destination],
    packets: usize,
    payload: &[u8],
    egress: &mut Batch<Path>,
    socket: &mut MediaSocket,
) {
    for Destination { path, sealer, index } in destinations {
        for _ in 0..packets {
            egress.push_with(*path, MAX_DATAGRAM, |buf| {
                let sequence = u16::try_from(*index & 0xffff).ok()?.to_be_bytes();
                buf.get_mut(..HEADER)?.fill(0x90);
                buf.get_mut(2..4)?.copy_from_slice(&sequence);
                buf.get_mut(HEADER..HEADER + payload.len())?.copy_from_slice(payload);
                sealer.seal_rtp(buf, HEADER, HEADER + payload.len(), 1, *index).ok()
            });
            *index += 1;
        }
        if egress.len() >= SLAB_BYTES {
            socket.send(egress);
            egress.clear();
        }
    }
    socket.send(egress);
    egress.clear();
}

/// The floor's process, and the receivers.
pub(super) struct Floor {
    pub(super) process: Process,
    sockets: Vec<Socket>,
}

impl Floor {
    /// Starts the floor with runs of at most `run` packets.
    pub(super) fn start(cpu: &str, shape: Shape, run: usize) -> anyhow::Result<Self> {
        let members = shape.members();
        let sockets = members
            .iter()
            .map(|member| if member.watches > 0 { open_socket().map(Some) } else { Ok(None) })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let port = |socket: &Socket| Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, socket.local_addr()?.port())));
        let addresses: Vec<Option<SocketAddr>> = sockets
            .iter()
            .map(|socket| socket.as_ref().map(port).transpose())
            .collect::<std::io::Result<_>>()?;
        let receivers = |publisher: usize, room: usize| -> Vec<SocketAddr> {
            let others = members.iter().zip(&addresses).enumerate();
            others
                .filter(|(at, (member, _))| *at != publisher && member.room == room)
                .filter_map(|(_, (_, address))| *address)
                .collect()
        };
        let publishers = members.iter().enumerate().filter(|(_, member)| member.publishes);
        let plan =
            Plan { publishers: publishers.map(|(at, member)| receivers(at, member.room)).collect(), run };
        let mut process = Process::pinned(cpu, &std::env::current_exe()?, |command| {
            command.args(["sfu", "floor"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let input = process.child.stdin.as_mut().context("no input")?;
        writeln!(input, "{}", serde_json::to_string(&plan)?)?;
        Ok(Self { process, sockets: sockets.into_iter().flatten().collect() })
    }

    /// Counts received packets.
    pub(super) fn run(
        &mut self,
        warm_up: Duration,
        time: Duration,
        mut at_begin: impl FnMut(&Process) -> anyhow::Result<()>,
    ) -> anyhow::Result<Arrived> {
        let begin = now() + warm_up;
        let mut arrived = Arrived::default();
        let mut receiver = Receiver::new(64);
        let mut is_warm = false;
        while now() < begin + time {
            if !is_warm && now() >= begin {
                is_warm = true;
                arrived = Arrived::default();
                at_begin(&self.process)?;
            }
            for socket in &self.sockets {
                for received in receiver.receive(socket).into_iter().flatten() {
                    let is_large = received.segment > 1_000;
                    let packets = received.datagrams().count() as u64;
                    arrived.received += packets;
                    if is_large {
                        arrived.large += packets;
                        arrived.runs += 1;
                    }
                }
            }
        }
        arrived.expected = arrived.received;
        Ok(arrived)
    }
}
