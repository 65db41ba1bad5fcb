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
    /// The socket is connected to `address`.
    is_connected: bool,
}

impl Queued {
    fn outgoing<'a>(&'a self, slab: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            bytes: slab.get(self.start..self.end).unwrap_or_default(),
            segment: if self.segments > 1 { u16::try_from(self.segment).ok() } else { None },
            to: (!self.is_connected).then_some(&self.raw),
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
        self.put(socket, to, from, false, parts);
    }

    /// The same, from a socket that is connected to `to`.
    pub(super) fn push_connected(&mut self, socket: RawFd, to: SocketAddr, payload: &[u8]) {
        self.put(socket, to, None, true, [payload, &[], &[]]);
    }

    fn put(
        &mut self,
        socket: RawFd,
        to: SocketAddr,
        from: Option<IpAddr>,
        is_connected: bool,
        parts: [&[u8]; 3],
    ) {
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
            is_connected,
        });
    }

    /// Sends everything that is queued.
    pub fn flush(&mut self) {
        let mut rest = self.queue.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take(SEND_BATCH).take_while(|queued| queued.socket == first.socket);
            let batch = run.map(|queued| queued.outgoing(&self.slab));
            match send(&mut self.sender, first, batch) {
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

/// Sends a batch that begins with `first`. A connected socket may say what came back by ICMP for an earlier datagram instead of
/// sending, and has said it then.
fn send<'a>(
    sender: &mut Sender,
    first: &Queued,
    batch: impl Iterator<Item = Outgoing<'a>> + Clone,
) -> io::Result<usize> {
    if first.is_connected {
        sender.send(first.socket, batch.clone()).or_else(|_| sender.send(first.socket, batch))
    } else {
        sender.send(first.socket, batch)
    }
}

/// Sends the datagrams of a message singly, for where segmentation is refused. Gives how many were dropped.
fn send_one_by_one(sender: &mut Sender, slab: &[u8], queued: &Queued) -> u64 {
    let bytes = slab.get(queued.start..queued.end).unwrap_or_default();
    let mut dropped = 0;
    for datagram in bytes.chunks(queued.segment.max(1)) {
        let outgoing = Outgoing { bytes: datagram, segment: None, ..queued.outgoing(slab) };
        if send(sender, queued, std::iter::once(outgoing)).is_err() {
            dropped += 1;
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_of_an_earlier_packet_costs_a_connected_socket_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let away = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        socket.connect(away).unwrap();
        let mut egress = Egress::new();
        for payloads in [&[&b"one"[..]][..], &[b"same", b"size"], &[b"of", b"several", b"sizes"]] {
            // Nobody is there: the answer is an error that waits at the socket.
            socket.send(b"lost").unwrap();
            let peer = UdpSocket::bind(away).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            for payload in payloads {
                egress.push_connected(socket.as_raw_fd(), away, payload);
            }
            egress.flush();
            for payload in payloads {
                let mut buffer = [0; 16];
                let length = peer.recv(&mut buffer).expect("sent");
                assert_eq!(buffer.get(..length), Some(*payload));
            }
        }
        assert_eq!(egress.dropped, 0);
    }
}
