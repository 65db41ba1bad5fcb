//! Batches of datagrams on their way out.

#![allow(unsafe_code, reason = "sendmmsg with control messages has no safe form in the libraries used here")]

use std::io;
use std::iter;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use libc::{iovec, mmsghdr};

use crate::batch::Run;
use crate::control::Control;
use crate::name::Name;
use crate::socket::Route;

/// Messages of one system call.
const BATCH: usize = 64;

/// Sends runs, as many as one system call takes at a time.
pub struct Sender {
    /// Cleared for good when the system cannot segment.
    has_segmentation: bool,
    names: Box<[Name; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[iovec; BATCH]>,
    messages: Box<[mmsghdr; BATCH]>,
}

// SAFETY: the pointers in `vectors` and `messages` are followed in `submit` alone, right after `fill` has written them.
unsafe impl Send for Sender {}

impl Default for Sender {
    fn default() -> Self {
        // SAFETY: a message header of zeroes is one without name, buffers and control messages.
        let empty: mmsghdr = unsafe { mem::zeroed() };
        Self {
            has_segmentation: true,
            names: Box::new([Name::EMPTY; BATCH]),
            controls: Box::new([Control::EMPTY; BATCH]),
            vectors: Box::new([iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH]),
            messages: Box::new([empty; BATCH]),
        }
    }
}

impl Sender {
    /// Sends runs in order, and returns how many datagrams the kernel refused: buffers full, or no way to the destination.
    /// What one destination makes fail costs the others nothing.
    pub fn send<'a>(&mut self, runs: impl Iterator<Item = Run<'a, Route>> + Clone) -> u64 {
        if self.has_segmentation { self.send_all(runs) } else { self.send_all(runs.flat_map(Run::singly)) }
    }

    fn send_all<'a>(&mut self, mut rest: impl Iterator<Item = Run<'a, Route>> + Clone) -> u64 {
        let mut refused = 0;
        while let Some((socket, count)) = self.fill(rest.clone()) {
            match self.submit(socket, count) {
                Ok(sent) => {
                    rest.nth(sent.saturating_sub(1));
                }
                // The error is that of the first message alone; the others get their turn.
                Err(error) => refused += rest.next().map_or(0, |first| self.send_again(first, &error)),
            }
        }
        refused
    }

    /// Sends a run that was refused in another way, and returns how many of its datagrams are refused again.
    fn send_again(&mut self, run: Run<'_, Route>, error: &io::Error) -> u64 {
        // A connected socket may report what ICMP said of an earlier datagram instead of sending, and reports it once.
        if run.to.to.is_none() && self.send_one(run).is_ok() {
            return 0;
        }
        if run.bytes.len() <= run.segment {
            tracing::trace!(%error, peer = ?run.to.to, "datagram dropped");
            return 1;
        }
        // The device cannot segment at all, since it computes no checksums. Other errors concern this message.
        if error.raw_os_error() == Some(libc::EIO) && mem::take(&mut self.has_segmentation) {
            tracing::info!("the system cannot segment datagrams; they go out one by one");
        }
        let mut refused = 0;
        for datagram in run.singly() {
            let is_retried = run.to.to.is_none();
            let is_sent = self.send_one(datagram).is_ok() || is_retried && self.send_one(datagram).is_ok();
            refused += u64::from(!is_sent);
        }
        refused
    }

    fn send_one(&mut self, run: Run<'_, Route>) -> io::Result<usize> {
        self.fill(iter::once(run)).map_or(Ok(0), |(socket, count)| self.submit(socket, count))
    }

    /// Writes the headers of the first runs that leave by one socket; returns the socket and their number.
    fn fill<'a>(&mut self, mut runs: impl Iterator<Item = Run<'a, Route>>) -> Option<(RawFd, usize)> {
        let mut next = runs.next()?;
        let socket = next.to.socket;
        let mut count = 0;
        let memory = self.vectors.iter_mut().zip(self.names.iter_mut()).zip(self.controls.iter_mut());
        for (message, ((vector, name), control)) in self.messages.iter_mut().zip(memory) {
            let Run { to: Route { to, from, .. }, segment, bytes } = next;
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            let header = &mut message.msg_hdr;
            header.msg_namelen = to.map_or(0, |to| name.write(to));
            header.msg_name = if to.is_some() { name.0.as_mut_ptr().cast() } else { ptr::null_mut() };
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            let segment = if bytes.len() > segment { u16::try_from(segment).ok() } else { None };
            header.msg_controllen = control.write(segment, from);
            header.msg_control = control.0.as_mut_ptr().cast();
            count += 1;
            match runs.next() {
                Some(run) if run.to.socket == socket => next = run,
                _ => break,
            }
        }
        Some((socket, count))
    }

    /// Sends the first `count` messages; returns how many were taken, or the error of the first.
    fn submit(&mut self, socket: RawFd, count: usize) -> io::Result<usize> {
        loop {
            let result = if count == 1 { self.submit_first(socket) } else { self.submit_many(socket, count) };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn submit_many(&mut self, socket: RawFd, count: usize) -> io::Result<usize> {
        let count = libc::c_uint::try_from(count.min(BATCH)).unwrap_or(0);
        // SAFETY: there are `count` messages. `fill` has just made them point to names, vectors and control messages of
        // `self` and to the bytes of runs that the caller still borrows; the kernel only reads them.
        let sent = unsafe { libc::sendmmsg(socket, self.messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn submit_first(&mut self, socket: RawFd) -> io::Result<usize> {
        let [message, ..] = self.messages.as_ref();
        let [vector, ..] = self.vectors.as_ref();
        let header = &message.msg_hdr;
        let sent = if header.msg_controllen == 0 {
            let (name, length) = (header.msg_name.cast_const().cast(), header.msg_namelen);
            // SAFETY: as for `submit_many`. It spares the kernel copying a header, which shows when every datagram leaves by
            // another socket.
            unsafe { libc::sendto(socket, vector.iov_base, vector.iov_len, 0, name, length) }
        } else {
            // SAFETY: as for `submit_many`.
            unsafe { libc::sendmsg(socket, header, 0) }
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(1) }
    }
}
