//! Relays that exist inside the process only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::method;
use stun_turn::{Features, Input, RelayPeer, ServerContext, Settings, Transport};

use crate::support::*;

/// The media server, at the port of the page and of the relay.
#[derive(Debug)]
struct Media;

const MEDIA: &str = "198.51.100.1:443";

impl RelayPeer for Media {
    fn serves(&self, address: SocketAddr) -> bool {
        address == MEDIA.parse().unwrap()
    }

    fn deliver(&self, _: SocketAddr, _: SocketAddr, _: &[u8]) {}
}

fn inside() -> Settings {
    let mut settings = settings();
    settings.policy.inside_only = true;
    settings.policy.own_addresses = vec!["198.51.100.1".parse().unwrap()];
    settings.policy.own_services = vec!["0.0.0.0:443".parse().unwrap()];
    settings
}

fn lab_with(settings: Settings) -> Lab {
    let media: Arc<dyn RelayPeer> = Arc::new(Media);
    Lab::with_context(ServerContext {
        settings: Arc::new(settings),
        nonce_secret: [7; 32],
        media: Some(media),
        ..ServerContext::default()
    })
}

#[test]
fn two_of_them_carry_a_call() {
    let mut lab = lab_with(inside());
    let mut alice = Client::new("192.0.2.1:5000", "alice");
    let mut bob = Client::new("192.0.2.2:5000", "bob");
    let (relay_a, relay_b) = (alice.allocate(&mut lab), bob.allocate(&mut lab));
    assert_eq!(relay_a.ip(), alice.tuple.server.ip(), "the server's own address");
    assert_eq!(alice.bind(&mut lab, 0x4000, &relay_b.to_string()), None);
    assert_eq!(lab.client(alice.tuple, &channel_data(0x4000, b"hi")).0, None, "bob permits nobody yet");
    assert_eq!(bob.permit(&mut lab, &[&relay_a.to_string()]), None);
    for indication in [channel_data(0x4000, b"hi"), alice.send(&relay_b.to_string(), b"hi")] {
        let Some(Sent::ToClient { tuple, message }) = lab.client(alice.tuple, &indication).0 else {
            panic!("not relayed");
        };
        assert_eq!(tuple, bob.tuple);
        assert_eq!(Response::read(&message).address(attr::XOR_PEER_ADDRESS), relay_a);
    }
    lab.pass(Duration::from_secs(301));
    assert_eq!(lab.client(alice.tuple, &channel_data(0x4000, b"hi")).0, None, "the permission has expired");
    // After the other relay is gone, its port is a peer like any other.
    bob.refresh(&mut lab, 0);
    assert_eq!(alice.permit(&mut lab, &[&relay_b.to_string()]), Some(403));
}

#[test]
fn the_media_server_is_reached_at_the_port_that_is_shared() {
    let mut lab = lab_with(inside());
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    let to: SocketAddr = MEDIA.parse().unwrap();
    assert_eq!(client.bind(&mut lab, 0x4000, MEDIA), None);
    let (sent, _) = lab.client(client.tuple, &channel_data(0x4000, b"hi"));
    assert_eq!(sent, Some(Sent::ToMedia { to, from: relay, payload: b"hi".to_vec() }));
    let input = Input::Local { to: relay, from: to, payload: b"back" };
    assert!(lab.shard.handle_input(lab.now, input).is_some());
}

#[test]
fn every_other_peer_is_403_whatever_the_operator_allows() {
    let mut settings = inside();
    settings.policy.allowed = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()];
    settings.policy.own_media = vec!["198.51.100.1:9000".parse().unwrap()];
    let mut lab = lab_with(settings);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    let port = relay.port();
    let same_port = [format!("8.8.8.8:{port}"), format!("10.0.0.1:{port}"), format!("[2001:4860::8]:{port}")];
    let others =
        ["8.8.8.8:53", "10.0.0.1:80", "127.0.0.1:443", "198.51.100.1:22", "198.51.100.1:9000", "0.0.0.0:443"];
    for peer in same_port.iter().map(String::as_str).chain(others) {
        let expected = if peer.starts_with('[') { 443 } else { 403 };
        assert_eq!(client.permit(&mut lab, &[MEDIA, peer]), Some(expected), "{peer}");
        assert_eq!(client.bind(&mut lab, 0x4000, peer), Some(expected), "{peer}");
        let indication = client.send(peer, b"out");
        assert_eq!(lab.client(client.tuple, &indication).0, None, "{peer}");
    }
    // A permission is for an address: other ports of the server's own stay closed behind it.
    assert_eq!(client.permit(&mut lab, &[MEDIA]), None);
    for peer in ["198.51.100.1:22", "198.51.100.1:9000", "198.51.100.1:444"] {
        let indication = client.send(peer, b"out");
        assert_eq!(lab.client(client.tuple, &indication).0, None, "{peer}");
    }
    assert_eq!(lab.shard.counters().packets_to_peers, 0);
}

#[test]
fn quotas_count_them_and_tcp_relays_do_not_exist() {
    let mut settings = inside();
    settings.limits.allocations_per_user = 1;
    settings.features = Features { tcp_allocations: true, ..Features::default() };
    let mut lab = lab_with(settings);
    let mut tcp = Client::over(Transport::Tcp, "192.0.2.1:5001", "alice");
    let refused = tcp.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    assert_eq!(refused.code, Some(442));
    let mut first = Client::new("192.0.2.1:5000", "alice");
    first.allocate(&mut lab);
    assert_eq!(lab.context.quotas.total(), 1);
    let second = Client::new("192.0.2.2:5000", "alice").request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    assert_eq!(second.code, Some(486));
    first.refresh(&mut lab, 0);
    assert_eq!(lab.context.quotas.total(), 0);
}

#[test]
fn a_tcp_relay_does_not_reach_the_servers_own_port() {
    let mut settings = inside();
    settings.policy.inside_only = false;
    // Even where the operator allows the address.
    settings.policy.allowed = vec!["198.51.100.0/24".parse().unwrap()];
    settings.features = Features { tcp_allocations: true, ..Features::default() };
    let mut lab = lab_with(settings);
    let mut client = Client::over(Transport::Tcp, "192.0.2.1:5000", "alice");
    let allocated = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    assert_eq!(allocated.code, None);
    let answer = client.request(&mut lab, method::CONNECT, |message| {
        message.xor_address(attr::XOR_PEER_ADDRESS, MEDIA.parse().unwrap());
    });
    assert_eq!(answer.code, Some(403));
    assert!(lab.other.is_empty(), "no connection is opened");
}
