//! Retransmissions are bounded, whatever a client asks for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss, reason = "test code")]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::World;
use sfu::testing::Link;
use signaling_core::HttpSession;
use signaling_core::message::Role;

const SECOND: Duration = Duration::from_secs(1);

/// An RTCP NACK for these sequence numbers, 17 in each item.
fn nack(media: u32, sequences: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut items = Vec::new();
    for sequence in sequences {
        items.extend(sequence.to_be_bytes());
        items.extend([0xff, 0xff]);
    }
    let words = u16::try_from(2 + items.len() / 4).unwrap();
    let mut packet = vec![0x81, 205];
    packet.extend(words.to_be_bytes());
    packet.extend(1_u32.to_be_bytes());
    packet.extend(media.to_be_bytes());
    packet.extend(items);
    packet
}

/// Sends 2.4 Mbit/s of NACKs for a second, which all ask for recent packets.
fn flood(world: &mut World, client: usize) {
    let address = world.clients[client].address;
    let ssrc = *world.clients[client].playback.keys().next().unwrap();
    for _ in 0..100 {
        for _ in 0..3 {
            let newest = world.newest[&(address, ssrc)];
            let packet = nack(ssrc, (1..=240).map(|step| newest.wrapping_sub(step * 17 % 510)));
            assert!(packet.len() >= 970, "{}", packet.len());
            world.clients[client].send_raw_rtcp(&packet);
        }
        world.run(SECOND / 100);
    }
}

#[test]
fn a_flood_of_nacks_costs_less_than_the_stream_once_more() {
    let mut world = World::new(1);
    let room = World::room("flood");
    world.publisher(&room, 9);
    let (_, client) = world.player(&room, None);
    world.run(2 * SECOND);
    let sent = |world: &World| world.workers[0].shard.metrics().bytes_sent;
    let begun = sent(&world);
    world.run(SECOND);
    let stream = sent(&world) - begun;
    // Uses what was saved up.
    flood(&mut world, client);
    for _ in 0..3 {
        let begun = sent(&world);
        flood(&mut world, client);
        let flooded = sent(&world) - begun;
        assert!(flooded < 2 * stream, "{flooded} bytes in a second instead of {stream}");
    }
    assert!(world.played(client) >= 170, "{}", world.played(client));
}

#[test]
fn a_packet_is_sent_again_three_times_at_most() {
    let mut world = World::new(2);
    let room = World::room("again");
    let slow = Link { delay_micros: 40_000, ..Link::default() };
    let (_, camera) = world.publisher(&room, 1);
    world.access = (slow, slow);
    let (_, client) = world.player(&room, None);
    world.run(2 * SECOND);
    world.sending.remove(&camera);
    world.run(SECOND);
    let ssrc = *world.clients[client].playback.keys().next().unwrap();
    let newest = world.newest[&(world.clients[client].address, ssrc)];
    let mut times: HashMap<u64, u64> = HashMap::new();
    let begun = world.clients[client].retransmissions;
    for step in 0..50 {
        world.clients[client].send_raw_rtcp(&nack(ssrc, std::iter::once(newest.wrapping_sub(16))));
        world.run(SECOND / 100);
        times.insert(step, world.clients[client].retransmissions - begun);
    }
    assert_eq!(times[&49], 3 * 17, "three times each");
    // The first ones come back after a round trip of 80 ms, the next ones no sooner than another one later.
    assert_eq!((times[&6], times[&9], times[&15]), (0, 17, 17));
}

#[test]
fn without_rtx_no_nack_is_offered_and_none_is_answered() {
    let mut world = World::new(3);
    let room = World::room("plain");
    world.publisher(&room, 4);
    let peer = world.join(&room, Role::Viewer);
    let client = world.client(sfu::testing::ClientKind::Player);
    let offer = world.clients[client].offer();
    let plain = offer.replace("96 97", "96").replace("a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n", "");
    assert_ne!(plain, offer);
    let answer = world.negotiate(&room, peer, HttpSession::Play { publisher: None }, plain).unwrap();
    assert!(!answer.sdp.contains("rtx") && !answer.sdp.contains("a=rtcp-fb:96 nack\r\n"), "{}", answer.sdp);
    assert!(answer.sdp.contains("a=rtcp-fb:96 nack pli\r\n"));
    world.clients[client].accept_answer(world.now, &answer.sdp).unwrap();
    world.run(2 * SECOND);
    let sent = |world: &World| world.workers[0].shard.metrics().datagrams_sent;
    let begun = sent(&world);
    world.run(SECOND);
    let stream = sent(&world) - begun;
    let begun = sent(&world);
    flood(&mut world, client);
    assert!(sent(&world) - begun < stream + stream / 10, "{} instead of {stream}", sent(&world) - begun);
}
