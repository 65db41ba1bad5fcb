//! A call on a port that a relay shares: checks and TURN of one client come from one address, and strangers send anything.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::Path;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, check_stun, method};
use stun_turn::{FiveTuple, Input, Output, PathId, ServerContext, Settings, Shard, Transport};

const SECOND: Duration = Duration::from_secs(1);

fn stranger() -> SocketAddr {
    "198.51.100.7:7777".parse().unwrap()
}

/// The relay's state machine behind the port.
struct Relay {
    shard: Shard,
    /// The destination of each answer, in order.
    answered: Vec<SocketAddr>,
}

impl Relay {
    fn new(world: &World) -> Self {
        let context = ServerContext { settings: Arc::new(Settings::default()), ..ServerContext::default() };
        let shard = Shard::new(context, 0, world.now, Duration::from_secs(1_800_000_000), 7);
        Self { shard, answered: Vec::new() }
    }

    /// Gives it what has come in for it.
    fn run(&mut self, world: &mut World) {
        for (client, message) in world.for_relay.as_mut().unwrap().drain(..) {
            let tuple = FiveTuple { transport: Transport::Udp, client, server: world.server };
            let input = Input::Client { tuple, path: PathId(0), message: &message };
            assert!(self.shard.handle_input(world.now, input).is_none(), "nobody has a relay");
            while let Some(output) = self.shard.poll_output() {
                let Output::Transmit { tuple, message, .. } = output else { panic!("{output:?}") };
                assert_eq!(check_stun(&message), Ok(()));
                self.answered.push(tuple.client);
            }
        }
    }
}

/// What clients of the relay send.
fn turn(rng: &mut StdRng) -> Vec<u8> {
    let mut id = [0; 12];
    rng.fill_bytes(&mut id);
    let methods = [method::BINDING, method::ALLOCATE, method::REFRESH, method::CREATE_PERMISSION];
    let mut message = match rng.next_u32() % 6 {
        0 => return vec![0x40, 0, 0, 4, 1, 2, 3, 4],
        1 => MessageBuilder::indication(method::SEND, TransactionId(id)),
        kind => MessageBuilder::request(methods[kind as usize - 2], TransactionId(id)),
    };
    message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    message.finish(None)
}

#[test]
fn a_call_and_turn_of_the_same_clients_pass_side_by_side() {
    for workers in [1, 2] {
        let mut world = World::with_config(11, |config| config.shards = workers);
        world.for_relay = Some(Vec::new());
        let mut relay = Relay::new(&world);
        let mut rng = StdRng::seed_from_u64(5);
        let room = World::room("shared");
        world.publisher(&room, 4);
        let (_, player) = world.player(&room, None);
        world.run(SECOND);
        relay.run(&mut world);
        assert!(relay.answered.is_empty(), "connectivity checks are not the relay's");
        let before = world.played(player);
        for _ in 0..200 {
            let micros = (world.now - world.epoch).as_micros() as u64;
            for client in 0..world.clients.len() {
                let address = world.clients[client].address;
                world.network.send(micros, address, world.server, turn(&mut rng));
            }
            world.run(SECOND / 100);
            relay.run(&mut world);
        }
        let pictures = world.played(player) - before;
        assert!((58..=62).contains(&pictures), "{workers} workers: {pictures} pictures in two seconds");
        let heard: HashSet<_> = relay.answered.iter().copied().collect();
        let clients: HashSet<_> = world.clients.iter().map(|client| client.address).collect();
        assert_eq!(heard, clients, "the relay serves the addresses of the call");
        assert!(relay.answered.len() > 100);
    }
}

#[test]
fn strangers_reach_the_relay_and_nothing_else() {
    let mut world = World::new(12);
    world.for_relay = Some(Vec::new());
    let mut relay = Relay::new(&world);
    let mut rng = StdRng::seed_from_u64(6);
    let room = World::room("shared");
    world.publisher(&room, 4);
    let (_, player) = world.player(&room, None);
    world.run(SECOND);
    let before = world.played(player);
    for _ in 0..200 {
        let micros = (world.now - world.epoch).as_micros() as u64;
        for _ in 0..20 {
            let mut datagram = if rng.next_u32().is_multiple_of(2) {
                turn(&mut rng)
            } else {
                let mut bytes = vec![0; 1 + rng.next_u32() as usize % 1_400];
                rng.fill_bytes(&mut bytes);
                let looks = [0, 1, 22, 63, 0x40, 0x4f, 0x80, 0xb0];
                bytes[0] = looks[rng.next_u32() as usize % looks.len()];
                bytes
            };
            if rng.next_u32().is_multiple_of(3) {
                let at = rng.next_u32() as usize % datagram.len();
                datagram[at] = rng.next_u32().to_be_bytes()[0];
            }
            world.network.send(micros, stranger(), world.server, datagram);
        }
        world.run(SECOND / 100);
        relay.run(&mut world);
    }
    let pictures = world.played(player) - before;
    assert!((58..=62).contains(&pictures), "{pictures} pictures in two seconds");
    assert!(!world.workers[0].shard.knows_address(stranger()));
    assert!(relay.answered.iter().all(|client| *client == stranger()) && !relay.answered.is_empty());
}

#[test]
fn dtls_from_an_address_that_only_the_relay_knows_is_not_answered() {
    let mut world = World::new(13);
    world.for_relay = Some(Vec::new());
    let mut relay = Relay::new(&world);
    let mut rng = StdRng::seed_from_u64(7);
    let micros = (world.now - world.epoch).as_micros() as u64;
    for _ in 0..20 {
        world.network.send(micros, stranger(), world.server, turn(&mut rng));
    }
    world.run(SECOND);
    relay.run(&mut world);
    assert!(relay.answered.contains(&stranger()));
    // The record header of a ClientHello.
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60];
    hello.resize(73, 1);
    for _ in 0..1_000 {
        assert!(!sfu::demux::is_for_relay(&hello), "there is no TURN over DTLS here");
        world.workers[0].shard.handle_datagram(world.now, Path::to(stranger()), &mut hello.clone());
    }
    assert!(world.workers[0].shard.poll_transmit(world.now).is_none());
}
