//! Datagrams on their way out, gathered over a turn of the loop and sent in as few calls as can be.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use super::sys::{Outgoing, RawAddress, SEND_BATCH, Sender};

/// Bytes that are gathered before they must be sent.
const CAPACITY: usize = 1 << 20;
/// `UDP_MAX_SEGMENTS` of the older kernels that are about.
const MAX_SEGMENTS: usize = 64;
/// What one send can carry, headers left out.
const MAX_BYTES: usize = 65_000;
/// A datagram longer than this may have to be fragmented on its way, which segmentation offload refuses.
const MAX_SEGMENT: usize = 1_452;

struct Queued {
    socket: RawFd,
    address: SocketAddr,
    raw: RawAddress,
    from: Option<IpAddr>,
    start: usize,
    end: usize,
    /// Length of the first datagram.
    segment: usize,
    segments: usize,
    /// A shorter datagram, or one of another size, ends the run.
    is_closed: bool,
}

impl Queued {
    fn outgoing<'a>(&'a self, slab: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            bytes: slab.get(self.start..self.end).unwrap_or_default(),
            segment: if self.segments > 1 { u16::try_from(self.segment).ok() } else { None },
            to: &self.raw,
            from: self.from,
        }
    }
}

/// The queue of one shard.
pub struct Egress {
    slab: Vec<u8>,
    queue: Vec<Queued>,
    sender: Sender,
    has_segmentation: bool,
    /// Datagrams that the kernel did not take: buffers full, or no way to the peer.
    pub dropped: u64,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new()
    }
}

impl Egress {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            slab: Vec::with_capacity(CAPACITY),
            queue: Vec::with_capacity(1024),
            sender: Sender::new(),
            has_segmentation: true,
            dropped: 0,
        }
    }

    /// Queues a datagram made of `parts`. Several of the same length to one address become one message.
    pub fn push(&mut self, socket: RawFd, to: SocketAddr, from: Option<IpAddr>, parts: [&[u8]; 3]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.slab.len() + length > CAPACITY || self.queue.len() == self.queue.capacity() {
            self.flush();
        }
        let start = self.slab.len();
        for part in parts {
            self.slab.extend_from_slice(part);
        }
        let end = self.slab.len();
        if self.has_segmentation
            && let Some(last) = self.queue.last_mut()
            && last.socket == socket
            && last.address == to
            && last.from == from
            && !last.is_closed
            && length <= last.segment
            && length > 0
            && last.segments < MAX_SEGMENTS
            && end - last.start <= MAX_BYTES
        {
            last.end = end;
            last.segments += 1;
            last.is_closed = length < last.segment;
            return;
        }
        self.queue.push(Queued {
            socket,
            address: to,
            raw: RawAddress::new(to),
            from,
            start,
            end,
            segment: length,
            segments: 1,
            is_closed: length > MAX_SEGMENT || length == 0,
        });
    }

    /// Sends everything that is queued.
    pub fn flush(&mut self) {
        let mut rest = self.queue.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take(SEND_BATCH).take_while(|queued| queued.socket == first.socket);
            let batch = run.map(|queued| queued.outgoing(&self.slab));
            match self.sender.send(first.socket, batch) {
                Ok(sent) => rest = rest.get(sent.max(1)..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The error is that of the first message alone; the others get their turn.
                    if first.segments > 1 {
                        self.dropped += send_one_by_one(&mut self.sender, &self.slab, first);
                        // EIO: the device can't do it at all. Anything else concerned this message.
                        self.has_segmentation &= error.raw_os_error() != Some(libc::EIO);
                    } else {
                        tracing::trace!(%error, peer = %first.address, "datagram dropped");
                        self.dropped += 1;
                    }
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        self.queue.clear();
        self.slab.clear();
    }
}

/// Sends the datagrams of a message singly, for where segmentation is refused. Gives how many were dropped.
fn send_one_by_one(sender: &mut Sender, slab: &[u8], queued: &Queued) -> u64 {
    let bytes = slab.get(queued.start..queued.end).unwrap_or_default();
    let mut dropped = 0;
    for datagram in bytes.chunks(queued.segment.max(1)) {
        let outgoing = Outgoing { bytes: datagram, segment: None, to: &queued.raw, from: queued.from };
        if sender.send(queued.socket, std::iter::once(outgoing)).is_err() {
            dropped += 1;
        }
    }
    dropped
}
