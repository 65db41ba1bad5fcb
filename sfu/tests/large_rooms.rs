//! Rooms with many publishers: what their descriptions cost, and whose sound is sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::{SOUND, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::sdp::{MAX_LEN, MAX_SECTIONS};
use signaling_core::message::{Attention, QualityReason, Role, TrackKind};
use signaling_core::{MediaDemand, MediaEvent, PeerId, RoomId};

const SECOND: Duration = Duration::from_secs(1);
const VOICE: u8 = 30;
const SILENCE: u8 = 127;

fn offers(world: &World, to: PeerId) -> Vec<(&str, usize)> {
    let offer = |event: &'_ (RoomId, MediaEvent)| match &event.1 {
        MediaEvent::Offer { peer, tracks, .. } => *peer == to && !tracks.is_empty(),
        _ => false,
    };
    let all = world.events.iter().filter(|event| offer(event));
    let read = |event| match event {
        &(_, MediaEvent::Offer { ref sdp, ref tracks, .. }) => (sdp.as_str(), tracks.len()),
        _ => panic!("no offer"),
    };
    all.map(read).collect()
}

fn sections(sdp: &str) -> usize {
    sdp.matches("\r\nm=").count()
}

/// A publisher who sends nothing.
fn quiet_publisher(world: &mut World, room: &RoomId) -> PeerId {
    let (peer, client) = world.publisher(room, 1);
    world.sending.remove(&client);
    peer
}

/// A viewer who has answered an offer, so that further ones are no longer the first.
fn viewer(world: &mut World, room: &RoomId) -> PeerId {
    let viewer = world.join(room, Role::Viewer);
    quiet_publisher(world, room);
    world.run(SECOND / 10);
    viewer
}

#[test]
fn a_hundred_cameras_and_microphones_reach_a_viewer() {
    let mut world = World::new(1);
    let room = World::room("hundred");
    let viewer = world.join(&room, Role::Viewer);
    for _ in 0..100 {
        world.publisher(&room, 1);
    }
    world.run(4 * SECOND);
    let (sdp, tracks) = *offers(&world, viewer).last().unwrap();
    assert_eq!((tracks, sections(sdp)), (200, 200));
    assert!(sdp.len() < MAX_LEN, "{}", sdp.len());
    let client = world.subscribers[&(room, viewer)];
    assert_eq!(world.playing(client, world.micros() - 300_000), 100);
}

/// What an m-line must have at least; a section with a track has more than three times as much.
const FREE_SECTION_BYTES: usize = 450;

#[test]
fn a_description_is_no_larger_than_the_room_needs() {
    let mut world = World::new(2);
    let room = World::room("churn");
    let viewer = viewer(&mut world, &room);
    let mut publishers: Vec<_> = (0..4).map(|_| world.publisher(&room, 1)).collect();
    let size = world.newest_offer(viewer).len();
    for at in 0..1_000 {
        let (peer, client) = publishers.remove(0);
        world.sending.remove(&client);
        world.demand(&room, MediaDemand::Leave { peer });
        publishers.push(world.publisher(&room, 1));
        let (sdp, tracks) = *offers(&world, viewer).last().unwrap();
        assert_eq!((tracks, sections(sdp)), (10, 10), "after {at}");
        assert!(sdp.len() < size + 200, "after {at}: {} bytes instead of {size}", sdp.len());
        world.events.clear();
    }
}

#[test]
fn a_room_that_has_been_large_has_a_small_description_again() {
    let mut world = World::new(3);
    let room = World::room("peak");
    let viewer = viewer(&mut world, &room);
    let publishers: Vec<_> = (0..60).map(|_| quiet_publisher(&mut world, &room)).collect();
    world.run(SECOND);
    let (large, tracks) = *offers(&world, viewer).last().unwrap();
    assert_eq!(tracks, 122);
    let large = large.len();
    for peer in publishers {
        world.demand(&room, MediaDemand::Leave { peer });
    }
    world.run(SECOND);
    let (small, tracks) = *offers(&world, viewer).last().unwrap();
    assert_eq!(tracks, 2);
    assert!(
        small.len() < large / 2 && small.len() < 4_000 + 120 * FREE_SECTION_BYTES,
        "{} of {large}",
        small.len()
    );
    for _ in 0..60 {
        quiet_publisher(&mut world, &room);
    }
    world.run(SECOND);
    let (again, tracks) = *offers(&world, viewer).last().unwrap();
    assert_eq!((tracks, sections(again)), (122, 122), "the sections are used again");
}

#[test]
fn changes_of_a_large_room_are_offered_together_and_those_of_a_small_one_at_once() {
    let mut world = World::new(4);
    let room = World::room("crowd");
    let viewers: Vec<_> = (0..20).map(|_| viewer(&mut world, &room)).collect();
    for _ in 0..40 {
        quiet_publisher(&mut world, &room);
    }
    world.run(2 * SECOND);
    let counts =
        |world: &World| -> Vec<usize> { viewers.iter().map(|viewer| offers(world, *viewer).len()).collect() };
    let before = counts(&world);
    quiet_publisher(&mut world, &room);
    assert_eq!(counts(&world), before, "nobody is offered it at once");
    let mut most_at_once = 0;
    for _ in 0..100 {
        let known: usize = counts(&world).iter().sum();
        world.run(SECOND / 100);
        most_at_once = most_at_once.max(counts(&world).iter().sum::<usize>() - known);
    }
    assert_eq!(counts(&world), before.iter().map(|count| count + 1).collect::<Vec<_>>());
    assert!(most_at_once <= 8, "{most_at_once} of 20 offers within 10 ms");
    let before = counts(&world);
    for _ in 0..30 {
        quiet_publisher(&mut world, &room);
        world.run(SECOND / 100);
    }
    world.run(SECOND);
    for (viewer, before) in viewers.iter().zip(before) {
        let (all, tracks) = (offers(&world, *viewer).len(), offers(&world, *viewer).last().unwrap().1);
        assert!(all - before <= 10, "{} offers for 30 newcomers", all - before);
        assert_eq!(tracks, 2 * (20 + 40 + 1 + 30));
    }
    let small = World::room("small");
    let alone = viewer(&mut world, &small);
    let before = offers(&world, alone).len();
    quiet_publisher(&mut world, &small);
    assert_eq!(offers(&world, alone).len(), before + 1);
}

fn refusals(world: &World, to: PeerId) -> Vec<u8> {
    let level = |event: &(RoomId, MediaEvent)| match &event.1 {
        MediaEvent::Quality { level, to: Some(peer), layer: None, reason, .. } if *peer == to => {
            assert_eq!(*reason, (*level == 0).then_some(QualityReason::Server));
            Some(*level)
        }
        _ => None,
    };
    world.events.iter().filter_map(level).collect()
}

#[test]
fn what_a_description_has_no_section_for_is_told() {
    let mut world = World::new(5);
    let room = World::room("vast");
    let viewer = world.join(&room, Role::Viewer);
    let publishers: Vec<_> = (0..MAX_SECTIONS / 2 + 3).map(|_| quiet_publisher(&mut world, &room)).collect();
    world.run(3 * SECOND);
    assert_eq!(offers(&world, viewer).last().unwrap().1, MAX_SECTIONS);
    assert_eq!(refusals(&world, viewer), [0; 6]);
    world.demand(&room, MediaDemand::Leave { peer: publishers[7] });
    world.run(3 * SECOND);
    assert_eq!(offers(&world, viewer).last().unwrap().1, MAX_SECTIONS);
    assert_eq!(refusals(&world, viewer), [0, 0, 0, 0, 0, 0, 4, 4], "somebody has their place");
}

/// People with microphones, and viewers who hear them.
struct Choir {
    world: World,
    room: RoomId,
    singers: Vec<(PeerId, usize)>,
    viewers: Vec<PeerId>,
    /// The level at which each of them speaks.
    levels: Vec<u8>,
    /// The packets sent so far.
    sent: Vec<u64>,
    /// The streams of each singer to each viewer.
    streams: Vec<Vec<u32>>,
}

impl Choir {
    fn new(seed: u64, singers: usize, viewers: usize, workers: u16) -> Self {
        let mut world = World::with_config(seed, |config| config.shards = workers);
        let room = World::room("choir");
        let viewers = (0..viewers).map(|_| world.join(&room, Role::Viewer)).collect();
        let people: Vec<_> = (0..singers).map(|_| world.publisher(&room, 1)).collect();
        // The choir sends its sound itself.
        world.sending.clear();
        let levels = vec![SILENCE; singers];
        let (sent, streams) = (vec![0; singers], Vec::new());
        let mut choir = Self { world, room, singers: people, viewers, levels, sent, streams };
        choir.world.run(SECOND);
        choir.streams = (0..choir.viewers.len()).map(|viewer| choir.streams_to(viewer)).collect();
        choir.sing(SECOND);
        choir
    }

    fn sing(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            for (at, (_, client)) in self.singers.iter().enumerate() {
                if self.world.clients[*client].is_connected() {
                    self.world.clients[*client].send_sound(self.levels[at]);
                    self.sent[at] += 1;
                }
            }
            self.world.run(SOUND);
        }
    }

    /// The SSRC of each singer's sound in the newest offer to a viewer.
    fn streams_to(&self, viewer: usize) -> Vec<u32> {
        let sdp = self.world.newest_offer(self.viewers[viewer]);
        let mut ssrcs = HashMap::new();
        for section in sdp.split("\r\nm=").filter(|section| section.starts_with("audio")) {
            let value = |key: &str| {
                let line = section.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap().split(' ').next().unwrap().to_owned()
            };
            ssrcs.insert(value("a=msid:"), value("a=ssrc:").parse().unwrap());
        }
        self.singers.iter().map(|(peer, _)| ssrcs[&peer.to_string()]).collect()
    }

    /// The packets of each singer that a viewer has received.
    fn heard(&self, viewer: usize) -> Vec<u64> {
        let client = self.world.subscribers[&(self.room.clone(), self.viewers[viewer])];
        let packets = &self.world.clients[client].audio_packets;
        self.streams[viewer].iter().map(|ssrc| packets.get(ssrc).copied().unwrap_or(0)).collect()
    }

    /// What a viewer hears of each singer within this time.
    fn heard_in(&mut self, viewer: usize, time: Duration) -> Vec<u64> {
        let before = self.heard(viewer);
        self.sing(time);
        self.heard(viewer).iter().zip(before).map(|(now, before)| now - before).collect()
    }

    fn ask(&mut self, viewer: usize, singer: usize, attention: Attention) {
        let id = self.singers[singer].0;
        let track = self.world.events.iter().rev().find_map(|(_, event)| match event {
            MediaEvent::Tracks { peer, tracks } if *peer == id => {
                tracks.iter().find(|track| track.kind == TrackKind::Audio).map(|track| track.track.clone())
            }
            _ => None,
        });
        let track: Arc<str> = track.unwrap().into();
        self.world
            .demand(&self.room, MediaDemand::Subscribe { peer: self.viewers[viewer], track, attention });
    }
}

fn streams(heard: &[u64]) -> usize {
    heard.iter().filter(|packets| **packets > 10).count()
}

#[test]
fn three_are_heard_of_nine_and_everybody_of_eight() {
    for (people, expected) in [(8, 8), (9, 3), (14, 3)] {
        for workers in [1, 2] {
            let mut choir = Choir::new(people as u64, people, 14, workers);
            choir.sing(SECOND);
            let before: Vec<_> = (0..14).map(|viewer| choir.heard(viewer)).collect();
            choir.sing(SECOND / 2);
            for (viewer, before) in before.into_iter().enumerate() {
                let heard: Vec<_> = choir.heard(viewer).iter().zip(before).map(|(a, b)| a - b).collect();
                assert_eq!(streams(&heard), expected, "{heard:?} of {people} with {workers} workers");
            }
        }
    }
}

#[test]
fn a_room_that_shrinks_is_heard_completely_again() {
    let mut choir = Choir::new(20, 9, 1, 1);
    assert_eq!(streams(&choir.heard_in(0, SECOND)), 3);
    let (peer, _) = choir.singers.pop().unwrap();
    let room = choir.room.clone();
    choir.world.demand(&room, MediaDemand::Leave { peer });
    choir.sing(SECOND);
    choir.streams[0].pop();
    assert_eq!(streams(&choir.heard_in(0, SECOND)), 8);
}

#[test]
fn the_loudest_are_heard_and_whoever_is_asked_for() {
    let mut choir = Choir::new(21, 12, 2, 1);
    for at in [3, 5, 7] {
        choir.levels[at] = VOICE;
    }
    choir.sing(SECOND);
    let heard = choir.heard_in(0, SECOND);
    assert!([3, 5, 7].iter().all(|at| heard[*at] >= 49), "{heard:?}");
    assert_eq!(streams(&heard), 3);
    choir.levels[9] = VOICE;
    assert_eq!(choir.heard_in(0, 2 * SECOND)[9], 0, "no louder than the others");
    choir.levels[9] = VOICE - 15;
    let heard = choir.heard_in(0, 3 * SECOND);
    assert!(heard[9] > 100 && streams(&heard) == 3, "somebody has given way: {heard:?}");
    choir.ask(1, 0, Attention { priority: Some(1), ..Attention::default() });
    assert!(choir.heard_in(1, SECOND)[0] >= 45);
    assert_eq!(choir.heard_in(0, SECOND)[0], 0, "the other viewer has not asked");
    choir.ask(1, 0, Attention { priority: Some(0), ..Attention::default() });
    assert_eq!(choir.heard_in(1, SECOND)[0], 0);
}

#[test]
fn a_microphone_that_a_host_has_silenced_has_no_place() {
    let mut choir = Choir::new(22, 12, 1, 1);
    choir.levels[..3].fill(VOICE);
    choir.sing(SECOND);
    let (peer, room) = (choir.singers[1].0, choir.room.clone());
    choir.world.demand(&room, MediaDemand::Mute { peer, muted: true });
    choir.levels[6] = VOICE;
    let heard = choir.heard_in(0, SECOND);
    assert!(heard[1] <= 1 && heard[6] >= 48, "{heard:?}");
}

/// Up to three people speak at a time, in no order. Of each utterance all but 300 ms arrive, at most.
#[test]
fn nobody_loses_the_first_word() {
    const ALLOWED: u64 = 15;
    /// Of what was heard before the utterance: see the lead in `loudness.rs`.
    const LEAD: u64 = 3;
    for seed in 0..4 {
        let mut choir = Choir::new(seed, 12, 1, 1 + (seed % 2) as u16);
        let mut rng = StdRng::seed_from_u64(seed);
        // Who speaks, until which step, and what was sent and heard of them before.
        let mut speaking: Vec<(usize, u64, u64, u64)> = Vec::new();
        let mut utterances = 0;
        for step in 0..1_000_u64 {
            let heard = choir.heard(0);
            for (who, _, sent, before) in speaking.iter().filter(|it| it.1 == step) {
                let (spoken, arrived) = (choir.sent[*who] - sent, heard[*who] - before);
                assert!(
                    arrived + ALLOWED >= spoken + LEAD,
                    "{arrived} packets of {spoken} arrived, seed {seed}, step {step}"
                );
                choir.levels[*who] = SILENCE;
                utterances += 1;
            }
            speaking.retain(|it| it.1 > step);
            let who = rng.next_u32() as usize % 12;
            if speaking.len() < 3 && rng.next_u32().is_multiple_of(8) && choir.levels[who] == SILENCE {
                let end = step + 20 + u64::from(rng.next_u32() % 150);
                speaking.push((who, end, choir.sent[who], heard[who]));
                choir.levels[who] = VOICE + (rng.next_u32() % 15) as u8;
            }
            choir.sing(SOUND);
        }
        assert!(utterances > 15, "{utterances} utterances");
    }
}
