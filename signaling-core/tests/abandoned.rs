//! An abandoned room keeps little memory until it is forgotten.
#![allow(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use std::sync::Arc;
use std::time::Duration;

use signaling_core::testing::SeededEntropy;
use signaling_core::{ClientMessage, Environment, Grant, Rules, ServerKey, Shard, Timestamp};

struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: i64) {
    HELD.with(|held| held.set(held.get() + sign * i64::try_from(bytes).unwrap_or(0)));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_abandoned_name_keeps_little() {
    const ROOMS: i64 = 1_000;
    let mut now = Timestamp::from_millis(1_790_000_000_000);
    let key = ServerKey::new([7; 32]);
    let rules = Arc::new(Rules { sfu: true, ..Rules::new(key.clone()) });
    let entropy = Box::new(SeededEntropy::new(1));
    let environment = Environment { rules, entropy, ..Environment::new(key) };
    let codec = Arc::clone(&environment.codec);
    let mut shard = Shard::new(environment, now, Vec::new());
    let before = HELD.with(Cell::get);
    for n in 0..ROOMS {
        let text = format!(r#"{{"type":"join","room":"name {n}","name":"Ada"}}"#);
        let ClientMessage::Join(join) = codec.decode(text.as_bytes()).unwrap().message else {
            unreachable!()
        };
        let grant = Grant { may_create: true, ..Grant::default() };
        let (seat, _) = shard.join(now, &join, &grant, None).unwrap();
        let leave = codec.decode(br#"{"type":"leave"}"#);
        // Half of the peers leave without a message.
        if n % 2 == 0 {
            shard.receive(now, &seat, None, leave, None);
        }
    }
    let gone = now + Duration::from_mins(1);
    while let Some(due) = shard.poll_timeout().filter(|due| *due <= gone) {
        now = due;
        shard.handle_timeout(now);
    }
    assert_eq!(shard.census().rooms, 1_000, "they live on for a while");
    assert_eq!(shard.census().peers, 0);
    let each = (HELD.with(Cell::get) - before) / ROOMS;
    println!("{each} bytes for each name");
    assert!(each < 3_000, "{each} bytes for each name");
}
