//! Rooms over a transport of one's own: a Unix socket, one message of the protocol in each line.
//!
//! `cargo run -p examples --bin custom-transport -- /tmp/rooms.sock`, then `socat - /tmp/rooms.sock` and
//! `{"type":"join","room":"standup","name":"Ada"}`.
//!
//! The rooms are a state machine without I/O. One thread owns it, and each connection has two more: one reads lines and
//! sends them to the rooms, the other writes what the rooms say.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the example is its own driver")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use signaling_core::message::Reply;
use signaling_core::{
    ClientMessage, Code, ConnectionId, Entropy as _, Envelope, Environment, Frame, Grant, JsonCodec,
    NewConnection, Offer, Outbound, Refusal, Seat, ServerKey, Shard, SystemEntropy, Timestamp, Unreadable,
};

/// The longest line, and how many lines wait at most to be handled or to be written.
const MAX_LINE: u64 = 256 * 1024;
const WAITING: usize = 256;

/// What a connection tells the rooms.
enum Input {
    Opened(ConnectionId, SyncSender<Arc<Frame>>),
    Line(ConnectionId, Result<Envelope, Unreadable>),
    Closed(ConnectionId),
}

/// The way of the rooms to a connection. What it has no room for stays in the log of the room.
fn lines(frames: SyncSender<Arc<Frame>>) -> impl Outbound {
    move |frame: &Arc<Frame>| match frames.try_send(Arc::clone(frame)) {
        Ok(()) => Offer::Taken,
        // A reader so slow is disconnected; it may resume.
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Offer::Gone,
    }
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("say where the socket is to be")?;
    let listener = UnixListener::bind(&path)?;
    eprintln!("listening on {path}");
    let mut key = [0; 32]; // a service that is restarted keeps these
    SystemEntropy.fill(&mut key);
    let environment = Environment::new(ServerKey::new(key));
    let codec = Arc::clone(&environment.codec);
    let (inputs, waiting) = sync_channel(WAITING);
    let rooms = Rooms {
        shard: Shard::new(environment, now(), Vec::new()),
        codec: Arc::clone(&codec),
        connections: HashMap::new(),
    };
    std::thread::spawn(move || rooms.run(&waiting));
    for (id, stream) in (1..).zip(listener.incoming()) {
        let (stream, inputs, codec) = (stream?, inputs.clone(), Arc::clone(&codec));
        std::thread::spawn(move || serve(ConnectionId(id), stream, &inputs, &codec));
    }
    Ok(())
}

/// Serves one connection until either side ends it.
fn serve(id: ConnectionId, stream: UnixStream, inputs: &SyncSender<Input>, codec: &JsonCodec) -> Option<()> {
    let (frames, to_write) = sync_channel::<Arc<Frame>>(WAITING);
    let mut output = stream.try_clone().ok()?;
    inputs.send(Input::Opened(id, frames)).ok()?;
    std::thread::spawn(move || {
        for frame in to_write {
            if output.write_all(&frame.json).and_then(|()| output.write_all(b"\n")).is_err() {
                break;
            }
        }
        // The rooms have closed it: the reader ends as well.
        let _ = output.shutdown(std::net::Shutdown::Both);
    });
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()? > 0 {
        inputs.send(Input::Line(id, codec.decode(&line))).ok()?;
        line.clear();
    }
    inputs.send(Input::Closed(id)).ok()
}

/// The thread that owns the rooms.
struct Rooms {
    shard: Shard,
    codec: Arc<JsonCodec>,
    connections: HashMap<ConnectionId, Connection>,
}

struct Connection {
    frames: SyncSender<Arc<Frame>>,
    /// The peer's place in its room, after `join` or `resume`.
    seat: Option<Seat>,
}

impl Rooms {
    fn run(mut self, inputs: &Receiver<Input>) {
        loop {
            let due = self
                .shard
                .poll_timeout()
                .map_or(u64::MAX, |due| due.as_millis().saturating_sub(now().as_millis()));
            match inputs.recv_timeout(Duration::from_millis(due.min(1_000))) {
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.shard.handle_timeout(now());
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Opened(id, frames) => drop(self.connections.insert(id, Connection { frames, seat: None })),
            Input::Line(id, message) => self.line(id, message),
            Input::Closed(id) => {
                if let Some(Connection { seat: Some(seat), .. }) = self.connections.remove(&id) {
                    self.shard.detach(now(), &seat, id);
                }
            }
        }
    }

    fn line(&mut self, id: ConnectionId, message: Result<Envelope, Unreadable>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(seat) = &connection.seat {
            return self.shard.receive(now(), seat, Some(id), message, None);
        }
        let outbound = Box::new(lines(connection.frames.clone()));
        let new = Some((NewConnection { id, outbound }, None));
        let key = Arc::clone(&self.codec);
        let entered = match message.map_err(|unreadable| unreadable.refusal).map(|envelope| envelope.message)
        {
            // Whoever reaches the socket may make rooms.
            Ok(ClientMessage::Join(join)) => {
                let grant = Grant { may_create: true, ..Grant::default() };
                self.shard.join(now(), &join, &grant, new)
            }
            Ok(_) => Err(Refusal::new(Code::BadRequest, "the first line is a `join`")),
            Err(refusal) => Err(refusal),
        };
        match entered {
            Ok((seat, _)) => connection.seat = Some(seat),
            Err(refusal) => {
                drop(connection.frames.try_send(Arc::new(key.encode_reply(&Reply::error(&refusal, None)))));
            }
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
