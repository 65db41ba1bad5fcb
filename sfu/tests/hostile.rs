//! Broken and malicious peers next to a call, which must not be affected.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::dtls::Identity;
use sfu::testing::ClientKind;
use sfu::{NegotiationError, Path};
use signaling_core::message::Role;
use signaling_core::{HttpSession, MediaEvent};

const SECOND: Duration = Duration::from_secs(1);

/// A call with a player; the closure attacks it for two seconds, in steps of 10 ms.
fn beside_a_call(seed: u64, mut attack: impl FnMut(&mut World, u32)) -> World {
    let mut world = World::new(seed);
    let room = World::room("victims");
    world.publisher(&room, 4);
    let (_, player) = world.player(&room, None);
    world.run(SECOND);
    let before = world.played(player);
    for step in 0..200 {
        attack(&mut world, step);
        world.run(SECOND / 100);
    }
    let pictures = world.played(player) - before;
    assert!((58..=62).contains(&pictures), "{pictures} pictures in two seconds");
    assert_eq!(world.clients[player].retransmissions, 0);
    world
}

fn stranger() -> SocketAddr {
    "198.51.100.7:7777".parse().unwrap()
}

#[test]
fn garbage_from_strangers_and_from_a_validated_address() {
    let mut rng = StdRng::seed_from_u64(1);
    let world = beside_a_call(1, |world, _| {
        for _ in 0..50 {
            let mut datagram = vec![0; rng.next_u32() as usize % 1_400];
            rng.fill_bytes(&mut datagram);
            if let Some(first) = datagram.first_mut() {
                // Half of the datagrams resemble one of the protocols.
                let looks = [0, 22, 0x80, 0x90, 0xb0];
                if rng.next_u32() % 2 == 0 {
                    *first = looks[rng.next_u32() as usize % looks.len()];
                }
            }
            let player = world.clients[1].address;
            for source in [stranger(), player] {
                world.workers[0].shard.handle_datagram(world.now, Path::to(source), &mut datagram.clone());
            }
        }
    });
    assert!(!world.workers[0].shard.knows_address(stranger()));
}

#[test]
fn dtls_from_an_address_that_ice_has_not_validated_is_not_answered() {
    let mut world = World::new(2);
    let room = World::room("victims");
    world.publisher(&room, 4);
    world.run(SECOND);
    // The record header of a ClientHello, with a body that only a DTLS stack would parse.
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60];
    hello.resize(73, 1);
    for _ in 0..1_000 {
        world.workers[0].shard.handle_datagram(world.now, Path::to(stranger()), &mut hello.clone());
    }
    assert!(world.workers[0].shard.poll_transmit(world.now).is_none());
}

#[test]
fn a_check_with_a_wrong_password_opens_nothing() {
    let mut world = World::new(3);
    let room = World::room("guess");
    let peer = world.join(&room, Role::Viewer);
    let client = world.client(ClientKind::Player);
    let offer = world.clients[client].offer();
    let answer = world.negotiate(&room, peer, HttpSession::Play { publisher: None }, offer).unwrap();
    let ufrag = answer.sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let mut buf = [0; 256];
    let username = format!("{ufrag}:abcd");
    let len = sfu::ice::write_check(&username, "not the password at all", 7, true, &mut buf).unwrap();
    world.workers[0].shard.handle_datagram(world.now, Path::to(stranger()), &mut buf[..len]);
    assert!(world.workers[0].shard.poll_transmit(world.now).is_none());
    assert!(!world.workers[0].shard.knows_address(stranger()));
}

#[test]
fn ten_thousand_streams_of_one_publisher() {
    let mut attacker = None;
    beside_a_call(4, |world, step| {
        let client = *attacker.get_or_insert_with(|| {
            let client = world.publisher(&World::room("attack"), 1).1;
            world.sending.remove(&client);
            client
        });
        for ssrc in 0..50 {
            world.clients[client].send_stray(step * 50 + ssrc, 96 + (ssrc % 20) as u8);
        }
    });
}

#[test]
fn lying_rtcp_from_a_subscriber() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut attacker = None;
    beside_a_call(5, |world, _| {
        let client = *attacker.get_or_insert_with(|| world.player(&World::room("victims"), None).1);
        for _ in 0..20 {
            let [count, kind, high, low] = rng.next_u32().to_be_bytes();
            let mut report = vec![0x80 | count & 0x3f, 200 + kind % 8, high & 1, low];
            let mut body = vec![0; rng.next_u32() as usize % 300];
            rng.fill_bytes(&mut body);
            report.extend([0, 0, 0, 1]);
            report.extend(body);
            world.clients[client].send_raw_rtcp(&report);
        }
    });
}

#[test]
fn another_certificate_than_promised_never_gets_keys() {
    let mut world = World::new(6);
    let room = World::room("impostor");
    let promised = Identity::generate().unwrap();
    let peer = world.join(&room, Role::Broadcaster);
    let client = world.client(ClientKind::Publisher);
    let shown = world.clients[client].offer();
    let fingerprint =
        |sdp: &str| sdp.lines().find(|line| line.starts_with("a=fingerprint")).unwrap().to_owned();
    let offer =
        shown.replace(&fingerprint(&shown), &format!("a=fingerprint:sha-256 {}", promised.fingerprint));
    let answer = world.negotiate(&room, peer, HttpSession::Publish, offer).unwrap();
    world.clients[client].accept_answer(world.now, &answer.sdp).unwrap();
    world.sending.insert(client, 4);
    world.run(3 * SECOND);
    assert!(world.events.contains(&(room.clone(), MediaEvent::Failed { peer })));
    assert!(!world.events.contains(&(room, MediaEvent::Flowing { peer, flowing: true })));
}

#[test]
fn sdp_bombs_are_refused() {
    let mut world = World::new(7);
    let room = World::room("bombs");
    let peer = world.join(&room, Role::Broadcaster);
    let client = world.client(ClientKind::Publisher);
    let offer = world.clients[client].offer();
    let section = &offer[offer.find("m=video").unwrap()..];
    let bombs = [
        String::new(),
        "v=0\r\n".repeat(10_000),
        offer.clone() + &"a=x\r\n".repeat(20_000),
        offer.clone() + &section.repeat(100),
        offer.replace("a=mid:1", "a=mid:0"),
        offer.replace("a=mid:1", "a=mid:1 2"),
        offer.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        offer.replace("a=ice-pwd:", "a=ice-pwd:x\r\na=y:"),
        offer.replace("RTP/SAVPF 111", "RTP/SAVPF 999999999999999999999"),
        "\u{0}".repeat(60_000),
        "m=".repeat(30_000),
    ];
    for bomb in bombs {
        let result = world.negotiate(&room, peer, HttpSession::Publish, bomb.clone());
        let short: String = bomb.chars().take(40).collect();
        match result {
            Err(NegotiationError::Sdp(_)) => {}
            Ok(_) if bomb.contains("999999999999") => {}
            other => panic!("{short:?}: {other:?}"),
        }
    }
    let answer = world.negotiate(&room, peer, HttpSession::Publish, offer).unwrap();
    assert!(answer.sdp.len() < 8 * 1024);
}
