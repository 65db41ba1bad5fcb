//! Batches of datagrams on their way in.

use std::ffi::c_int;
use std::io;
use std::mem::{self, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;

use super::address::read_address;
use super::{Control, EMPTY_CONTROL, check, socklen};

/// Messages that one call receives at most.
pub(in crate::driver) const RECEIVE_BATCH: usize = 16;
const RECEIVE_BATCH_COUNT: libc::c_uint = 16;
const _: () = assert!(RECEIVE_BATCH_COUNT as usize == RECEIVE_BATCH);
/// A datagram, or what GRO made of many, is never longer.
const RECEIVE_BUFFER: usize = 65_536;
/// Distance of two buffers. Not a power of two, or all of them would fall into the same sets of the cache.
const RECEIVE_STRIDE: usize = RECEIVE_BUFFER + 64 * 17;

/// Buffers for a batch of datagrams.
pub struct Receiver {
    slab: Box<[u8]>,
    names: Box<[libc::sockaddr_in6; RECEIVE_BATCH]>,
    controls: Box<[Control; RECEIVE_BATCH]>,
    /// Points into the boxes above. Never read, but the messages point to it.
    _vectors: Box<[libc::iovec; RECEIVE_BATCH]>,
    messages: Box<[libc::mmsghdr; RECEIVE_BATCH]>,
    count: usize,
}

// SAFETY: the pointers in `messages` and `_vectors` lead to memory that the boxes of the same struct own.
unsafe impl Send for Receiver {}

/// One received buffer: a datagram, or several of the same length (the last may be shorter) from one sender.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// What was received.
    pub bytes: &'a [u8],
    /// Length of each datagram in bytes.
    pub segment: usize,
    /// The sender.
    pub from: SocketAddr,
    /// The address it was sent to, where the socket was asked for it.
    pub to: Option<IpAddr>,
}

impl<'a> Received<'a> {
    /// The datagrams, one by one. An empty one is one, too.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.segment.max(1)))
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Makes the buffers.
    pub fn new() -> Self {
        // SAFETY: all of these are plain C structs for which zeros are a valid value.
        let mut names: Box<[libc::sockaddr_in6; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        // SAFETY: as above.
        let mut vectors: Box<[libc::iovec; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        // SAFETY: as above.
        let mut messages: Box<[libc::mmsghdr; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        let mut controls = Box::new([EMPTY_CONTROL; RECEIVE_BATCH]);
        let mut slab = vec![0; RECEIVE_STRIDE * RECEIVE_BATCH].into_boxed_slice();
        let parts = messages
            .iter_mut()
            .zip(vectors.iter_mut())
            .zip(names.iter_mut().zip(controls.iter_mut()))
            .zip(slab.chunks_exact_mut(RECEIVE_STRIDE));
        for (((message, vector), (name, control)), buffer) in parts {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = RECEIVE_BUFFER;
            let header = &mut message.msg_hdr;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = socklen(size_of::<libc::sockaddr_in6>());
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control.0.len();
        }
        Self { slab, names, controls, _vectors: vectors, messages, count: 0 }
    }

    /// Receives what is there, at most 16 messages, without waiting. Returns how many.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        for message in self.messages.iter_mut().take(self.count) {
            message.msg_hdr.msg_namelen = socklen(size_of::<libc::sockaddr_in6>());
            message.msg_hdr.msg_controllen = size_of::<Control>();
        }
        self.count = 0;
        // SAFETY: every message points to a name, a vector, a buffer and a control buffer of the lengths it says, all owned
        // by `self`, which is borrowed mutably for the call.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                RECEIVE_BATCH_COUNT,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.count = usize::try_from(check(result)?).unwrap_or(0);
        Ok(self.count)
    }

    /// The message at `index` of the last batch.
    pub fn message(&self, index: usize) -> Option<Received<'_>> {
        let message = self.messages.get(..self.count)?.get(index)?;
        let start = index * RECEIVE_STRIDE;
        let length = usize::try_from(message.msg_len).ok()?.min(RECEIVE_BUFFER);
        let bytes = self.slab.get(start..start + length)?;
        let from = read_address(self.names.get(index)?)?;
        let control = self.controls.get(index)?;
        let mut received = Received { bytes, segment: length.max(1), from, to: None };
        let length = message.msg_hdr.msg_controllen.min(size_of::<Control>());
        read_control(control.0.get(..length).unwrap_or_default(), &mut received);
        Some(received)
    }
}

/// Reads the length of GRO's segments and the destination address out of control messages.
fn read_control(mut rest: &[u8], received: &mut Received<'_>) {
    // Parsed by hand: struct cmsghdr is a length of the size of a pointer, and two ints.
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let Some(length) = header.first_chunk::<{ size_of::<usize>() }>().map(|b| usize::from_ne_bytes(*b))
        else {
            return;
        };
        let kind = header.get(size_of::<usize>()..).and_then(|ints| {
            let (level, kind) = ints.split_first_chunk::<4>()?;
            Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind.first_chunk::<4>()?)))
        });
        let Some(data) = rest.get(HEADER..length) else { return };
        match kind {
            Some((libc::SOL_UDP, libc::UDP_GRO)) => {
                if let Some(segment) = data.first_chunk::<4>().map(|b| c_int::from_ne_bytes(*b)) {
                    received.segment = usize::try_from(segment).unwrap_or(0).max(1);
                }
            }
            Some((libc::IPPROTO_IP, libc::IP_PKTINFO)) => {
                // struct in_pktinfo: an index, the local address, the destination in the header.
                received.to =
                    data.get(8..).and_then(|b| b.first_chunk::<4>()).map(|b| Ipv4Addr::from(*b).into());
            }
            Some((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)) => {
                received.to = data.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into());
            }
            _ => {}
        }
        let Some(next) = rest.get(length.next_multiple_of(size_of::<usize>())..) else { return };
        rest = next;
    }
}
