//! One publisher over WHIP and any number of players over WHEP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::World;
use sfu::testing::{Link, Playback};
use signaling_core::{MediaDemand, MediaEvent};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_player_sees_and_hears_the_publisher() {
    let mut world = World::new(1);
    let room = World::room("one");
    world.publisher(&room, 4);
    world.run(SECOND);
    let (_, player) = world.player(&room, None);
    world.run(3 * SECOND);
    assert!(world.played(player) >= 80, "{}", world.played(player));
    let sound: u64 = world.clients[player].audio_packets.values().sum();
    assert!(sound >= 140, "{sound}");
    assert_eq!(world.clients[player].retransmissions, 0);
}

#[test]
fn a_player_who_comes_first_is_served_when_the_publisher_comes() {
    let mut world = World::new(2);
    let room = World::room("early");
    let (_, player) = world.player(&room, None);
    world.run(SECOND);
    assert!(world.clients[player].is_connected(), "connected without a publisher");
    let (publisher, _) = world.publisher(&room, 4);
    assert!(world.run_until(2 * SECOND, |world| world.played(player) > 10));
    let flowing = MediaEvent::Flowing { peer: publisher, flowing: true };
    assert!(world.events.contains(&(room, flowing)));
}

#[test]
fn a_publisher_who_comes_back_is_seen_in_the_same_sections() {
    let mut world = World::new(3);
    let room = World::room("again");
    let (publisher, client) = world.publisher(&room, 4);
    let (_, player) = world.player(&room, None);
    world.run(2 * SECOND);
    world.sending.remove(&client);
    world.demand(&room, MediaDemand::Leave { peer: publisher });
    world.run(SECOND);
    assert!(world.events.contains(&(room.clone(), MediaEvent::Flowing { peer: publisher, flowing: false })));
    let before: u64 = world.clients[player].audio_packets.values().sum();
    world.publisher(&room, 4);
    world.run(2 * SECOND);
    assert_eq!(world.clients[player].audio_packets.len(), 1, "one stream of sound, continued");
    let after: u64 = world.clients[player].audio_packets.values().sum();
    assert!(after > before + 50, "{before} then {after}");
}

#[test]
fn players_of_one_publisher_do_not_ask_it_for_a_key_picture_each() {
    let mut world = World::new(4);
    let room = World::room("storm");
    let (_, publisher) = world.publisher(&room, 4);
    world.run(SECOND);
    let before = world.clients[publisher].keyframe_requests.len();
    let players: Vec<_> = (0..20).map(|_| world.player(&room, None).1).collect();
    world.run(2 * SECOND);
    assert!(players.iter().all(|player| world.played(*player) > 30));
    let asked = world.clients[publisher].keyframe_requests.len() - before;
    assert!((1..=4).contains(&asked), "{asked}");
}

/// A 720p publisher (2.5 Mbit/s in pictures of nine packets) and a player, 50 ms from the server each, half a minute
/// after these shares of the publisher's and of the player's datagrams began to be lost in each direction.
fn half_a_minute_of_loss(seed: u64, [publisher, player]: [u32; 2]) -> (World, usize) {
    let far = |loss_per_mille| Link { delay_micros: 50_000, loss_per_mille, ..Link::default() };
    let mut world = World::new(seed);
    world.access = (far(0), far(0));
    let room = World::room("lossy");
    let clients = [(publisher, world.publisher(&room, 9).1), (player, world.player(&room, None).1)];
    world.run(2 * SECOND);
    for (loss, client) in clients {
        let address = world.clients[client].address;
        world.network.set_link(address, far(loss), far(loss));
    }
    world.run(30 * SECOND);
    (world, clients[1].1)
}

/// The share of the packets that arrived within half a second after they were sent.
fn in_time(playback: &Playback) -> f64 {
    let in_time = playback.latencies_micros.iter().filter(|latency| **latency <= 500_000).count();
    // Counted from the first picture that was played.
    let sent = f64::from(playback.played) * 9.0;
    let count = |packets: usize| f64::from(u32::try_from(packets).unwrap());
    count(in_time) / sent.max(count(playback.latencies_micros.len()))
}

#[test]
fn loss_of_five_percent_is_repaired_within_half_a_second() {
    for seed in 10..14 {
        let (world, player) = half_a_minute_of_loss(seed, [50, 50]);
        let playback = world.playback(player);
        let share = in_time(playback);
        assert!(share >= 0.997, "seed {seed}: {share}");
        assert!(playback.played > 900, "seed {seed}: {}", playback.played);
    }
}

#[test]
fn loss_of_twenty_percent_is_repaired_within_half_a_second_on_either_side() {
    for seed in 40..44 {
        for losses in [[200, 0], [0, 200]] {
            let (world, player) = half_a_minute_of_loss(seed, losses);
            let playback = world.playback(player);
            let (share, stall) = (in_time(playback), playback.longest_stall_micros);
            assert!(share >= 0.995, "seed {seed}, {losses:?}: {share}");
            assert!(stall <= 1_200_000, "seed {seed}, {losses:?}: {stall}");
            assert!(playback.played > 550, "seed {seed}, {losses:?}: {}", playback.played);
        }
    }
}

#[test]
fn loss_of_ten_percent_stalls_for_less_than_a_second() {
    for seed in 20..28 {
        let (world, player) = half_a_minute_of_loss(seed, [0, 100]);
        let playback = world.playback(player);
        assert!(playback.longest_stall_micros <= 1_000_000, "seed {seed}: {}", playback.longest_stall_micros);
        assert!(playback.played > 800, "seed {seed}: {}", playback.played);
    }
}

/// One packet in five is lost without a queue: a path that is bad, and not one that is full. Giving up the only layer for
/// it would show nothing at all.
#[test]
fn loss_of_twenty_percent_gives_up_no_picture() {
    for seed in 30..36 {
        let (world, player) = half_a_minute_of_loss(seed, [0, 200]);
        let playback = world.playback(player);
        assert!(playback.longest_stall_micros <= 2_000_000, "seed {seed}: {}", playback.longest_stall_micros);
        assert!(playback.played > 500, "seed {seed}: {}", playback.played);
    }
}

#[test]
fn clients_whose_datagrams_reach_another_worker_are_served_all_the_same() {
    let mut world = World::with_config(30, |config| config.shards = 2);
    let room = World::room("two");
    world.publisher(&room, 4);
    let players: Vec<_> = (0..3).map(|_| world.player(&room, None).1).collect();
    world.run(3 * SECOND);
    for player in players {
        assert!(world.played(player) >= 75, "{}", world.played(player));
    }
}

/// A publisher dies without a word, and its successor comes; with two workers, half of the players are on another one.
#[test]
fn players_leave_a_publisher_that_is_not_heard_for_one_that_is() {
    for workers in [1, 2] {
        let mut world = World::with_config(9, |config| config.shards = workers);
        let room = World::room("crash");
        let (dead, client) = world.publisher(&room, 4);
        let players: Vec<_> = (0..20).map(|_| world.player(&room, None).1).collect();
        let (_, loyal) = world.player(&room, Some(dead));
        world.run(2 * SECOND);
        let broken = Link { loss_per_mille: 1_000, ..Link::default() };
        let address = world.clients[client].address;
        world.network.set_link(address, broken, broken);
        world.run(2 * SECOND);
        let (_, successor) = world.publisher(&room, 4);
        world.run(SECOND);
        assert!(
            players.iter().all(|player| world.playing(*player, world.micros() - 1_000_000) == 0),
            "it may return"
        );
        world.run(4 * SECOND);
        let since = world.micros() - 500_000;
        assert!(players.iter().all(|player| world.playing(*player, since) == 1), "{workers} workers");
        assert!(
            players.iter().all(|player| world.clients[*player].audio_packets.len() == 1),
            "one stream of sound"
        );
        assert_eq!(world.playing(loyal, since), 0, "it wants that one");

        // The other one returns, the successor stays: nothing changes for those who moved.
        let works = Link::default();
        world.network.set_link(address, works, works);
        let before: Vec<_> = players.iter().map(|player| world.played(*player)).collect();
        world.run(3 * SECOND);
        for (player, before) in players.iter().zip(&before) {
            assert!(world.played(*player) - before >= 85, "{}", world.played(*player) - before);
        }
        assert_eq!(world.playing(loyal, world.micros() - 500_000), 1);
        // And back.
        world.sending.remove(&successor);
        let address = world.clients[successor].address;
        world.network.set_link(address, broken, broken);
        world.run(8 * SECOND);
        let since = world.micros() - 500_000;
        assert!(players.iter().all(|player| world.playing(*player, since) == 1), "{workers} workers");
    }
}
