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

#[test]
fn forwarding_allocates_nothing() {
    let mut world = World::new(1);
    let room = World::room("count");
    let (_, publisher) = world.publisher(&room, 17);
    let players: Vec<_> = (0..20).map(|_| world.player(&room, None).1).collect();
    world.run(Duration::from_secs(3));
    assert!(players.iter().all(|player| world.played(*player) > 30));

    // The same by hand, so that nothing but the worker is counted.
    world.sending.clear();
    world.run(Duration::from_millis(100));
    let source = Path::to(world.clients[publisher].address);
    let (mut counted, mut forwarded) = (0, 0);
    // The first rounds let the buffers grow to what such a burst needs.
    for round in 0..120 {
        world.now += Duration::from_millis(33);
        let now = world.now;
        world.clients[publisher].send_picture(now, 17);
        world.clients[publisher].send_sound(20);
        let mut datagrams = Vec::new();
        while let Some((_, datagram)) = world.clients[publisher].poll_transmit() {
            datagrams.push(datagram);
        }
        world.seat.worker.egress_mut().clear();
        let before = ALLOCATIONS.with(Cell::get);
        for datagram in &mut datagrams {
            world.seat.worker.handle_datagram(now, source, datagram);
        }
        loop {
            let is_done = world.seat.worker.fan_out(now);
            if round >= 60 {
                forwarded += world.seat.worker.egress_mut().datagrams();
            }
            world.seat.worker.egress_mut().clear();
            if is_done {
                break;
            }
        }
        if round >= 60 {
            counted += ALLOCATIONS.with(Cell::get) - before;
        }
        // Feedback and reports go out on timers, not for packets.
        world.seat.worker.handle_timeout(now);
    }
    assert!(forwarded >= 60 * 18 * 20, "{forwarded}");
    assert_eq!(counted, 0, "allocations for {forwarded} packets");
}
