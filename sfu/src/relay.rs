//! Clients behind a relay in the same process: what they send and what they get touches no socket in between.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::handover::Batch;
use crate::path::Path;
use crate::server::Wake;

/// Bytes that wait for a worker at most; what comes then is dropped, as by a full socket.
const MAX_BYTES: usize = 1 << 20;
const MAX_DATAGRAMS: usize = 4_096;

/// A relay in the same process.
pub trait Relay: Send + Sync {
    /// Takes a datagram for the relayed address `to`, sent by one of our addresses. Called on a worker's thread: it must not
    /// block, and drops what it can't take.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]);
}

/// Where a worker's datagrams from relays wait.
pub(crate) struct Inlet {
    waiting: Mutex<Batch>,
    wake: Arc<Wake>,
}

impl Inlet {
    pub(crate) fn new(wake: Arc<Wake>) -> Self {
        Self { waiting: Mutex::default(), wake }
    }

    pub(crate) fn put(&self, path: Path, datagram: &[u8]) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.len() + datagram.len() > MAX_BYTES || waiting.datagrams.len() >= MAX_DATAGRAMS {
                return;
            }
            waiting.bytes.extend_from_slice(datagram);
            waiting.datagrams.push((path, datagram.len()));
        }
        self.wake.signal();
    }

    /// Exchanges what waits for `empty`, so that the memory of both is used again.
    pub(crate) fn take(&self, empty: &mut Batch) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, empty);
    }
}
