//! The time to the first picture: for new subscribers on every worker, for tracks that are enabled again, and for
//! recorders. Also the number of key frame requests to the publisher.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{PICTURE, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::codec::Codec;
use sfu::testing::Link;
use sfu::{Tap, TapEvent};
use signaling_core::message::{Attention, QualityReason, Role};
use signaling_core::{MediaDemand, MediaEvent, PeerId, RoomId};

const SECOND: Duration = Duration::from_secs(1);
const PICTURE_MICROS: u64 = PICTURE.subsec_micros() as u64;
/// The interval in Chromium.
const REST_MICROS: u64 = 300_000;

/// A broadcaster that answers key frame requests as Chromium does, some time after its last key frame.
fn broadcast(world: &mut World, room: &RoomId) -> (PeerId, usize) {
    let broadcaster = world.join(room, Role::Broadcaster);
    let camera = world.publish(room, broadcaster, 4);
    world.clients[camera].key_rest_micros = REST_MICROS;
    world.run(2 * SECOND);
    (broadcaster, camera)
}

fn link(milliseconds: u64) -> Link {
    Link { delay_micros: milliseconds * 1_000, ..Link::default() }
}

/// A viewer whose access has this delay in each direction.
fn viewer(world: &mut World, room: &RoomId, milliseconds: u64) -> (PeerId, usize) {
    world.access = (link(milliseconds), link(milliseconds));
    let viewer = world.join(room, Role::Viewer);
    (viewer, world.subscribers[&(room.clone(), viewer)])
}

fn first_played(world: &World, client: usize) -> Option<u64> {
    world.clients[client].playback.values().filter_map(|playback| playback.first_played_micros).min()
}

/// The microseconds from the connection to the first picture.
fn waited(world: &World, client: usize) -> u64 {
    let connected = world.clients[client].connected_micros.unwrap();
    first_played(world, client).unwrap().saturating_sub(connected)
}

#[test]
fn a_key_picture_that_comes_while_the_path_is_made_is_kept_for_the_newcomer() {
    for milliseconds in [1, 5, 15, 30, 50] {
        let mut world = World::new(milliseconds);
        let room = World::room("newcomer");
        let (_, camera) = broadcast(&mut world, &room);
        let asked = world.clients[camera].keyframe_requests.len();
        let (_, client) = viewer(&mut world, &room, milliseconds);
        world.run(SECOND);
        // The two ends may differ by one round-trip time in when they consider the path established.
        let bound = 2_000 * milliseconds + PICTURE_MICROS + 5_000;
        assert!(waited(&world, client) <= bound, "{} of {bound}", waited(&world, client));
        assert_eq!(world.clients[camera].keyframe_requests.len() - asked, 1, "{milliseconds} ms away");
        assert_eq!(world.clients[client].retransmissions, 0);
    }
}

#[test]
fn a_path_that_opens_late_asks_when_it_does() {
    let mut world = World::new(7);
    let room = World::room("far");
    let (_, camera) = broadcast(&mut world, &room);
    let asked = world.clients[camera].keyframe_requests.len();
    let (_, client) = viewer(&mut world, &room, 200);
    world.run(4 * SECOND);
    assert!(waited(&world, client) <= 2 * 200_000 + 2 * PICTURE_MICROS, "{}", waited(&world, client));
    assert_eq!(world.clients[camera].keyframe_requests.len() - asked, 2, "early, and when it could be used");
}

#[test]
fn players_of_whep_start_from_what_is_kept_too() {
    let mut world = World::new(8);
    let room = World::room("players");
    let (_, camera) = broadcast(&mut world, &room);
    let asked = world.clients[camera].keyframe_requests.len();
    world.access = (link(20), link(20));
    let (_, player) = world.player(&room, None);
    world.run(SECOND);
    assert!(waited(&world, player) <= 2 * 20_000 + 5_000, "{}", waited(&world, player));
    assert_eq!(world.clients[camera].keyframe_requests.len() - asked, 1);
}

#[test]
fn a_request_that_is_lost_is_repeated_after_a_round_trip_and_100_ms() {
    let mut world = World::new(9);
    let room = World::room("lost");
    let (_, camera) = broadcast(&mut world, &room);
    let address = world.clients[camera].address;
    world.network.set_link(address, link(1), Link { loss_per_mille: 1_000, ..link(1) });
    let began = world.micros();
    let (_, client) = viewer(&mut world, &room, 1);
    world.run(SECOND / 20);
    world.network.set_link(address, link(1), link(1));
    world.run(SECOND);
    let took = first_played(&world, client).unwrap() - began;
    assert!(took <= 100_000 + 20_000 + 2 * PICTURE_MICROS, "{took}");
}

#[test]
fn a_hundred_viewers_ask_a_publisher_three_times_a_second() {
    for (seed, workers) in [(10, 1), (11, 2)] {
        let mut world = World::with_config(seed, |config| config.shards = workers);
        let room = World::room("crowd");
        let (_, camera) = broadcast(&mut world, &room);
        let began = world.micros();
        let mut rng = StdRng::seed_from_u64(seed);
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let (_, client) = viewer(&mut world, &room, 1 + u64::from(rng.next_u32() % 60));
                world.run(SECOND / 20);
                client
            })
            .collect();
        world.run(2 * SECOND);
        let requests = &world.clients[camera].keyframe_requests;
        let requests: Vec<_> = requests.iter().filter(|at| **at >= began).collect();
        for from in &requests {
            let within = requests.iter().filter(|at| (**from..*from + 1_000_000).contains(*at)).count();
            assert!(within <= 3, "{requests:?}");
        }
        assert!(requests.len() <= 16, "{requests:?}");
        for client in clients {
            assert!(waited(&world, client) <= 200_000, "{}", waited(&world, client));
        }
    }
}

#[test]
fn another_worker_has_what_its_first_viewer_starts_with() {
    let mut world = World::with_config(12, |config| config.shards = 2);
    let room = World::room("mirrors");
    let (_, camera) = broadcast(&mut world, &room);
    for _ in 0..11 {
        viewer(&mut world, &room, 1);
    }
    world.run(2 * SECOND);
    viewer(&mut world, &room, 1);
    world.run(2 * PICTURE);
    let asked = world.clients[camera].keyframe_requests.len();
    // The viewers before these are served at the room's home.
    let (_, client) = viewer(&mut world, &room, 10);
    let (_, next) = viewer(&mut world, &room, 10);
    world.run(SECOND / 3);
    assert_eq!(world.clients[camera].keyframe_requests.len(), asked, "a fresh one was there");
    for client in [client, next] {
        assert!(waited(&world, client) <= 20_000 + 5_000, "{}", waited(&world, client));
    }
    world.run(2 * SECOND);
    let (_, late) = viewer(&mut world, &room, 10);
    world.run(SECOND);
    assert_eq!(world.clients[camera].keyframe_requests.len(), asked + 1, "its wish goes the whole way");
    assert!(waited(&world, late) <= 20_000 + PICTURE_MICROS + 5_000, "{}", waited(&world, late));
}

fn track_of(world: &World, publisher: PeerId) -> Arc<str> {
    let tracks = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Tracks { peer, tracks } if *peer == publisher => Some(tracks.clone()),
        _ => None,
    });
    let video = tracks.unwrap().into_iter().find(|track| track.codec == "VP8").unwrap();
    video.track.as_str().into()
}

#[test]
fn a_track_that_is_switched_on_again_is_there_at_once() {
    let mut world = World::new(13);
    let room = World::room("switch");
    let (broadcaster, camera) = broadcast(&mut world, &room);
    let (peer, client) = viewer(&mut world, &room, 5);
    world.run(SECOND);
    let track = track_of(&world, broadcaster);
    let switch = |world: &mut World, enabled| {
        let attention = Attention { enabled: Some(enabled), ..Attention::default() };
        world.demand(&room, MediaDemand::Subscribe { peer, track: Arc::clone(&track), attention });
    };
    let asked = world.clients[camera].keyframe_requests.len();
    switch(&mut world, false);
    world.run(2 * SECOND);
    assert_eq!(world.clients[camera].keyframe_requests.len(), asked, "switching off needs no key picture");

    let (before, at) = (world.played(client), world.micros());
    switch(&mut world, true);
    assert!(world.run_until(SECOND, |world| world.played(client) > before));
    assert!(world.micros() - at <= 2 * PICTURE_MICROS + 15_000, "{}", world.micros() - at);
    assert_eq!(world.clients[camera].keyframe_requests.len(), asked + 1);

    // Disabled and enabled again right after a key frame: served from the ring.
    switch(&mut world, false);
    world.run(2 * PICTURE);
    let (before, at) = (world.played(client), world.micros());
    switch(&mut world, true);
    assert!(world.run_until(SECOND, |world| world.played(client) > before));
    // The pacer lets a part of it wait for 5 ms.
    assert!(world.micros() - at <= 12_000, "{}", world.micros() - at);
    world.run(SECOND);
    assert_eq!(world.clients[camera].keyframe_requests.len(), asked + 1);
    assert!(world.played(client) > before + 25);
}

#[test]
fn who_waits_for_a_publisher_that_sends_no_key_picture_is_told_so() {
    let mut world = World::new(16);
    let room = World::room("deaf");
    let (broadcaster, camera) = broadcast(&mut world, &room);
    let (_, seeing) = viewer(&mut world, &room, 1);
    world.run(SECOND);
    assert!(world.played(seeing) > 20);
    // From now on, the camera sends no key frames.
    world.clients[camera].key_rest_micros = u64::MAX / 2;
    let (late, client) = viewer(&mut world, &room, 1);
    let told = |world: &World| {
        let events = world.events.iter().filter_map(|(_, event)| match event {
            MediaEvent::Quality { peer, level, track, reason, to, .. } => {
                Some((*peer, *level, track.clone(), *reason, *to))
            }
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    world.run(SECOND * 29 / 10);
    assert_eq!(told(&world), [], "it may be about to come");
    world.run(SECOND / 2);
    let expected =
        (broadcaster, 0, Some(track_of(&world, broadcaster)), Some(QualityReason::Sender), Some(late));
    assert_eq!(told(&world), std::slice::from_ref(&expected), "whoever sees it hears nothing");
    world.run(3 * SECOND);
    assert_eq!(told(&world), [expected.clone(), expected], "it may have been missed");
    assert_eq!(world.played(client), 0);
    world.clients[camera].key_rest_micros = 0;
    world.run(5 * SECOND);
    assert!(world.played(client) > 100);
    assert_eq!(told(&world).len(), 2, "it sees");
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(u64, bool)>>);

impl Tap for Recorder {
    fn take(&self, event: TapEvent<'_>) {
        if let TapEvent::Packet(_, packet) = event
            && packet.codec == Codec::Vp8
        {
            self.0.lock().unwrap().push((packet.position, packet.codec.starts_picture(packet.payload)));
        }
    }
}

#[test]
fn a_recording_begins_with_a_picture() {
    for (age, asks) in [(SECOND / 5, 0), (SECOND, 1)] {
        let mut world = World::new(14);
        let room = World::room("recorded");
        let (_, camera) = broadcast(&mut world, &room);
        viewer(&mut world, &room, 1);
        world.run(age);
        let asked = world.clients[camera].keyframe_requests.len();
        let recorder = Arc::new(Recorder::default());
        let tap: Arc<dyn Tap> = Arc::<Recorder>::clone(&recorder);
        world.handle.record(room.clone(), Some(tap)).unwrap();
        world.run(SECOND / 4);
        assert_eq!(world.clients[camera].keyframe_requests.len() - asked, asks);
        let taken = recorder.0.lock().unwrap().clone();
        if asks == 0 {
            assert!(taken[0].1, "what came since the key picture is there");
            assert!(taken.len() >= 4 * 12, "{}", taken.len());
        }
        assert!(taken.iter().any(|(_, starts)| *starts));
        assert!(taken.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "each once, in order: {taken:?}");
        let asked = world.clients[camera].keyframe_requests.len();
        world.run(SECOND);
        world.handle.record(room.clone(), None).unwrap();
        world.run(SECOND);
        assert_eq!(world.clients[camera].keyframe_requests.len(), asked, "the end of a recording needs none");
    }
}

#[test]
fn the_pictures_of_eight_come_in_one_wave() {
    let mut world = World::new(15);
    let room = World::room("eight");
    let peers: Vec<_> = (0..8).map(|_| world.join(&room, Role::Participant)).collect();
    let cameras: Vec<_> = peers.iter().map(|peer| world.publish(&room, *peer, 2)).collect();
    world.run(3 * SECOND);
    let before: Vec<_> =
        cameras.iter().map(|camera| world.clients[*camera].keyframe_requests.len()).collect();
    let (_, client) = viewer(&mut world, &room, 15);
    world.run(SECOND);
    let firsts: Vec<_> =
        world.clients[client].playback.values().filter_map(|playback| playback.first_played_micros).collect();
    assert_eq!(firsts.len(), 8);
    let (first, last) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!(last - first <= PICTURE_MICROS, "{firsts:?}");
    for (camera, before) in cameras.iter().zip(before) {
        assert_eq!(world.clients[*camera].keyframe_requests.len() - before, 1);
    }
}

/// The world asserts that no index of a stream is encrypted twice.
#[test]
fn nothing_is_sealed_twice_whatever_happens() {
    for seed in 20..26 {
        let mut world = World::with_config(seed, |config| config.shards = 1 + (seed % 2) as u16);
        let mut rng = StdRng::seed_from_u64(seed);
        let room = World::room("whatever");
        let lossy = Link { jitter_micros: 20_000, loss_per_mille: 30, ..link(10) };
        world.access = (lossy, lossy);
        let broadcaster = world.join(&room, Role::Broadcaster);
        world.publish(&room, broadcaster, 4);
        world.run(SECOND);
        let track = track_of(&world, broadcaster);
        let mut viewers: Vec<_> = (0..14).map(|_| world.join(&room, Role::Viewer)).collect();
        for _ in 0..150 {
            let at = rng.next_u32() as usize % viewers.len();
            match rng.next_u32() % 8 {
                0 => {
                    world.demand(&room, MediaDemand::Leave { peer: viewers[at] });
                    viewers[at] = world.join(&room, Role::Viewer);
                }
                1 => world.demand(&room, MediaDemand::Resend { peer: viewers[at] }),
                enabled => {
                    let attention = Attention { enabled: Some(enabled % 3 != 0), ..Attention::default() };
                    let track = Arc::clone(&track);
                    world.demand(&room, MediaDemand::Subscribe { peer: viewers[at], track, attention });
                }
            }
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 60)));
        }
        for peer in &viewers {
            let attention = Attention { enabled: Some(true), ..Attention::default() };
            let track = Arc::clone(&track);
            world.demand(&room, MediaDemand::Subscribe { peer: *peer, track, attention });
        }
        world.run(2 * SECOND);
        let since = world.micros() - 500_000;
        for viewer in &viewers {
            let client = world.subscribers[&(room.clone(), *viewer)];
            assert_eq!(world.playing(client, since), 1, "{viewer}");
        }
    }
}
