//! What reaches a shard from other threads: packets of other shards and of the media server, and orders.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sys::Wake;
use super::tls::TlsContext;

/// Bytes of packets that wait at most; what comes then is dropped, as by a socket.
const MAX_BYTES: usize = 1 << 20;
const MAX_PACKETS: usize = 4096;

/// An order to a shard.
pub(super) enum Order {
    Drain { alternate_v4: Option<SocketAddr>, alternate_v6: Option<SocketAddr> },
    Tls(TlsContext),
    Stop,
}

#[derive(Clone, Copy)]
pub(super) struct Packet {
    pub(super) to: SocketAddr,
    pub(super) from: SocketAddr,
    start: usize,
    end: usize,
}

/// Packets, their bytes in one piece of memory that is used again.
#[derive(Default)]
pub(super) struct Batch {
    packets: Vec<Packet>,
    bytes: Vec<u8>,
}

impl Batch {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Packet, &[u8])> {
        self.packets
            .iter()
            .map(|packet| (*packet, self.bytes.get(packet.start..packet.end).unwrap_or_default()))
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
    }
}

#[derive(Default)]
struct Content {
    batch: Batch,
    orders: Vec<Order>,
}

pub(super) struct Mailbox {
    content: Mutex<Content>,
    is_awake: AtomicBool,
    pub(super) wake: Wake,
}

impl Mailbox {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { content: Mutex::default(), is_awake: AtomicBool::new(false), wake: Wake::new()? })
    }

    /// Puts a packet in; `false` when it was dropped.
    pub(super) fn put(&self, to: SocketAddr, from: SocketAddr, payload: &[u8]) -> bool {
        {
            let mut content = self.lock();
            let Batch { packets, bytes } = &mut content.batch;
            if packets.len() >= MAX_PACKETS || bytes.len() + payload.len() > MAX_BYTES {
                return false;
            }
            let start = bytes.len();
            bytes.extend_from_slice(payload);
            packets.push(Packet { to, from, start, end: bytes.len() });
        }
        self.notify();
        true
    }

    pub(super) fn order(&self, order: Order) {
        self.lock().orders.push(order);
        self.notify();
    }

    /// Takes everything out; `batch` is emptied first and left behind for the next packets.
    pub(super) fn take(&self, batch: &mut Batch) -> Vec<Order> {
        self.take_in_steps(batch, || {})
    }

    /// [`Self::take`], with a call wherever another thread may come between.
    fn take_in_steps(&self, batch: &mut Batch, mut between: impl FnMut()) -> Vec<Order> {
        batch.clear();
        // In this order: were a wake-up cleared that came after the mark was taken away, the mark would stay without one, and
        // nothing would ever wake again. Both before the lock, so that what is put in after it wakes.
        self.wake.clear();
        between();
        self.is_awake.store(false, Ordering::SeqCst);
        between();
        let orders = {
            let mut content = self.lock();
            std::mem::swap(&mut content.batch, batch);
            std::mem::take(&mut content.orders)
        };
        between();
        orders
    }

    fn notify(&self) {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            self.wake.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::sys::{Epoll, Events, Interest};
    use super::*;

    #[test]
    fn whenever_a_packet_comes_it_is_taken_or_wakes() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for step in 0..3 {
            for was_awake in [false, true] {
                let mailbox = Mailbox::new().unwrap();
                let epoll = Epoll::new().unwrap();
                epoll.add(&mailbox.wake, 0, Interest { read: true, write: false, edge: false }).unwrap();
                let mut events = Events::with_capacity(1);
                let mut wakes = || epoll.wait(&mut events, Some(Duration::ZERO)).unwrap() == 1;
                let mut batch = Batch::default();
                if was_awake {
                    mailbox.put(address, address, b"before");
                    assert!(wakes());
                }
                let mut steps = 0..;
                mailbox.take_in_steps(&mut batch, || {
                    if steps.next() == Some(step) {
                        mailbox.put(address, address, b"meanwhile");
                    }
                });
                let is_taken = batch.iter().any(|(_, payload)| payload == b"meanwhile");
                assert!(is_taken || wakes(), "step {step}: the packet lies there and nobody knows");
                mailbox.put(address, address, b"after");
                assert!(wakes(), "step {step}: the next packet wakes nobody");
                mailbox.take(&mut batch);
                assert!(batch.iter().any(|(_, payload)| payload == b"after"));
            }
        }
    }
}
