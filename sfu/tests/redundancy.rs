//! Redundant audio (RFC 2198): who takes it gets it as it is, everybody else gets the sound without the redundancy.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod common;

use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::codec::Codec;
use sfu::sdp::RemoteDescription;
use sfu::testing::ClientKind;
use signaling_core::message::Role;
use signaling_core::{HttpSession, MediaDemand, MediaEvent, PeerId, RoomId};

const SECOND: Duration = Duration::from_secs(1);
const OWN: [u8; 80] = [0xfc; 80];

/// A publisher over WHIP that sends redundant audio.
fn publisher(world: &mut World, room: &RoomId) -> usize {
    let peer = world.join_http(room, Role::Broadcaster);
    let client = world.client(ClientKind::Publisher);
    world.clients[client].speaks_red = true;
    let offer = world.clients[client].offer();
    let answer = world.negotiate(room, peer, HttpSession::Publish, offer).unwrap();
    assert!(
        answer.sdp.contains("UDP/TLS/RTP/SAVPF 63 111\r\n"),
        "the publisher's preference: {}",
        answer.sdp
    );
    world.clients[client].accept_answer(world.now, &answer.sdp).unwrap();
    world.sending.insert(client, 1);
    client
}

fn player(world: &mut World, room: &RoomId, change: impl Fn(&str) -> String) -> usize {
    let peer = world.join_http(room, Role::Viewer);
    let client = world.client(ClientKind::Player);
    world.clients[client].speaks_red = true;
    let offer = change(&world.clients[client].offer());
    let answer = world.negotiate(room, peer, HttpSession::Play { publisher: None }, offer).unwrap();
    world.clients[client].accept_answer(world.now, &answer.sdp).unwrap();
    client
}

/// The payload type and the payload of the sound that arrives last.
fn sound(world: &World, client: usize) -> (u8, &[u8]) {
    let (payload_type, payload) = world.clients[client].newest_sound.values().next().unwrap();
    (*payload_type, payload)
}

fn assert_redundant(payload: &[u8], opus: u8) {
    assert_eq!(payload.len(), 5 + 160);
    assert_eq!((payload[0], payload[4]), (0x80 | opus, opus), "the blocks name the receiver's payload type");
    assert_eq!((&payload[5..85], &payload[85..]), ([0xfb; 80].as_slice(), OWN.as_slice()));
}

fn audio(sdp: &str) -> Vec<(Codec, u8)> {
    let offer = RemoteDescription::parse(sdp).unwrap();
    offer.sections[0].codecs.iter().map(|codec| (codec.codec, codec.payload_type)).collect()
}

/// A member of the room whose browser does not know redundant audio: it answers without it.
fn plain_member(world: &mut World, room: &RoomId) -> PeerId {
    world.answers = false;
    let peer = world.join(room, Role::Viewer);
    let offer = world.newest_offer(peer).to_owned();
    let red = audio(&offer).into_iter().find(|(codec, _)| *codec == Codec::Red).unwrap().1;
    let plain = offer.replace(&format!("a=rtpmap:{red} red/48000/2\r\n"), "");
    assert_ne!(plain, offer);
    world.answer(room, peer, &plain, 1);
    world.answers = true;
    peer
}

#[test]
fn redundancy_is_for_those_who_take_it() {
    let mut world = World::new(1);
    let room = World::room("red");
    publisher(&mut world, &room);
    let member = world.join(&room, Role::Viewer);
    let plain = plain_member(&mut world, &room);
    let redundant = player(&mut world, &room, str::to_owned);
    let opus = player(&mut world, &room, |offer| offer.replace("63 111", "111"));
    // Redundancy of what is not accepted.
    let alone = player(&mut world, &room, |offer| offer.replace("opus/48000/2", "g729/8000"));
    world.run(2 * SECOND);

    let offered = audio(world.newest_offer(member));
    assert_eq!(offered.iter().map(|(codec, _)| *codec).collect::<Vec<_>>(), [Codec::Opus, Codec::Red]);
    let offer = world.newest_offer(member);
    let (own, red) = (offered[0].1, offered[1].1);
    assert!(offer.contains(&format!("a=fmtp:{red} {own}/{own}\r\n")), "{offer}");
    assert!(offer.contains(&format!("a=fmtp:{own} minptime=10;useinbandfec=1\r\n")), "{offer}");

    let (payload_type, payload) = sound(&world, world.subscribers[&(room.clone(), member)]);
    assert_eq!(payload_type, red);
    assert_redundant(payload, own);
    assert_eq!(sound(&world, world.subscribers[&(room.clone(), plain)]), (own, OWN.as_slice()));
    let (payload_type, payload) = sound(&world, redundant);
    assert_eq!(payload_type, 63);
    assert_redundant(payload, 111);
    assert_eq!(sound(&world, opus), (111, OWN.as_slice()));
    assert!(world.clients[alone].newest_sound.is_empty());
}

#[test]
fn malformed_redundancy_reaches_nobody_as_sound_and_ends_nothing() {
    let mut world = World::new(2);
    let room = World::room("malformed");
    let client = publisher(&mut world, &room);
    let redundant = player(&mut world, &room, str::to_owned);
    let opus = player(&mut world, &room, |offer| offer.replace("63 111", "111"));
    world.run(SECOND);
    let mut rng = StdRng::seed_from_u64(2);
    world.sending.clear();
    world.run(SECOND / 10);
    let before = world.clients[opus].audio_packets.values().sum::<u64>();
    for _ in 0..500 {
        // Headers whose blocks are longer than the packet.
        let mut payload: Vec<u8> = (0..rng.next_u32() % 40).map(|_| (rng.next_u32() as u8) | 0x83).collect();
        payload.push(rng.next_u32() as u8 | 0x80);
        world.clients[client].send_red(&payload);
        world.run(SECOND / 500);
    }
    assert_eq!(world.clients[opus].audio_packets.values().sum::<u64>(), before);
    world.sending.insert(client, 1);
    world.run(SECOND / 2);
    assert_eq!(sound(&world, opus), (111, OWN.as_slice()));
    assert_redundant(sound(&world, redundant).1, 111);
}

/// Has the publisher of a room prefer redundant audio, or Opus alone, in what it offers and sends.
fn prefer(world: &mut World, room: &RoomId, peer: PeerId, client: usize, is_redundant: bool) {
    world.clients[client].speaks_red = true;
    let offer = world.clients[client].offer();
    let order = if is_redundant { "63 111" } else { "111 63" };
    let sdp = offer.replace("SAVPF 63 111", &format!("SAVPF {order}"));
    world.clients[client].speaks_red = is_redundant;
    world.demand(room, MediaDemand::Offer { peer, sdp: sdp.into(), negotiation: None });
    world.run(SECOND);
}

#[test]
fn a_change_of_the_preference_costs_the_viewers_no_offer() {
    let mut world = World::new(3);
    let room = World::room("preference");
    let peer = world.join(&room, Role::Broadcaster);
    let viewer = world.join(&room, Role::Viewer);
    let client = world.publish(&room, peer, 1);
    // The viewers are offered what the publisher has come to know.
    prefer(&mut world, &room, peer, client, true);
    let offers = |world: &World| {
        let is_offer =
            |event: &MediaEvent| matches!(event, MediaEvent::Offer { peer, .. } if *peer == viewer);
        world.events.iter().filter(|(_, event)| is_offer(event)).count()
    };
    let before = offers(&world);
    let receiver = world.subscribers[&(room.clone(), viewer)];
    for is_redundant in [false, true, false] {
        prefer(&mut world, &room, peer, client, is_redundant);
        assert_eq!(sound(&world, receiver).1.len(), if is_redundant { 165 } else { 80 });
    }
    assert_eq!(offers(&world), before);
}
