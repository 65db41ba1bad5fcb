//! Waiting for sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// Waits for many sockets. Each is known by a number of the caller's, its token.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Something to read, or the end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// Report a change once, instead of a state for as long as it lasts.
    pub edge: bool,
}

impl Interest {
    /// Something to read, for as long as there is.
    pub const READ: Self = Self { read: true, write: false, edge: false };

    /// Something new to read, reported once.
    pub const READ_EDGE: Self = Self { edge: true, ..Self::READ };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN | epoll::EventFlags::RDHUP, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags.set(epoll::EventFlags::ET, self.edge);
        flags
    }
}

/// Room for events.
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The tokens of the sockets that something happened to.
    pub fn tokens(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|event| event.data.u64())
    }
}

impl Epoll {
    /// Makes one.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches `socket` under `token`.
    pub fn add(&self, socket: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Watches `socket` for something else.
    pub fn modify(&self, socket: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.0, socket, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Waits until something happens or `timeout` (rounded up to milliseconds) is over; `None` waits for ever.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        // Whole milliseconds do without a system call that old kernels lack.
        let millis = timeout.map(|timeout| timeout.as_micros().div_ceil(1000));
        let timeout = millis.map(|millis| {
            timespec(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).min(i32::MAX as u64)))
        });
        events.0.clear();
        match epoll::wait(&self.0, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of a few descriptors can be read or `timeout` is over, and tells which can. It is more exact than
/// [`Epoll::wait`].
pub fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Duration) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut polled, Some(&timespec(timeout))) {
        Ok(_) => Ok(polled.map(|polled| !polled.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok([false; N]),
        Err(error) => Err(error.into()),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;
    use crate::Wake;

    #[test]
    fn reports_a_state_for_as_long_as_it_lasts_and_a_change_once() {
        let (epoll, mut events) = (Epoll::new().unwrap(), Events::with_capacity(4));
        let wakes = [Wake::new().unwrap(), Wake::new().unwrap(), Wake::new().unwrap()];
        epoll.add(&wakes[0], 10, Interest::READ).unwrap();
        epoll.add(&wakes[1], 11, Interest::READ_EDGE).unwrap();
        epoll.add(&wakes[2], 12, Interest::READ).unwrap();
        let mut tokens = || {
            epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            let mut tokens: Vec<_> = events.tokens().collect();
            tokens.sort_unstable();
            tokens
        };
        assert_eq!(tokens(), []);
        wakes[0].signal();
        wakes[1].signal();
        assert_eq!(tokens(), [10, 11]);
        assert_eq!(tokens(), [10]);
        epoll.modify(&wakes[0], 13, Interest { read: false, write: true, edge: false }).unwrap();
        assert_eq!(tokens(), [13], "there is room to write");
        assert_eq!(
            wait_readable(wakes.each_ref().map(AsFd::as_fd), Duration::ZERO).unwrap(),
            [true, true, false]
        );
    }
}
