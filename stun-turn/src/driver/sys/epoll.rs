//! Waiting for many sockets, and being woken by another thread.

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::check;

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Something to read, or the end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// Report a change once instead of a state for as long as it lasts.
    pub edge: bool,
}

impl Interest {
    fn bits(self) -> u32 {
        let mut bits = 0;
        if self.read {
            bits |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.write {
            bits |= libc::EPOLLOUT;
        }
        if self.edge {
            bits |= libc::EPOLLET;
        }
        bits.cast_unsigned()
    }
}

/// Room for events.
#[derive(Default)]
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    count: usize,
}

impl Events {
    /// Room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity], count: 0 }
    }

    /// The token of the event at `index`.
    pub fn token(&self, index: usize) -> Option<u64> {
        (index < self.count).then(|| self.buffer.get(index).map(|event| event.u64)).flatten()
    }
}

impl Epoll {
    /// Makes one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer; the descriptor it gives is owned by nobody else.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `socket` under `token`.
    pub fn add(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), token, interest)
    }

    /// Watches `socket` for something else.
    pub fn modify(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), token, interest)
    }

    fn control(&self, operation: c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives for the time of the call, which only reads it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits until something happens or `timeout` (rounded up to milliseconds) is over; `None` waits for ever.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let millis = timeout
            .map_or(-1, |timeout| c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX));
        let capacity = c_int::try_from(events.buffer.len()).unwrap_or(c_int::MAX);
        // SAFETY: the buffer has room for `capacity` events.
        let result =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.buffer.as_mut_ptr(), capacity, millis) };
        events.count = match check(result) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(events.count)
    }
}

/// Wakes an epoll from another thread.
#[derive(Debug)]
pub(in crate::driver) struct Wake(OwnedFd);

impl Wake {
    pub(in crate::driver) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer; the descriptor it gives is owned by nobody else.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(in crate::driver) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are read from `one`. It fails only when the counter is full, and then the other side is awake.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    pub(in crate::driver) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to `count`. It fails when there was no wake-up, which is as good.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
