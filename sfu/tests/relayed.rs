//! Clients behind a relay in the same process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn media_flows_both_ways_without_a_socket() {
    for workers in [1, 2] {
        let mut world = World::with_config(7, |config| config.shards = workers);
        world.relayed = true;
        let room = World::room("relayed");
        world.publisher(&room, 4);
        world.run(SECOND);
        let (_, player) = world.player(&room, None);
        world.run(3 * SECOND);
        assert!(world.played(player) >= 80, "{workers} workers: {}", world.played(player));
    }
}

#[test]
fn a_worker_that_does_not_keep_up_loses_datagrams_and_no_more() {
    let mut world = World::new(8);
    world.relayed = true;
    let stranger = "10.9.9.9:1".parse().unwrap();
    for _ in 0..100_000 {
        world.handle.deliver(stranger, world.server, &[0x80; 1_200]);
    }
    let room = World::room("relayed");
    world.publisher(&room, 4);
    let (_, player) = world.player(&room, None);
    world.run(3 * SECOND);
    assert!(world.played(player) >= 60, "{}", world.played(player));
}
