//! A relay on a machine without a default route, towards peers that can't be reached in every way there is: none hurts another. The
//! network is a namespace of the test's own, which needs root; without it nothing is tested.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, to fail is to tell"
)]

use std::net::UdpSocket;
use std::process::Command;

use stun_turn::{Config, Listener, Server};

mod common;
use common::{Client, HANG};

/// Set for the copy of this test that runs inside the namespace.
const INSIDE: &str = "UNREACHABLE_TEST_INSIDE";
const ADDRESS: &str = "192.0.2.1";
const ROUNDS: u8 = 200;

#[test]
fn peers_that_can_not_be_reached_hurt_no_other() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let can_isolate =
        Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
    if !can_isolate {
        eprintln!("no network namespace to be had (that needs root): nothing was tested");
        return;
    }
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "peers_that_can_not_be_reached_hurt_no_other", "--nocapture"])
        .env(INSIDE, "yes")
        .status()
        .unwrap();
    assert!(status.success(), "inside the namespace");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments}");
}

fn inside() {
    ip("link set lo up");
    ip("link add here type veth peer name there");
    ip("address add 192.0.2.1/24 dev here");
    ip("link set here up");
    ip("link set there up");
    ip("route add prohibit 198.51.100.1");
    ip("route add unreachable 198.51.100.2");
    ip("route add blackhole 198.51.100.3");
    let closed = UdpSocket::bind((ADDRESS, 0)).unwrap().local_addr().unwrap();
    let unreachable = [
        // ENETUNREACH: no route at all.
        "8.8.8.8:9".parse().unwrap(),
        // EACCES, EHOSTUNREACH, EINVAL by the routes above.
        "198.51.100.1:9".parse().unwrap(),
        "198.51.100.2:9".parse().unwrap(),
        "198.51.100.3:9".parse().unwrap(),
        // Nobody answers for it on the cable.
        "192.0.2.77:9".parse().unwrap(),
        // An ICMP error comes back.
        closed,
    ];

    let config = Config {
        listeners: vec![Listener::udp(format!("{ADDRESS}:0").parse().unwrap())],
        secrets: vec!["north".to_owned()],
        policy: stun_turn::PeerPolicy {
            allowed: vec!["0.0.0.0/0".parse().unwrap()],
            ..stun_turn::PeerPolicy::default()
        },
        shards: Some(1),
        ..Config::default()
    };
    let server = Server::bind(&config).unwrap();
    let handle = server.handle();
    let threads: Vec<_> = server
        .into_event_loops()
        .into_iter()
        .map(|event_loop| std::thread::spawn(|| event_loop.run()))
        .collect();

    let good = UdpSocket::bind((ADDRESS, 0)).unwrap();
    good.set_read_timeout(Some(HANG)).unwrap();
    let mut client = Client::allocate(handle.listeners()[0].address);
    client.bind(0x4000, good.local_addr().unwrap());
    for (channel, peer) in (0x4001..).zip(unreachable) {
        client.bind(channel, peer);
    }
    for round in 0..ROUNDS {
        // Before, after and in between, so that one batch holds both kinds.
        client.send(0x4000, &[round]);
        for channel in (0x4001..).take(unreachable.len()) {
            client.send(channel, &[round]);
            client.send(channel, &[round]);
        }
        client.send(0x4000, &[round]);
        for _ in 0..2 {
            let mut buffer = [0; 8];
            let (length, relay) = good.recv_from(&mut buffer).expect("relayed");
            assert_eq!(buffer[..length], [round]);
            good.send_to(&[round], relay).unwrap();
            assert_eq!(client.receive(), [0x40, 0, 0, 1, round]);
        }
    }
    // So many in a row that each of them would get a socket of its own.
    for peer in unreachable {
        let mut client = Client::allocate(handle.listeners()[0].address);
        client.bind(0x4000, good.local_addr().unwrap());
        client.bind(0x4001, peer);
        for round in 0..ROUNDS {
            client.send(0x4001, &[round]);
        }
        client.send(0x4000, b"!");
        let mut buffer = [0; 8];
        let (length, relay) = good.recv_from(&mut buffer).expect("relayed");
        assert_eq!(buffer[..length], *b"!", "{peer}");
        good.send_to(b"?", relay).unwrap();
        assert_eq!(client.receive(), [0x40, 0, 0, 1, b'?'], "{peer}");
    }
    assert!(handle.metrics().datagrams_dropped > 0, "some could not be sent");
    handle.stop();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}
