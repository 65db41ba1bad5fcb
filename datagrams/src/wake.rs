//! Waking a thread that waits for its sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Becomes readable when another thread wants the owner's attention. Many signals before the owner looks cost one system
/// call.
#[derive(Debug)]
pub struct Wake {
    is_signalled: AtomicBool,
    event: OwnedFd,
}

impl Wake {
    /// Opens the event descriptor that the owner waits for.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { is_signalled: AtomicBool::new(false), event })
    }

    /// Wakes the owner. Call it after what it is to find is there.
    pub fn signal(&self) {
        if !self.is_signalled.swap(true, Ordering::SeqCst) {
            // It fails only when the counter is full, and then the owner is awake.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Takes the signal back. The owner calls it when it was woken, and looks at what is there afterwards.
    pub fn reset(&self) {
        self.reset_in_steps(|| {});
    }

    /// [`Wake::reset`], with a call where another thread may come between.
    pub(crate) fn reset_in_steps(&self, between: impl FnOnce()) {
        // In this order: if the event were cleared after the mark, an event that came between would be cleared while its mark
        // stays, and nothing would ever wake again. It fails when there was no event, which is as good.
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        between();
        self.is_signalled.store(false, Ordering::SeqCst);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
