//! This media server in a separate process, controlled by lines of JSON on its standard input and output.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use recording::Retention;
use recording::driver::{Recorder, RecorderConfig};
use serde::{Deserialize, Serialize};
use sfu::driver::{self, MediaSocket};
use sfu::{Config, Handle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{LifeId, MediaDemand, MediaEvent, MediaPlane as _, PeerId, RoomId, Watch};

use super::shape::Member;
use super::signaling::{Said, Signaling};
use crate::process::Process;

/// A line to the server.
#[derive(Serialize, Deserialize)]
enum Order {
    Join { room: RoomId, peer: PeerId, role: Role },
    Offer { room: RoomId, peer: PeerId, sdp: Arc<str> },
    Answer { room: RoomId, peer: PeerId, sdp: Arc<str>, negotiation: Option<u64> },
}

/// A line from the server.
#[derive(Serialize, Deserialize)]
enum Event {
    Answer { peer: PeerId, sdp: String },
    Offer { peer: PeerId, sdp: String, negotiation: u64 },
}

/// Serves on a free loopback port until it is killed, or its standard input ends.
#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn serve(workers: u16, record: Option<&Path>) -> anyhow::Result<()> {
    let mut sockets = vec![MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?];
    let address = sockets.first().context("no socket")?.local_addr()?;
    while sockets.len() < usize::from(workers) {
        sockets.push(MediaSocket::bind(address)?);
    }
    let config = Config { shards: workers, ..Config::new(vec![address], [7; 32]) };
    let (handle, shards) = driver::open(config, Instant::now())?;
    let stop = Arc::new(AtomicBool::new(false));
    for (worker, socket) in shards.into_iter().zip(sockets) {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || worker.run(socket, |_, event| tell(event), &stop));
    }
    let recorder = record.map(|folder| recorder(folder, handle.clone())).transpose()?;
    let mut rooms = HashSet::new();
    writeln!(std::io::stdout(), "{address}")?;
    for line in std::io::stdin().lines() {
        match serde_json::from_str(&line?)? {
            Order::Join { room, peer, role } => {
                if let Some(recorder) = &recorder
                    && rooms.insert(room.clone())
                {
                    recorder.record(room.clone(), LifeId::random(&mut SeededEntropy::new(1)), true);
                }
                handle.demand(&room, MediaDemand::Join { peer, role });
            }
            Order::Offer { room, peer, sdp } => {
                handle.demand(&room, MediaDemand::Offer { peer, sdp, negotiation: None });
            }
            Order::Answer { room, peer, sdp, negotiation } => {
                handle.demand(&room, MediaDemand::Answer { peer, sdp, negotiation });
            }
        }
    }
    recorder.iter().for_each(Recorder::shut_down);
    Ok(())
}

fn recorder(folder: &Path, sfu: Handle) -> anyhow::Result<Recorder> {
    let (folder, retention) = (folder.to_owned(), Retention::default());
    let config = RecorderConfig { folder, fsync: false, ffmpeg: None, retention, store: None };
    Ok(Recorder::start(&config, sfu, &Watch::default(), Box::new(|_, _| ()))?)
}

fn tell(event: MediaEvent) {
    let event = match event {
        MediaEvent::Answer { peer, sdp, .. } => Event::Answer { peer, sdp },
        MediaEvent::Offer { peer, sdp, negotiation, .. } => Event::Offer { peer, sdp, negotiation },
        _ => return,
    };
    if let Ok(line) = serde_json::to_string(&event) {
        // If nobody reads any more, the process is about to be killed.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// The server's process and its lines.
pub(super) struct Ours {
    pub(super) process: Process,
    input: ChildStdin,
    lines: Receiver<String>,
    members: Vec<(RoomId, PeerId)>,
}

impl Ours {
    /// Starts the server; with a folder, everything is recorded into it.
    pub(super) fn start(cpu: &str, workers: u16, record: Option<&Path>) -> anyhow::Result<Self> {
        let mut process = Process::pinned(cpu, &std::env::current_exe()?, |command| {
            command.args(["sfu", "--workers", &workers.to_string(), "serve"]);
            command.args(record.iter().flat_map(|folder| [OsStr::new("--record"), folder.as_os_str()]));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let output = process.child.stdout.take().context("no output")?;
        let input = process.child.stdin.take().context("no input")?;
        let (sender, lines) = sync_channel(65_536);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let _: SocketAddr = lines.recv()?.parse().context("the server said something else")?;
        Ok(Self { process, input, lines, members: Vec::new() })
    }

    /// Lets the server close its files and exit.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { mut process, input, .. } = self;
        drop(input);
        let status = process.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    fn say(&mut self, order: &Order) -> anyhow::Result<()> {
        writeln!(self.input, "{}", serde_json::to_string(order)?)?;
        Ok(())
    }

    fn member(&self, member: usize) -> anyhow::Result<(RoomId, PeerId)> {
        self.members.get(member).cloned().context("no such member")
    }
}

impl Signaling for Ours {
    fn join(&mut self, member: usize, is: Member) -> anyhow::Result<()> {
        ensure!(member == self.members.len(), "members join in order");
        let room: RoomId = format!("room-{}", is.room).parse()?;
        let peer = PeerId::random(&mut SeededEntropy::new(member as u64));
        let role = match (is.publishes, is.watches > 0) {
            (true, true) => Role::Participant,
            (true, false) => Role::Broadcaster,
            (false, _) => Role::Viewer,
        };
        self.members.push((room.clone(), peer));
        self.say(&Order::Join { room, peer, role })
    }

    fn publish(&mut self, member: usize, offer: &str) -> anyhow::Result<()> {
        let (room, peer) = self.member(member)?;
        self.say(&Order::Offer { room, peer, sdp: offer.into() })
    }

    fn watch(&mut self, _: usize) -> anyhow::Result<()> {
        Ok(()) // The server offers by itself.
    }

    fn answer(&mut self, member: usize, number: Option<u64>, sdp: &str) -> anyhow::Result<()> {
        let (room, peer) = self.member(member)?;
        self.say(&Order::Answer { room, peer, sdp: sdp.into(), negotiation: number })
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Option<Said>> {
        let Ok(line) = self.lines.recv_timeout(wait) else { return Ok(None) };
        let event = serde_json::from_str(&line)?;
        let (Event::Answer { peer, .. } | Event::Offer { peer, .. }) = &event;
        let member = self.members.iter().position(|(_, known)| known == peer).context("no such peer")?;
        Ok(Some(match event {
            Event::Answer { sdp, .. } => Said::Answer { member, sdp },
            Event::Offer { sdp, negotiation, .. } => Said::Offer { member, number: Some(negotiation), sdp },
        }))
    }
}
