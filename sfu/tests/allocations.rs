//! Forwarding a packet allocates nothing.
#![allow(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::World;
use sfu::Path;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts the allocations for one publisher's media to 20 players, after a time in which buffers
/// grow to their final size.
fn allocations(workers: u16) -> (u64, usize, usize) {
    let mut world = World::with_config(1, |config| config.shards = workers);
    let room = World::room("count");
    let (_, publisher) = world.publisher(&room, 17);
    let players: Vec<_> = (0..20).map(|_| world.player(&room, None).1).collect();
    world.run(Duration::from_secs(3));
    assert!(players.iter().all(|player| world.played(*player) > 30));

    // The same steps by hand, so that only the workers are measured.
    world.sending.clear();
    world.run(Duration::from_millis(100));
    let source = Path::to(world.clients[publisher].address);
    let entrance = world.entrance(source.remote);
    let (mut counted, mut forwarded, mut paced) = (0, 0, 0);
    for round in 0..120 {
        world.now += Duration::from_millis(33);
        let now = world.now;
        // Every third picture is more than what the pacer lets leave at once.
        world.clients[publisher].send_picture(now, if round % 3 == 0 { 80 } else { 4 });
        world.clients[publisher].send_sound(20);
        let mut datagrams = Vec::new();
        while let Some((_, datagram)) = world.clients[publisher].poll_transmit() {
            datagrams.push(datagram);
        }
        let before = ALLOCATIONS.with(Cell::get);
        for datagram in &mut datagrams {
            world.workers[entrance].shard.handle_datagram(now, source, datagram);
        }
        let mut datagrams_out = 0;
        // Enters at one worker, and goes to the room's home and on to its annex.
        for at in (0..3).flat_map(|_| 0..usize::from(workers)) {
            let worker = &mut world.workers[at];
            worker.take_inputs(now);
            worker.send_messages(now);
            while let Some(transmits) = worker.shard.poll_transmit(now) {
                datagrams_out += transmits.datagrams();
            }
            worker.send_messages(now);
        }
        if round >= 60 {
            counted += ALLOCATIONS.with(Cell::get) - before;
            forwarded += datagrams_out;
        }
        // Feedback and reports are sent by timers, not per packet; what the pacer has held back leaves then.
        for after in [0, 10, 20].map(Duration::from_millis) {
            for worker in &mut world.workers {
                worker.shard.handle_timeout(now + after);
                let before = ALLOCATIONS.with(Cell::get);
                let mut datagrams_out = 0;
                while let Some(transmits) = worker.shard.poll_transmit(now + after) {
                    datagrams_out += transmits.datagrams();
                }
                if round >= 60 {
                    counted += ALLOCATIONS.with(Cell::get) - before;
                    paced += datagrams_out;
                }
            }
        }
    }
    (counted, forwarded, paced)
}

#[test]
fn forwarding_allocates_nothing() {
    for workers in [1, 2] {
        let (counted, forwarded, paced) = allocations(workers);
        assert!(forwarded >= 20 * 20 * 20, "{forwarded}");
        assert!(paced >= 20 * 20 * 20, "{paced}");
        assert_eq!(
            counted, 0,
            "allocations for {forwarded} packets, {paced} paced ones and {workers} workers"
        );
    }
}
