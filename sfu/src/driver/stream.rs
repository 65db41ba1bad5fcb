//! One client's TCP connection for media: datagrams in the frames of RFC 4571, each behind its length in two bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::path::Path;

/// The longest frame that is read. Clients keep their datagrams below an Ethernet frame.
pub(super) const MAX_FRAME: usize = 2_048;
/// Bytes read per event, so that one client does not delay the others.
const READ_BUDGET: usize = 64 * 1_024;
/// Frames written by one system call.
const MAX_SLICES: usize = 64;
/// The memory that a connection keeps for the frames of a turn.
const KEPT_BYTES: usize = 16 * 1_024;

/// What a frame for the client contains, which decides how long it may wait for a slow connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// STUN, DTLS and RTCP.
    Control,
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// Frames of one class that wait for the connection.
struct Queue {
    frames: VecDeque<(Instant, Box<[u8]>)>,
    bytes: usize,
    max_age: Duration,
    max_bytes: usize,
}

impl Queue {
    fn new(max_age: Duration, max_bytes: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, max_age, max_bytes }
    }

    /// Adds a frame; returns the number of older frames that were dropped for it.
    fn push(&mut self, now: Instant, frame: &[u8]) -> u64 {
        self.bytes += frame.len();
        self.frames.push_back((now, frame.into()));
        let mut dropped = 0;
        while self.bytes > self.max_bytes && self.pop().is_some() {
            dropped += 1;
        }
        dropped
    }

    /// Drops the frames that are too old; returns their number.
    fn expire(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        while self.frames.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.max_age) {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

/// Frames that wait because the connection takes no more at the moment.
struct Outbound {
    /// The rest of a frame that has been written in part.
    started: Vec<u8>,
    /// By class, in the order in which they are sent.
    queues: [Queue; 3],
}

impl Outbound {
    fn new() -> Self {
        let queues = [
            Queue::new(Duration::from_secs(5), 64 * 1_024),
            Queue::new(Duration::from_secs(2), 64 * 1_024),
            Queue::new(Duration::from_millis(500), 512 * 1_024),
        ];
        Self { started: Vec::new(), queues }
    }

    fn is_empty(&self) -> bool {
        self.started.is_empty() && self.queues.iter().all(|queue| queue.frames.is_empty())
    }

    fn push(&mut self, now: Instant, class: Class, frame: &[u8]) -> u64 {
        let [control, audio, video] = &mut self.queues;
        let queue = match class {
            Class::Control => control,
            Class::Audio => audio,
            Class::Video => video,
        };
        queue.push(now, frame)
    }

    fn expire(&mut self, now: Instant) -> u64 {
        self.queues.iter_mut().map(|queue| queue.expire(now)).sum()
    }

    /// Writes until nothing is left or the socket is full.
    fn write_to(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while !self.is_empty() {
            let frames = self.queues.iter().flat_map(|queue| queue.frames.iter().map(|(_, frame)| &**frame));
            let started = Some(&*self.started).filter(|started| !started.is_empty());
            let slices: Vec<_> =
                started.into_iter().chain(frames).take(MAX_SLICES).map(IoSlice::new).collect();
            match socket.write_vectored(&slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.remove(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes bytes that have been written.
    fn remove(&mut self, mut written: usize) {
        let of_started = written.min(self.started.len());
        self.started.drain(..of_started);
        written -= of_started;
        while written > 0 {
            let Some(frame) = self.queues.iter_mut().find_map(Queue::pop) else { return };
            if let Some(rest) = frame.get(written..).filter(|rest| !rest.is_empty()) {
                self.started.extend_from_slice(rest);
                return;
            }
            written -= frame.len();
        }
    }
}

/// A connection of a client.
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    pub(super) path: Path,
    pub(super) opened: Instant,
    /// Whether ICE has validated the connection.
    pub(super) is_validated: bool,
    /// Whether the connection is watched for room to write.
    pub(super) waits_to_write: bool,
    /// Bytes received so far, as long as they are limited.
    pub(super) received: usize,
    /// The bytes of an incomplete frame.
    partial: Vec<u8>,
    /// The frames of the present turn, one after the other.
    ready: Vec<u8>,
    outbound: Outbound,
    /// Keeps the connection's place among those of its address.
    _place: Box<dyn Send>,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, path: Path, opened: Instant, place: Box<dyn Send>) -> Self {
        Self {
            socket,
            path,
            opened,
            is_validated: false,
            waits_to_write: false,
            received: 0,
            partial: Vec::new(),
            ready: Vec::new(),
            outbound: Outbound::new(),
            _place: place,
        }
    }

    /// Whether frames wait for the client.
    pub(super) fn is_blocked(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Reads what has arrived and passes each datagram to `handle`. An error means that the connection is over.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut handle: impl FnMut(Path, &mut [u8]),
    ) -> io::Result<()> {
        let mut total = 0;
        while total < READ_BUDGET {
            let read = match (&self.socket).read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += read;
            self.take(buffer.get_mut(..read).unwrap_or_default(), &mut handle)?;
            if read < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    /// Passes each datagram of these bytes to `handle`, and keeps an incomplete frame.
    pub(super) fn take(
        &mut self,
        bytes: &mut [u8],
        mut handle: impl FnMut(Path, &mut [u8]),
    ) -> io::Result<()> {
        self.received = self.received.saturating_add(bytes.len());
        let path = self.path;
        if self.partial.is_empty() {
            let used = frames(bytes, |datagram| handle(path, datagram))?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut together = std::mem::take(&mut self.partial);
            together.extend_from_slice(bytes);
            let used = frames(&mut together, |datagram| handle(path, datagram))?;
            self.partial.extend_from_slice(together.get(used..).unwrap_or_default());
        }
        Ok(())
    }

    /// Adds a datagram to the frames that [`Stream::flush`] writes; returns whether it is the first of them.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let is_first = self.ready.is_empty();
        let Ok(len) = u16::try_from(datagram.len()) else { return false };
        self.ready.extend_from_slice(&len.to_be_bytes());
        self.ready.extend_from_slice(datagram);
        is_first
    }

    /// Writes what the connection takes and queues the rest; returns the number of frames that were dropped because they
    /// would come too late. An error means that the connection is over.
    pub(super) fn flush(
        &mut self,
        now: Instant,
        class_of: impl Fn(&Path, &[u8]) -> Class,
    ) -> io::Result<u64> {
        let mut dropped = self.outbound.expire(now);
        if !self.is_blocked() {
            let written = write_some(&self.socket, &self.ready)?;
            dropped += self.queue(now, written, class_of);
            return Ok(dropped);
        }
        dropped += self.queue(now, 0, class_of);
        self.outbound.write_to(&self.socket)?;
        Ok(dropped)
    }

    /// Queues the frames of this turn behind the first `written` bytes, which end within a frame.
    fn queue(&mut self, now: Instant, written: usize, class_of: impl Fn(&Path, &[u8]) -> Class) -> u64 {
        let Self { ready, outbound, path, .. } = self;
        let (mut at, mut dropped) = (0, 0);
        while let Some(len) = ready.get(at..).and_then(frame_len) {
            let Some(frame) = ready.get(at..at + 2 + len) else { break };
            at += frame.len();
            if at <= written {
                continue;
            }
            let unwritten = written.saturating_sub(at - frame.len());
            if unwritten > 0 {
                outbound.started.extend_from_slice(frame.get(unwritten..).unwrap_or_default());
            } else {
                let class = class_of(path, frame.get(2..).unwrap_or_default());
                dropped += outbound.push(now, class, frame);
            }
        }
        ready.clear();
        ready.shrink_to(KEPT_BYTES);
        dropped
    }
}

/// The length of the datagram in the frame at the start of these bytes.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|len| u16::from_be_bytes(*len).into())
}

/// The first datagram of a connection, if it is complete.
pub(super) fn first_datagram(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(2..2 + frame_len(bytes)?)
}

/// Passes the datagram of each complete frame to `handle`; returns the length of these frames.
fn frames(bytes: &mut [u8], mut handle: impl FnMut(&mut [u8])) -> io::Result<usize> {
    let mut used = 0;
    while let Some(len) = bytes.get(used..).and_then(frame_len) {
        if len > MAX_FRAME {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(datagram) = bytes.get_mut(used + 2..used + 2 + len) else { break };
        if !datagram.is_empty() {
            handle(datagram);
        }
        used += 2 + len;
    }
    Ok(used)
}

/// Writes until the bytes are gone or the socket is full; returns how many it has taken.
fn write_some(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "where the time begins does not matter")]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::keys::StreamKey;

    /// A connection and the client's end of it.
    fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, from) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let path = Path::streamed(StreamKey::default(), from, [127, 0, 0, 1].into());
        (Stream::new(socket, path, Instant::now(), Box::new(())), client)
    }

    fn by_first_byte(_: &Path, datagram: &[u8]) -> Class {
        match datagram[0] {
            0 => Class::Control,
            1 => Class::Audio,
            _ => Class::Video,
        }
    }

    #[test]
    fn datagrams_are_found_however_the_bytes_are_cut() {
        let bytes = [0, 3, 7, 8, 9, 0, 0, 0, 1, 5];
        for cut in 0..=bytes.len() {
            let (mut stream, _client) = pair();
            let (mut first, mut second) = (bytes, bytes);
            let mut found = Vec::new();
            stream.take(&mut first[..cut], |_, datagram| found.push(datagram.to_vec())).unwrap();
            stream.take(&mut second[cut..], |_, datagram| found.push(datagram.to_vec())).unwrap();
            assert_eq!(found, [vec![7, 8, 9], vec![5]], "cut at {cut}");
        }
        let (mut stream, _client) = pair();
        assert!(stream.take(&mut [0xff, 0xff], |_, _| ()).is_err(), "no client sends such a frame");
    }

    #[test]
    fn a_client_that_does_not_read_loses_pictures_first_and_then_sound() {
        let (mut stream, client) = pair();
        let start = Instant::now();
        while !stream.is_blocked() {
            stream.push(&[2; 1_400]);
            assert_eq!(stream.flush(start, by_first_byte).unwrap(), 0);
        }
        for class in [2, 1, 0] {
            stream.push(&[class; 100]);
        }
        let queued: usize = stream.outbound.queues[2].frames.len() + 1;
        assert_eq!(stream.flush(start, by_first_byte).unwrap(), 0);
        let soon = start + Duration::from_millis(501);
        assert_eq!(stream.flush(soon, by_first_byte).unwrap(), queued as u64, "the pictures");
        assert_eq!(stream.flush(start + Duration::from_millis(1_999), by_first_byte).unwrap(), 0);
        assert_eq!(
            stream.flush(start + Duration::from_millis(2_001), by_first_byte).unwrap(),
            1,
            "the sound"
        );
        assert_eq!(stream.outbound.queues[0].frames.len(), 1, "DTLS and RTCP are left");
        drop(client);
    }

    /// Reads bytes without looking for frames.
    fn read_whole(mut client: &TcpStream) -> Vec<u8> {
        client.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 65_536];
        let read = client.read(&mut bytes).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn a_slow_client_gets_whole_frames_with_what_matters_first() {
        let (mut stream, client) = pair();
        let now = Instant::now();
        while !stream.is_blocked() {
            stream.push(&[2; 1_400]);
            stream.flush(now, by_first_byte).unwrap();
        }
        let before = stream.outbound.queues[2].frames.len();
        for class in [3, 1, 0] {
            stream.push(&[class; 100]);
        }
        stream.flush(now, by_first_byte).unwrap();
        let mut bytes = Vec::new();
        while stream.is_blocked() {
            bytes.extend(read_whole(&client));
            stream.flush(now, by_first_byte).unwrap();
        }
        bytes.extend(read_whole(&client));
        let mut firsts = Vec::new();
        loop {
            let more = read_whole(&client);
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
        }
        assert_eq!(
            frames(&mut bytes, |datagram| firsts.push(datagram[0])).unwrap(),
            bytes.len(),
            "whole frames"
        );
        let end = &firsts[firsts.len() - before - 3..];
        assert_eq!(end.iter().position(|first| *first == 0), Some(0), "{end:?}");
        assert_eq!(end.iter().position(|first| *first == 1), Some(1), "{end:?}");
        assert_eq!(end.last(), Some(&3), "{end:?}");
    }

    #[test]
    fn the_queues_are_bounded() {
        let (mut stream, _client) = pair();
        let now = Instant::now();
        let mut dropped = 0;
        for _ in 0..20_000 {
            for class in [0, 1, 2] {
                stream.push(&[class; 1_000]);
            }
            dropped += stream.flush(now, by_first_byte).unwrap();
        }
        let queued: usize = stream.outbound.queues.iter().map(|queue| queue.bytes).sum();
        assert!(dropped > 0 && queued <= 640 * 1_024, "{dropped} dropped, {queued} bytes wait");
    }
}
