//! Paths that are too narrow for the video.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::time::Duration;

use common::World;
use sfu::testing::Link;
use signaling_core::MediaEvent;
use signaling_core::message::QualityReason;

const SECOND: Duration = Duration::from_secs(1);

/// 2.4 Mbit/s of video to one player behind a bottleneck of this bitrate, and to one with spare capacity.
fn world(seed: u64, rate: u64) -> (World, usize, usize) {
    let mut world = World::new(seed);
    let room = World::room("narrow");
    world.publisher(&room, 9);
    world.run(SECOND);
    let narrow = Link { delay_micros: 20_000, rate: Some(rate), queue_micros: 2_000_000, ..Link::default() };
    world.access = (Link::default(), narrow);
    let (_, slow) = world.player(&room, None);
    world.access = (Link::default(), Link::default());
    let (_, fast) = world.player(&room, None);
    (world, slow, fast)
}

#[test]
fn a_narrow_path_keeps_its_sound_and_no_standing_queue() {
    let (mut world, slow, fast) = world(1, 500_000);
    world.run(5 * SECOND);
    let heard = |world: &World, client: usize| world.clients[client].audio_packets.values().sum::<u64>();
    let (before, seen) = (heard(&world, slow), world.played(fast));
    world.run(10 * SECOND);
    assert!(heard(&world, slow) - before >= 480, "{}", heard(&world, slow) - before);
    assert!(world.played(fast) - seen >= 290, "the others are not concerned");
    let waits = world.network.newest_wait(world.server, world.clients[slow].address);
    assert!(waits < 300_000, "a queue of {waits} us stood in the last seconds");
}

/// The reports of quality about video, each as its level and reason.
fn told(world: &World) -> Vec<(u8, Option<QualityReason>)> {
    let quality = |event: &MediaEvent| match event {
        MediaEvent::Quality { level, track: Some(_), reason, to: Some(_), .. } => Some((*level, *reason)),
        _ => None,
    };
    world.events.iter().filter_map(|(_, event)| quality(event)).collect()
}

#[test]
fn who_is_sent_no_picture_is_told_why_and_costs_no_key_frame() {
    let (mut world, slow, _) = world(5, 500_000);
    world.run(5 * SECOND);
    assert_eq!(told(&world), [(0, Some(QualityReason::OwnNetwork))]);
    let (asked, again) = (world.clients[0].keyframe_requests.len(), world.clients[slow].retransmissions);
    let before = world.played(slow);
    let ssrcs: Vec<_> = world.clients[slow].playback.keys().copied().collect();
    for _ in 0..20 {
        for ssrc in &ssrcs {
            let [a, b, c, d] = ssrc.to_be_bytes();
            world.clients[slow].send_raw_rtcp(&[0x81, 206, 0, 2, 0, 0, 0, 1, a, b, c, d]);
            let newest = world.newest[&(world.clients[slow].address, *ssrc)].to_be_bytes();
            let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, a, b, c, d, newest[0], newest[1], 0, 0];
            world.clients[slow].send_raw_rtcp(&nack);
        }
        world.run(SECOND / 20);
    }
    assert_eq!(world.played(slow), before, "held back");
    assert_eq!(world.clients[0].keyframe_requests.len(), asked, "for whom nothing is sent");
    assert_eq!(world.clients[slow].retransmissions, again, "a stream that is held back is not repaired");
    let wide = Link { delay_micros: 20_000, rate: Some(20_000_000), ..Link::default() };
    let address = world.clients[slow].address;
    world.network.set_link(address, Link::default(), wide);
    assert!(world.run_until(30 * SECOND, |world| world.played(slow) > before + 60));
    assert_eq!(told(&world).last(), Some(&(4, None)));
}

#[test]
fn pictures_come_back_when_there_is_room() {
    let (mut world, slow, _) = world(2, 500_000);
    world.run(8 * SECOND);
    let before = world.played(slow);
    let wide = Link { delay_micros: 20_000, rate: Some(20_000_000), ..Link::default() };
    let address = world.clients[slow].address;
    world.network.set_link(address, Link::default(), wide);
    assert!(world.run_until(30 * SECOND, |world| world.played(slow) > before + 60));
}

#[test]
fn pictures_come_back_although_no_burst_is_reported() {
    let (mut world, slow, _) = world(4, 500_000);
    world.run(8 * SECOND);
    let before = world.played(slow);
    world.clients[slow].gives_feedback = false;
    let wide = Link { delay_micros: 20_000, rate: Some(20_000_000), ..Link::default() };
    let address = world.clients[slow].address;
    world.network.set_link(address, Link::default(), wide);
    assert!(world.run_until(40 * SECOND, |world| world.played(slow) > before + 60));
}

/// The playback on a path of 500 kbit/s with a queue of 300 ms, and after the path becomes wide again.
fn narrow_and_wide_again(seed: u64, feedback: bool, settling: Duration, comeback: Duration) {
    let mut world = World::new(seed);
    let room = World::room("narrow");
    world.publisher(&room, 9);
    world.run(SECOND);
    let narrow = Link { delay_micros: 20_000, rate: Some(500_000), queue_micros: 300_000, ..Link::default() };
    world.access = (Link::default(), narrow);
    world.feedback = feedback;
    let (_, client) = world.player(&room, None);
    world.run(settling);
    let heard = |world: &World| world.clients[client].audio_packets.values().sum::<u64>();
    let before = heard(&world);
    let mut waits = Vec::new();
    for _ in 0..500 {
        world.run(SECOND / 50);
        waits.push(world.network.newest_wait(world.server, world.clients[client].address));
    }
    waits.sort_unstable();
    let sound = heard(&world) - before;
    let (middle, late) = (waits[250], waits[450]);
    assert!(sound >= 475, "seed {seed}: {sound} of 500 packets of sound");
    assert!(middle < 5_000 && late < 60_000, "seed {seed}: sound waits {middle} us, and {late} us at 90%");

    let shown = world.played(client);
    let wide = Link { delay_micros: 20_000, rate: Some(20_000_000), ..Link::default() };
    world.network.set_link(world.clients[client].address, Link::default(), wide);
    assert!(world.run_until(comeback, |world| world.played(client) > shown + 60), "seed {seed}: no pictures");
    // The pictures continue.
    let shown = world.played(client);
    world.run(20 * SECOND);
    assert!(world.played(client) - shown >= 590, "seed {seed}: {} pictures", world.played(client) - shown);
}

#[test]
fn sound_flows_with_little_delay_past_a_short_queue() {
    (10..15).for_each(|seed| narrow_and_wide_again(seed, true, 3 * SECOND, 20 * SECOND));
}

#[test]
fn receiver_reports_will_do_where_there_is_no_other_feedback() {
    // Without feedback, the only way to detect spare capacity is to try.
    narrow_and_wide_again(20, false, 12 * SECOND, 52 * SECOND);
}

#[test]
fn a_path_that_is_wide_enough_is_left_alone() {
    let (mut world, slow, _) = world(3, 4_000_000);
    world.run(20 * SECOND);
    assert!(world.played(slow) >= 580, "{}", world.played(slow));
}
