//! Datagrams on their way from one thread to another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Batch;
use crate::wake::Wake;

/// Bytes that wait at most. What comes then is dropped, as by a full socket.
const MAX_BYTES: usize = 1 << 20;
/// Datagrams that wait at most.
const MAX_DATAGRAMS: usize = 4_096;

/// A bounded batch that any thread fills and one thread empties.
pub struct Mailbox<D> {
    waiting: Mutex<Batch<D>>,
    wake: Arc<Wake>,
}

impl<D: Copy + PartialEq> Mailbox<D> {
    /// An empty mailbox whose owner waits for `wake`.
    pub fn new(wake: Arc<Wake>) -> Self {
        Self { waiting: Mutex::default(), wake }
    }

    /// Puts a datagram in and wakes the owner; `false` when it was dropped.
    pub fn put(&self, to: D, datagram: &[u8]) -> bool {
        {
            let mut waiting = self.lock();
            if waiting.datagrams() >= MAX_DATAGRAMS || waiting.len() + datagram.len() > MAX_BYTES {
                return false;
            }
            waiting.push(to, [datagram]);
        }
        self.wake.signal();
        true
    }

    /// Exchanges what waits for `batch`, which is emptied first: the memory of both is used again. Call it after
    /// [`Wake::reset`].
    pub fn take(&self, batch: &mut Batch<D>) {
        batch.clear();
        std::mem::swap(&mut *self.lock(), batch);
    }

    fn lock(&self) -> MutexGuard<'_, Batch<D>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use super::*;
    use crate::wait_readable;

    fn mailbox() -> (Mailbox<u8>, Arc<Wake>) {
        let wake = Arc::new(Wake::new().unwrap());
        (Mailbox::new(Arc::clone(&wake)), wake)
    }

    #[test]
    fn whenever_a_datagram_comes_it_is_taken_or_wakes() {
        for step in 0..4 {
            for was_awake in [false, true] {
                let (mailbox, wake) = mailbox();
                let wakes = || wait_readable([wake.as_fd()], Duration::ZERO).unwrap() == [true];
                let mut batch = Batch::default();
                if was_awake {
                    mailbox.put(1, b"before");
                    assert!(wakes());
                }
                let meanwhile = |at| {
                    if at == step {
                        assert!(mailbox.put(1, b"meanwhile"));
                    }
                };
                meanwhile(0);
                wake.reset_in_steps(|| meanwhile(1));
                meanwhile(2);
                mailbox.take(&mut batch);
                meanwhile(3);
                let is_taken = batch.iter().any(|(_, datagram)| datagram == b"meanwhile");
                assert!(is_taken || wakes(), "step {step}: the datagram lies there and nobody knows");
                mailbox.put(1, b"after");
                assert!(wakes(), "step {step}: the next datagram wakes nobody");
                mailbox.take(&mut batch);
                assert!(batch.iter().any(|(_, datagram)| datagram == b"after"));
            }
        }
    }

    #[test]
    fn a_full_mailbox_drops() {
        let (mailbox, _wake) = mailbox();
        assert!((0..MAX_DATAGRAMS).all(|_| mailbox.put(1, b"x")));
        assert!(!mailbox.put(1, b"x"));
        let mut batch = Batch::default();
        mailbox.take(&mut batch);
        assert_eq!(batch.datagrams(), MAX_DATAGRAMS);
        assert!((0..MAX_BYTES >> 10).all(|_| mailbox.put(1, &[0; 1 << 10])));
        assert!(!mailbox.put(1, b"x"));
        mailbox.take(&mut batch);
        assert!(mailbox.put(1, b"x"), "there is room again");
    }
}
