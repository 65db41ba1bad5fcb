//! Rooms that are served by several workers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::testing::Link;
use signaling_core::message::{Attention, Role};
use signaling_core::{MediaDemand, MediaEvent, PeerId};

const SECOND: Duration = Duration::from_secs(1);

fn world(seed: u64, workers: u16) -> World {
    World::with_config(seed, |config| config.shards = workers)
}

/// The worker that serves a peer, from the user name fragment in its newest offer.
fn server_of(world: &World, peer: PeerId) -> u16 {
    let offer = world.newest_offer(peer);
    let ufrag = offer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    sfu::ice::shard_of(ufrag).unwrap()
}

#[test]
fn viewers_of_a_large_broadcast_are_spread_and_all_see_it() {
    for workers in [2, 3] {
        let mut world = world(u64::from(workers), workers);
        let room = World::room("large");
        let broadcaster = world.join(&room, Role::Broadcaster);
        let camera = world.publish(&room, broadcaster, 4);
        world.run(SECOND / 2);
        let viewers: Vec<_> = (0..40).map(|_| world.join(&room, Role::Viewer)).collect();
        world.run(3 * SECOND);
        let since = world.micros() - 300_000;
        let mut served: HashMap<u16, usize> = HashMap::new();
        for viewer in &viewers {
            let client = world.subscribers[&(room.clone(), *viewer)];
            assert_eq!(world.playing(client, since), 1, "{viewer}");
            assert!(world.played(client) >= 70, "{}", world.played(client));
            assert_eq!(world.clients[client].audio_packets.len(), 1);
            assert!(!world.clients[client].sender_reports.is_empty(), "clocks are handed on");
            *served.entry(server_of(&world, *viewer)).or_default() += 1;
        }
        let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
        assert_eq!(served.len(), usize::from(workers));
        assert!(most - least <= 1, "{served:?}");
        let measured = world.statistics(&room);
        assert_eq!(measured.len(), 41, "each peer once");
        for peer in &measured {
            let (sent, received) = if peer.peer == broadcaster { (0, 2) } else { (2, 0) };
            assert_eq!((peer.sent.len(), peer.received.len()), (sent, received), "{peer:?}");
            assert!(peer.sent.iter().any(|sent| sent.bps > 100_000) || sent == 0, "{peer:?}");
        }
        let asked = world.clients[camera].keyframe_requests.len();
        assert!(asked <= 6, "{asked} key pictures for 40 viewers");
    }
}

#[test]
fn a_small_room_stays_where_it_is() {
    let mut world = world(3, 4);
    let room = World::room("small");
    let peers: Vec<_> = (0..5).map(|_| world.join(&room, Role::Participant)).collect();
    for peer in &peers {
        world.publish(&room, *peer, 1);
    }
    world.run(SECOND);
    let served: HashSet<_> = peers.iter().map(|peer| server_of(&world, *peer)).collect();
    assert_eq!(served.len(), 1);
}

#[test]
fn participants_on_different_workers_see_each_other_but_not_themselves() {
    let mut world = world(4, 2);
    let room = World::room("conference");
    let peers: Vec<_> = (0..14).map(|_| world.join(&room, Role::Participant)).collect();
    for peer in &peers {
        world.publish(&room, *peer, 1);
    }
    world.run(2 * SECOND);
    let since = world.micros() - 300_000;
    for peer in &peers {
        let client = world.subscribers[&(room.clone(), *peer)];
        assert_eq!(world.playing(client, since), 13, "{peer}");
    }
    assert_eq!(peers.iter().map(|peer| server_of(&world, *peer)).collect::<HashSet<_>>().len(), 2);
    let speakers = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Speakers(speakers) => Some(speakers.len()),
        _ => None,
    });
    assert_eq!(speakers, Some(5), "one list of the loudest, from one worker");
}

#[test]
fn loss_is_repaired_by_the_worker_that_serves() {
    let mut world = world(5, 2);
    let room = World::room("lossy");
    let broadcaster = world.join(&room, Role::Broadcaster);
    world.publish(&room, broadcaster, 9);
    let lossy = Link { delay_micros: 30_000, loss_per_mille: 50, ..Link::default() };
    world.access = (Link::default(), lossy);
    let viewers: Vec<_> = (0..24).map(|_| world.join(&room, Role::Viewer)).collect();
    world.run(10 * SECOND);
    for viewer in &viewers {
        let client = world.subscribers[&(room.clone(), *viewer)];
        assert!(world.played(client) >= 240, "{}", world.played(client));
        assert!(world.clients[client].retransmissions > 50);
    }
}

#[test]
fn wishes_reach_the_worker_that_serves() {
    let mut world = world(6, 2);
    let room = World::room("wishes");
    let broadcaster = world.join(&room, Role::Broadcaster);
    let camera = world.publish(&room, broadcaster, 2);
    let viewers: Vec<_> = (0..20).map(|_| world.join(&room, Role::Viewer)).collect();
    world.run(2 * SECOND);
    // A muted peer that publishes again stays muted for all subscribers.
    let late = world.join(&room, Role::Participant);
    world.demand(&room, MediaDemand::Mute { peer: late, muted: true });
    world.publish(&room, late, 1);
    world.run(SECOND);
    for viewer in &viewers {
        let heard = &world.clients[world.subscribers[&(room.clone(), *viewer)]].audio_packets;
        assert_eq!(heard.len(), 1, "one of the two is heard");
    }
    world.demand(&room, MediaDemand::Leave { peer: late });
    let home = server_of(&world, viewers[0]);
    let viewer = *viewers.iter().rev().find(|viewer| server_of(&world, **viewer) != home).unwrap();
    let client = world.subscribers[&(room.clone(), viewer)];
    let track = world.events.iter().find_map(|(_, event)| match event {
        MediaEvent::Tracks { tracks, .. } => tracks.iter().find(|track| track.codec == "VP8"),
        _ => None,
    });
    let track: Arc<str> = track.unwrap().track.as_str().into();
    let subscribe = |enabled| MediaDemand::Subscribe {
        peer: viewer,
        track: Arc::clone(&track),
        attention: Attention { enabled: Some(enabled), ..Attention::default() },
    };
    let sound = |world: &World| world.clients[client].audio_packets.values().sum::<u64>();

    world.demand(&room, subscribe(false));
    world.demand(&room, MediaDemand::Mute { peer: broadcaster, muted: true });
    world.run(SECOND / 2);
    let (seen, heard) = (world.played(client), sound(&world));
    world.run(SECOND);
    assert_eq!((world.played(client), sound(&world)), (seen, heard));

    let asked = world.clients[camera].keyframe_requests.len();
    world.demand(&room, subscribe(true));
    world.demand(&room, MediaDemand::Mute { peer: broadcaster, muted: false });
    world.run(SECOND);
    assert!(world.played(client) > seen + 20);
    assert!(sound(&world) > heard + 40);
    assert!(
        world.clients[camera].keyframe_requests.len() > asked,
        "its wish for a key picture went the whole way"
    );

    // An ICE restart of a connection on an annex.
    world.demand(&room, MediaDemand::RestartIce { peer: viewer });
    let seen = world.played(client);
    world.run(SECOND);
    assert!(world.played(client) > seen + 20);
}

#[test]
fn players_of_whep_are_spread_too() {
    let mut world = world(7, 2);
    let room = World::room("whep");
    let early: Vec<_> = (0..10).map(|_| world.player(&room, None).1).collect();
    world.publisher(&room, 3);
    let late: Vec<_> = (0..20).map(|_| world.player(&room, None).1).collect();
    world.run(3 * SECOND);
    for player in early.iter().chain(&late) {
        assert!(world.played(*player) >= 60, "{}", world.played(*player));
    }
}

/// Peers join and leave on all workers. In the end, all present viewers see all publishers,
/// and unused annexes are gone.
#[test]
fn every_order_of_coming_and_going_ends_well() {
    for seed in 0..5 {
        let mut world = world(100 + seed, 2 + (seed % 2) as u16);
        let mut rng = StdRng::seed_from_u64(seed);
        let room = World::room("orders");
        let mut present: Vec<(PeerId, Option<usize>)> = Vec::new();
        for _ in 0..50 {
            if present.len() > 25 || (rng.next_u32().is_multiple_of(3) && !present.is_empty()) {
                let (peer, camera) = present.swap_remove(rng.next_u32() as usize % present.len());
                if let Some(camera) = camera {
                    world.sending.remove(&camera);
                }
                world.demand(&room, MediaDemand::Leave { peer });
            } else {
                let (role, sends) = match rng.next_u32() % 8 {
                    0 => (Role::Broadcaster, true),
                    1 => (Role::Participant, true),
                    2 => (Role::Participant, false),
                    _ => (Role::Viewer, false),
                };
                let peer = world.join(&room, role);
                let camera = sends.then(|| world.publish(&room, peer, 1));
                present.push((peer, camera));
            }
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 120)));
        }
        world.run(2 * SECOND);
        let since = world.micros() - 300_000;
        let cameras = present.iter().filter(|(_, camera)| camera.is_some()).count();
        for (peer, camera) in &present {
            let seen = cameras - usize::from(camera.is_some());
            if let Some(client) = world.subscribers.get(&(room.clone(), *peer)) {
                assert_eq!(world.playing(*client, since), seen, "seed {seed}, {peer}");
            } else {
                assert_eq!(seen, 0, "seed {seed}, {peer}");
            }
        }
        for (peer, camera) in present {
            if let Some(camera) = camera {
                world.sending.remove(&camera);
            }
            world.demand(&room, MediaDemand::Leave { peer });
        }
        world.run(SECOND);
        assert!(world.is_empty(), "seed {seed}: something is left");
    }
}
