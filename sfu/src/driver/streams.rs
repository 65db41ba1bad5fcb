//! The TCP connections of one shard's clients (RFC 6544).
//!
//! A connection is accepted elsewhere and handed over with its first frame, a connectivity check, which names the shard.
//! Until ICE has validated the connection it gets little time and may send little; then it lasts for as long as ICE's
//! consent does.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use datagrams::{Batch, Epoll, Events, Interest};
use slotmap::{Key as _, KeyData, SlotMap};

use super::stream::{Class, Stream};
use crate::demux::{Protocol, classify};
use crate::keys::StreamKey;
use crate::path::{Carrier, Path};
use crate::rtp::RtpHeader;
use crate::shard::Shard;

/// The time within which ICE must validate a connection.
const VALIDATION_TIME: Duration = Duration::from_secs(5);
/// Bytes that a connection may send until ICE has validated it.
const VALIDATION_BYTES: usize = 2_048;
/// Maximum number of connections of one shard.
const MAX_STREAMS: usize = 16_384;
/// The time between two checks that connections are still valid.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 64 * 1_024;

/// A connection that a client has opened for media, for [`Handle::accept`](super::Handle::accept).
pub struct MediaConnection {
    /// The socket.
    pub socket: TcpStream,
    /// What has been received: at least one whole frame.
    pub received: Vec<u8>,
    /// Dropped with the connection: its place among those of its address.
    pub place: Box<dyn Send>,
}

/// The connections of a shard.
pub(super) struct Streams {
    accepted: Receiver<MediaConnection>,
    epoll: Epoll,
    by_key: SlotMap<StreamKey, Stream>,
    /// Connections with frames to write.
    dirty: Vec<StreamKey>,
    buffer: Vec<u8>,
    next_check: Option<Instant>,
    expired: u64,
}

impl Streams {
    pub(super) fn new(accepted: Receiver<MediaConnection>) -> io::Result<Self> {
        Ok(Self {
            accepted,
            epoll: Epoll::new()?,
            by_key: SlotMap::default(),
            dirty: Vec::new(),
            buffer: Vec::new(),
            next_check: None,
            expired: 0,
        })
    }

    /// The number of connections.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The number of datagrams that became too old to send.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Takes over new connections; returns whether there were any.
    pub(super) fn accept(&mut self, now: Instant, shard: &mut Shard) -> bool {
        let mut has_accepted = false;
        while let Ok(connection) = self.accepted.try_recv() {
            has_accepted = true;
            if let Err(error) = self.open(now, connection, shard) {
                tracing::debug!(%error, "a connection for media was not taken");
            }
        }
        has_accepted
    }

    fn open(&mut self, now: Instant, connection: MediaConnection, shard: &mut Shard) -> io::Result<()> {
        let MediaConnection { socket, mut received, place } = connection;
        if self.by_key.len() >= MAX_STREAMS {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        socket.set_nonblocking(true)?;
        let (remote, local) = (socket.peer_addr()?, socket.local_addr()?.ip());
        self.buffer.resize(READ_BYTES, 0);
        let key = self.by_key.insert_with_key(|key| {
            let remote = std::net::SocketAddr::new(remote.ip().to_canonical(), remote.port());
            let path = Path::streamed(key, remote, local.to_canonical());
            Stream::new(socket, path, now, place)
        });
        let Some(stream) = self.by_key.get_mut(key) else { return Ok(()) };
        let taken = self.epoll.add(&stream.socket, key.data().as_ffi(), Interest::READ).and_then(|()| {
            stream.take(&mut received, |path, datagram| shard.handle_datagram(now, path, datagram))
        });
        if taken.is_err() || !stream.is_within_limits(shard) {
            self.by_key.remove(key);
        }
        taken
    }

    /// Passes the datagrams that have arrived to the shard, and closes connections that are over.
    pub(super) fn receive(&mut self, now: Instant, events: &mut Events, shard: &mut Shard) -> io::Result<()> {
        if self.by_key.is_empty() {
            return Ok(());
        }
        self.epoll.wait(events, Some(Duration::ZERO))?;
        for token in events.tokens() {
            let key = StreamKey::from(KeyData::from_ffi(token));
            let Some(stream) = self.by_key.get_mut(key) else { continue };
            let read =
                stream.read(&mut self.buffer, |path, datagram| shard.handle_datagram(now, path, datagram));
            if read.is_err() || !stream.is_within_limits(shard) {
                self.by_key.remove(key);
            } else if stream.is_blocked() {
                self.dirty.push(key);
            }
        }
        if self.next_check.is_none_or(|at| at <= now) {
            self.next_check = Some(now + CHECK_INTERVAL);
            self.by_key.retain(|_, stream| stream.is_wanted(now, shard));
        }
        Ok(())
    }

    /// Takes the datagrams for connections out of a batch; [`Streams::flush`] writes them.
    pub(super) fn collect(&mut self, batch: &Batch<Path>) {
        if self.by_key.is_empty() {
            return;
        }
        for run in batch.runs() {
            let Carrier::Stream(key) = run.to.carrier else { continue };
            let Some(stream) = self.by_key.get_mut(key) else { continue };
            for datagram in run.datagrams() {
                if stream.push(datagram) {
                    self.dirty.push(key);
                }
            }
        }
    }

    /// Writes the collected datagrams, and those that wait where there is room again.
    pub(super) fn flush(&mut self, now: Instant, shard: &Shard) {
        for key in self.dirty.drain(..) {
            let Some(stream) = self.by_key.get_mut(key) else { continue };
            let flushed = stream.flush(now, |path, datagram| class_of(shard, path, datagram));
            let watched = flushed.and_then(|expired| {
                self.expired += expired;
                stream.watch(&self.epoll, key)
            });
            if let Err(error) = watched {
                tracing::debug!(client = %stream.path.remote, %error, "a connection for media has ended");
                self.by_key.remove(key);
            }
        }
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Stream {
    /// Notes whether ICE has validated the connection; `false` if it has sent too much before that.
    fn is_within_limits(&mut self, shard: &Shard) -> bool {
        self.is_validated = self.is_validated || shard.knows(&self.path);
        self.is_validated || self.received <= VALIDATION_BYTES
    }

    /// Whether ICE has validated the connection and its consent lasts, or there is still time.
    fn is_wanted(&mut self, now: Instant, shard: &Shard) -> bool {
        let is_known = shard.knows(&self.path);
        let is_new = !self.is_validated && now.saturating_duration_since(self.opened) < VALIDATION_TIME;
        self.is_validated |= is_known;
        is_known || is_new
    }

    /// Watches for room to write exactly while frames wait.
    fn watch(&mut self, epoll: &Epoll, key: StreamKey) -> io::Result<()> {
        let is_blocked = self.is_blocked();
        if self.waits_to_write != is_blocked {
            self.waits_to_write = is_blocked;
            let interest = Interest { write: is_blocked, ..Interest::READ };
            epoll.modify(&self.socket, key.data().as_ffi(), interest)?;
        }
        Ok(())
    }
}

fn class_of(shard: &Shard, path: &Path, datagram: &[u8]) -> Class {
    if classify(datagram) != Some(Protocol::Rtp) {
        return Class::Control;
    }
    let is_audio = RtpHeader::parse(datagram).is_some_and(|header| shard.is_audio(path, header.ssrc));
    if is_audio { Class::Audio } else { Class::Video }
}
