//! Batches of datagrams on their way in.

#![allow(unsafe_code, reason = "recvmmsg has no safe form in the libraries used here")]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;
use std::slice;

use libc::{iovec, mmsghdr};

use crate::control::{CONTROL_BYTES, Control};
use crate::name::{NAME_LENGTH, Name};

/// A datagram, or what the kernel coalesced into one message, is never longer.
const MESSAGE_BYTES: usize = 65_536;
/// Distance of two buffers. It is no power of two, or all of them would fall into the same sets of the cache.
const STRIDE: usize = MESSAGE_BYTES + 64 * 17;

/// Buffers that one system call fills.
pub struct Receiver {
    buffers: Vec<u8>,
    names: Vec<Name>,
    controls: Vec<Control>,
    /// One for each message, which points to it.
    _vectors: Vec<iovec>,
    messages: Vec<mmsghdr>,
    /// How many messages the last call filled.
    filled: usize,
}

// SAFETY: the pointers in `messages` and `_vectors` lead to memory that vectors of the same struct own.
unsafe impl Send for Receiver {}

/// One message: a datagram, or several of one length (the last may be shorter) from one sender.
#[derive(Debug)]
pub struct Received<'a> {
    /// What was received.
    pub bytes: &'a mut [u8],
    /// Length in bytes of each datagram but the last.
    pub segment: usize,
    /// The sender.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to, on a socket that is bound to all.
    pub to: Option<IpAddr>,
}

impl<'a> Received<'a> {
    /// The datagrams one by one. An empty one is one, too.
    pub fn datagrams(self) -> impl Iterator<Item = &'a mut [u8]> {
        let is_empty = self.bytes.is_empty();
        let empty = is_empty.then(<&mut [u8]>::default);
        empty.into_iter().chain(self.bytes.chunks_mut(self.segment.max(1)))
    }
}

/// The messages of one system call.
pub struct Messages<'a> {
    headers: slice::Iter<'a, mmsghdr>,
    names: slice::Iter<'a, Name>,
    controls: slice::Iter<'a, Control>,
    buffers: slice::ChunksExactMut<'a, u8>,
    is_full: bool,
}

impl Messages<'_> {
    /// Whether every buffer was filled, so that more may be waiting.
    pub fn is_full(&self) -> bool {
        self.is_full
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let header = &self.headers.next()?;
            let (name, control, buffer) = (self.names.next()?, self.controls.next()?, self.buffers.next()?);
            let length = usize::try_from(header.msg_len).unwrap_or(0);
            // What a buffer of the largest size cuts off is no datagram.
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                continue;
            }
            let (Some(from), Some(bytes)) = (name.read(), buffer.get_mut(..length)) else { continue };
            let (segment, to) = control.read(header.msg_hdr.msg_controllen);
            return Some(Received { segment: segment.unwrap_or(length), bytes, from, to });
        }
    }
}

impl Receiver {
    /// Buffers for `messages` messages, 64 KiB each.
    pub fn new(messages: usize) -> Self {
        let mut buffers = vec![0; STRIDE * messages];
        let mut names = vec![Name::EMPTY; messages];
        let mut controls = vec![Control::EMPTY; messages];
        let mut vectors = vec![iovec { iov_base: ptr::null_mut(), iov_len: MESSAGE_BYTES }; messages];
        // SAFETY: a message header of zeroes is one without name, buffers and control messages.
        let mut headers: Vec<mmsghdr> = vec![unsafe { mem::zeroed() }; messages];
        let parts = buffers.chunks_exact_mut(STRIDE).zip(&mut names).zip(&mut controls).zip(&mut vectors);
        for (header, (((buffer, name), control), vector)) in headers.iter_mut().zip(parts) {
            vector.iov_base = buffer.as_mut_ptr().cast();
            let header = &mut header.msg_hdr;
            header.msg_name = name.0.as_mut_ptr().cast();
            header.msg_namelen = NAME_LENGTH;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
        }
        Self { buffers, names, controls, _vectors: vectors, messages: headers, filled: 0 }
    }

    /// Receives what is there, without waiting.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing, and what the kernel reports of earlier datagrams.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<Messages<'_>> {
        // The kernel wrote lengths over the room that there is.
        for message in self.messages.iter_mut().take(self.filled) {
            message.msg_hdr.msg_namelen = NAME_LENGTH;
            message.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        self.filled = 0;
        let count = libc::c_uint::try_from(self.messages.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: there are at least `count` messages. Each points to a name, a vector, a buffer and control messages of the
        // lengths that it says. They lie in vectors of `self`, which are never resized, and nobody else uses them during
        // the call since `self` is borrowed mutably.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
        Ok(Messages {
            is_full: self.filled == self.messages.len(),
            headers: self.messages.get(..self.filled).unwrap_or_default().iter(),
            names: self.names.iter(),
            controls: self.controls.iter(),
            buffers: self.buffers.chunks_exact_mut(STRIDE),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use std::time::Duration;

    use super::*;
    use crate::{Options, Sender, Socket, wait_readable};

    fn loopback() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap()
    }

    #[test]
    fn takes_more_than_one_call_holds() {
        let (server, client) = (loopback(), loopback());
        let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let mut receiver = Receiver::new(2);
        assert_eq!(receiver.receive(&server).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        for round in 0..3 {
            let sent: Vec<Vec<u8>> = (0..5).map(|n| vec![round; n]).collect();
            for datagram in &sent {
                client.as_ref().send_to(datagram, to).unwrap();
            }
            let mut datagrams = Vec::new();
            while datagrams.len() < sent.len() {
                wait_readable([server.as_fd()], Duration::from_secs(30)).unwrap();
                let messages = receiver.receive(&server).unwrap();
                assert!(messages.is_full() || datagrams.len() >= 3);
                for message in messages {
                    assert_eq!((message.from, message.to), (from, None));
                    datagrams.extend(message.datagrams().map(|datagram| datagram.to_vec()));
                }
            }
            assert_eq!(datagrams, sent);
        }
    }

    #[test]
    fn a_socket_of_both_families_reports_and_takes_plain_ipv4() {
        let options = Options { is_dual_stack: true, ..Options::default() };
        let Ok(server) = Socket::bind("[::]:0".parse().unwrap(), &options) else { return };
        let port = server.local_addr().unwrap().port();
        let client = loopback();
        client.as_ref().send_to(b"ping", ("127.0.0.1", port)).unwrap();
        wait_readable([server.as_fd()], Duration::from_secs(30)).unwrap();
        let mut receiver = Receiver::new(4);
        let question = receiver.receive(&server).unwrap().next().unwrap();
        assert_eq!(question.from, client.local_addr().unwrap());
        assert_eq!(question.to, Some([127, 0, 0, 1].into()));
        let mut batch = crate::Batch::default();
        batch.push(server.route(question.from, question.to), [b"pong"]);
        assert_eq!(Sender::default().send(batch.runs()), 0);
        wait_readable([client.as_fd()], Duration::from_secs(30)).unwrap();
        let answer = receiver.receive(&client).unwrap().next().unwrap();
        assert_eq!((&*answer.bytes, answer.from), (&b"pong"[..], ([127, 0, 0, 1], port).into()));
    }
}
