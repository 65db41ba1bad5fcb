//! A packet on its way through the state machine allocates nothing, whichever way it goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, to fail is to tell")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, method};
use stun_turn::{
    Config, FiveTuple, Input, Listener, OpenedRelay, OpenedRelays, Output, PathId, RelayId, Relayed, Server,
    ServerContext, Settings, Shard, Transport,
};

mod common;
use common::{HANG, channel_bind, user};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Threads that are ending have no counter any more, and nothing to count.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "an allocator can't be counted in any other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn answer(shard: &mut Shard, now: Instant) -> Vec<u8> {
    loop {
        match shard.poll_output().expect("an answer") {
            Output::Transmit { message, .. } => return message,
            Output::OpenRelay { opening, .. } => {
                let bound = SocketAddr::from(([198, 51, 100, 1], 50_000));
                let relay = OpenedRelay { id: RelayId(0), bound };
                let result = Ok(OpenedRelays { relay, additional: None, reservation: None });
                shard.handle_input(now, Input::RelayOpened { opening, result });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
fn relayed_packets_allocate_nothing() {
    let now = Instant::now();
    let mut settings = Settings::default();
    settings.credentials.secrets = vec!["north".to_owned()];
    let context = ServerContext { settings: Arc::new(settings), ..ServerContext::default() };
    let mut shard = Shard::new(context, 0, now, Duration::from_hours(500_000), 1);
    let tuple = FiveTuple {
        transport: Transport::Udp,
        client: "192.0.2.1:5000".parse().unwrap(),
        server: "198.51.100.1:3478".parse().unwrap(),
    };
    let mut user = user("alice", 1_800_003_600);
    let mut request = |method, fill: &dyn Fn(&mut MessageBuilder)| {
        let exchange = |message: &[u8]| {
            shard.handle_input(now, Input::Client { tuple, path: PathId(0), message });
            answer(&mut shard, now)
        };
        user.request(method, fill, exchange).expect("an answer");
    };
    let peer: SocketAddr = "8.8.8.8:53".parse().unwrap();
    let other: SocketAddr = "8.8.8.8:54".parse().unwrap();
    request(method::ALLOCATE, &|message| message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]));
    request(method::CHANNEL_BIND, &channel_bind(0x4000, peer));
    let payload = [7; 1000];
    let channel_data = [&[0x40, 0, 0x03, 0xe8][..], &payload].concat();
    let mut send = MessageBuilder::indication(method::SEND, TransactionId([9; 12]));
    send.xor_address(attr::XOR_PEER_ADDRESS, other);
    send.bytes(attr::DATA, &payload);
    let send = send.finish(None);

    let relay = RelayId(0);
    let inputs = [
        Input::Client { tuple, path: PathId(0), message: &channel_data },
        Input::Client { tuple, path: PathId(0), message: &send },
        Input::Peer { relay, from: peer, payload: &payload },
        Input::Peer { relay, from: other, payload: &payload },
    ];
    let before = ALLOCATIONS.get();
    for round in 0..10_000 {
        let now = now + Duration::from_millis(round / 100);
        for input in inputs {
            let relayed = shard.handle_input(now, input);
            assert!(matches!(relayed, Some(Relayed::ToPeer { .. } | Relayed::ToClient { .. })));
        }
        // What is dropped allocates nothing either.
        let stranger = FiveTuple { client: "192.0.2.2:5000".parse().unwrap(), ..tuple };
        let input = Input::Client { tuple: stranger, path: PathId(0), message: &channel_data };
        assert!(shard.handle_input(now, input).is_none());
        assert!(
            shard
                .handle_input(
                    now,
                    Input::Peer { relay, from: "9.9.9.9:9".parse().unwrap(), payload: &payload }
                )
                .is_none()
        );
        assert!(shard.poll_output().is_none());
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// What a shard's thread allocates from its start to its end, with `packets` relayed each way.
fn allocations_of_a_shard(packets: u32) -> u64 {
    let mut config = Config {
        listeners: vec![Listener::udp("127.0.0.1:0".parse().unwrap())],
        secrets: vec!["north".to_owned()],
        shards: Some(1),
        ..Config::default()
    };
    config.policy.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::bind(&config).unwrap();
    let handle = server.handle();
    let event_loop = server.into_event_loops().remove(0);
    let shard = std::thread::spawn(|| {
        event_loop.run().unwrap();
        ALLOCATIONS.get()
    });
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(HANG)).unwrap();
    let mut client = common::Client::allocate(handle.listeners().first().unwrap().address);
    client.bind(0x4000, peer.local_addr().unwrap());
    for _ in 0..packets {
        client.send(0x4000, &[7; 1000]);
        let mut buffer = [0; 1500];
        let (length, relay) = peer.recv_from(&mut buffer).expect("relayed");
        peer.send_to(buffer.get(..length).unwrap(), relay).unwrap();
        assert_eq!(client.receive().len(), 1004);
    }
    handle.stop();
    shard.join().unwrap()
}

#[test]
fn relayed_packets_allocate_nothing_on_their_way_through_the_sockets() {
    // Some, so that all that grows has grown, and the peer has a socket of its own.
    assert_eq!(allocations_of_a_shard(300), allocations_of_a_shard(3_000));
}
