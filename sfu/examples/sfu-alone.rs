//! The media server with other signaling: lines of text over TCP, without JSON and without the
//! rooms of `signaling-core`.
//!
//! `cargo run -p sfu --example sfu-alone -- 8091 3480`. A client joins a room, offers the media that it sends and answers
//! the server's offers. A description is sent as its lines followed by a line with a dot:
//!
//! ```text
//! client                      server
//! JOIN standup
//! OFFER, SDP, .
//!                             ANSWER, SDP, .
//!                             OFFER 1, SDP, .
//! ANSWER 1, SDP, .
//! ```
#![allow(clippy::disallowed_methods, reason = "the example is its own driver")]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sfu::driver::{self, MediaSocket};
use sfu::{Config, Handle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{MediaDemand, MediaEvent, MediaPlane as _, PeerId, RoomId};

/// Maximum number of messages that wait for a client; a client with this many unread messages has gone.
const MAX_WAITING: usize = 64;
/// Maximum size of one description, in bytes.
const MAX_DESCRIPTION: usize = 64 * 1024;

/// The connections, by peer.
type Peers = Arc<Mutex<HashMap<PeerId, SyncSender<String>>>>;

fn main() -> io::Result<()> {
    let mut ports = std::env::args().skip(1).map(|argument| argument.parse::<u16>().unwrap_or(0));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.next().unwrap_or(8091)))?;
    let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, ports.next().unwrap_or(0)).into())?;
    writeln!(io::stdout(), "listening on {}, media on {}", listener.local_addr()?, socket.local_addr()?)?;
    serve(&listener, socket)
}

/// Serves all clients that connect.
pub fn serve(listener: &TcpListener, socket: MediaSocket) -> io::Result<()> {
    // An example may use a predictable seed; a server takes it from the system.
    let config = Config::new(vec![socket.local_addr()?], [7; 32]);
    let (handle, workers) = driver::open(config, Instant::now()).map_err(io::Error::other)?;
    let peers = Peers::default();
    let mut sockets = Some(socket);
    for (worker, socket) in workers.into_iter().zip(std::iter::from_fn(|| sockets.take())) {
        let peers = Arc::clone(&peers);
        std::thread::spawn(move || {
            worker.run(socket, |_, event| tell(&peers, event), &AtomicBool::new(false))
        });
    }
    let mut entropy = SeededEntropy::new(1);
    for stream in listener.incoming() {
        let (stream, peer) = (stream?, PeerId::random(&mut entropy));
        let (sender, messages) = sync_channel(MAX_WAITING);
        peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, sender);
        let (handle, peers, output) = (handle.clone(), Arc::clone(&peers), stream.try_clone()?);
        std::thread::spawn(move || write(output, &messages));
        std::thread::spawn(move || {
            let room = read(stream, &handle, peer);
            peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
            if let Some(room) = room {
                handle.demand(&room, MediaDemand::Leave { peer });
            }
        });
    }
    Ok(())
}

/// Handles the messages of a client until it disconnects or sends an unknown one. Returns the room that it joined.
fn read(stream: TcpStream, handle: &Handle, peer: PeerId) -> Option<RoomId> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let room: RoomId = lines.next()?.strip_prefix("JOIN ")?.parse().ok()?;
    handle.demand(&room, MediaDemand::Join { peer, role: Role::Participant });
    while let Some(line) = lines.next() {
        let Some(sdp) = description(&mut lines) else { break };
        let demand = match line.split_once(' ') {
            None if line == "OFFER" => MediaDemand::Offer { peer, sdp, negotiation: None },
            Some(("ANSWER", number)) => MediaDemand::Answer { peer, sdp, negotiation: number.parse().ok() },
            _ => break,
        };
        handle.demand(&room, demand);
    }
    Some(room)
}

/// The lines of a description up to the dot.
fn description(lines: &mut impl Iterator<Item = String>) -> Option<Arc<str>> {
    let mut sdp = String::new();
    loop {
        let line = lines.next()?;
        if line == "." {
            return Some(sdp.into());
        }
        if sdp.len() + line.len() > MAX_DESCRIPTION {
            return None;
        }
        sdp.push_str(&line);
        sdp.push_str("\r\n");
    }
}

/// Queues an event of the media server for a client. It runs on the thread that forwards media, so it must not block.
fn tell(peers: &Peers, event: MediaEvent) {
    let (peer, message) = match event {
        MediaEvent::Answer { peer, sdp, .. } => (peer, format!("ANSWER\r\n{sdp}.\r\n")),
        MediaEvent::Offer { peer, sdp, negotiation, .. } => {
            (peer, format!("OFFER {negotiation}\r\n{sdp}.\r\n"))
        }
        _ => return,
    };
    let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
    if peers.get(&peer).is_some_and(|sender| sender.try_send(message).is_err()) {
        peers.remove(&peer);
    }
}

fn write(mut stream: TcpStream, messages: &Receiver<String>) {
    for message in messages {
        if stream.write_all(message.as_bytes()).is_err() {
            return;
        }
    }
}
