//! Permissions, channels and the way of a packet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{check_stun, method};
use stun_turn::{ExternalAddress, Limits, RelayPeer, ServerContext, Transport};

use crate::support::*;

const PEER: &str = "8.8.8.8:53";

fn lab_with_client() -> (Lab, Client, SocketAddr) {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    (lab, client, relay)
}

#[test]
fn without_a_permission_nothing_passes_either_way() {
    let (mut lab, mut client, relay) = lab_with_client();
    let indication = client.send(PEER, b"out");
    assert_eq!(lab.client(client.tuple, &indication), (None, vec![]));
    assert_eq!(lab.client(client.tuple, &channel_data(0x4000, b"out")), (None, vec![]));
    assert_eq!(lab.peer(relay, PEER, b"in"), None);
    assert_eq!(lab.shard.counters().dropped_without_permission, 3);
}

#[test]
fn indications_carry_data_both_ways() {
    let (mut lab, mut client, relay) = lab_with_client();
    assert_eq!(client.permit(&mut lab, &[PEER]), None);
    let indication = client.send(PEER, b"out");
    let expected = Sent::ToPeer {
        from: relay,
        to: PEER.parse().unwrap(),
        payload: b"out".to_vec(),
        dont_fragment: false,
    };
    assert_eq!(lab.client(client.tuple, &indication).0, Some(expected));
    // Another port of the same address is within the permission.
    let Some(Sent::ToClient { tuple, message }) = lab.peer(relay, "8.8.8.8:99", b"back!") else {
        panic!("not relayed");
    };
    assert_eq!(tuple, client.tuple);
    let indication = Response::read(&message);
    assert_eq!((indication.class, indication.method), (1, method::DATA));
    assert_eq!(indication.address(attr::XOR_PEER_ADDRESS), "8.8.8.8:99".parse().unwrap());
    assert_eq!(indication.get(attr::DATA), Some(&b"back!"[..]));
    assert_eq!(lab.peer(relay, "8.8.4.4:53", b"stranger"), None);
}

#[test]
fn permissions_last_five_minutes() {
    let (mut lab, mut client, relay) = lab_with_client();
    client.permit(&mut lab, &[PEER]);
    lab.pass(Duration::from_secs(299));
    assert!(lab.peer(relay, PEER, b"in").is_some());
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.peer(relay, PEER, b"in"), None);
    client.permit(&mut lab, &[PEER]);
    assert!(lab.peer(relay, PEER, b"in").is_some());
}

#[test]
fn channels_carry_data_both_ways_and_last_ten_minutes() {
    let (mut lab, mut client, relay) = lab_with_client();
    client.refresh(&mut lab, 3600);
    for channel in [0x4000, 0x5000, 0x7fff] {
        let peer = format!("8.8.8.8:{channel}");
        assert_eq!(client.bind(&mut lab, channel, &peer), None);
        let (sent, _) = lab.client(client.tuple, &channel_data(channel, b"out"));
        assert!(matches!(sent, Some(Sent::ToPeer { to, .. }) if to == peer.parse().unwrap()));
        let back = lab.peer(relay, &peer, b"back");
        let message = channel_data(channel, b"back");
        assert_eq!(back, Some(Sent::ToClient { tuple: client.tuple, message }), "unpadded on UDP");
    }
    lab.pass(Duration::from_secs(599));
    assert!(lab.client(client.tuple, &channel_data(0x4000, b"out")).0.is_some());
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:16384"), None, "the same again prolongs");
    lab.pass(Duration::from_secs(1));
    assert!(lab.client(client.tuple, &channel_data(0x4000, b"out")).0.is_some());
    assert_eq!(lab.client(client.tuple, &channel_data(0x5000, b"out")).0, None);
}

#[test]
fn channels_are_padded_on_streams() {
    let mut lab = Lab::new();
    let mut client = Client::over(Transport::Tls, "192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    client.bind(&mut lab, 0x4000, PEER);
    let Some(Sent::ToClient { message, .. }) = lab.peer(relay, PEER, b"12345") else { panic!("not relayed") };
    assert_eq!(message, [&channel_data(0x4000, b"12345")[..], &[0; 3]].concat());
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let (mut lab, mut client, _) = lab_with_client();
    assert_eq!(client.bind(&mut lab, 0x4000, PEER), None);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:54"), Some(400));
    assert_eq!(client.bind(&mut lab, 0x4001, PEER), Some(400));
    for outside in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(client.bind(&mut lab, outside, "8.8.8.8:55"), Some(400));
    }
    assert_eq!(client.request(&mut lab, method::CHANNEL_BIND, |_| {}).code, Some(400));
}

#[test]
fn peers_of_a_family_without_a_relay_are_443() {
    let (mut lab, mut client, _) = lab_with_client();
    assert_eq!(client.permit(&mut lab, &["[2001:4860::8]:53"]), Some(443));
    assert_eq!(client.bind(&mut lab, 0x4000, "[2001:4860::8]:53"), Some(443));
}

#[test]
fn denied_peers_are_403_in_every_request_and_all_or_nothing() {
    let (mut lab, mut client, relay) = lab_with_client();
    let denied = ["127.0.0.1:80", "10.0.0.1:80", "0.0.0.0:80", "169.254.169.254:80", "224.0.0.1:80", SERVER];
    for peer in denied {
        assert_eq!(client.permit(&mut lab, &[PEER, peer]), Some(403), "{peer}");
        assert_eq!(client.bind(&mut lab, 0x4000, peer), Some(403), "{peer}");
        let indication = client.send(peer, b"out");
        assert_eq!(lab.client(client.tuple, &indication).0, None, "{peer}");
    }
    assert_eq!(lab.peer(relay, PEER, b"in"), None, "the permitted one of a refused request is not installed");
    assert_eq!(client.permit(&mut lab, &[]), Some(400));
}

#[test]
fn permissions_and_channels_are_limited() {
    let mut settings = settings();
    settings.limits = Limits { permissions: 3, channels: 2, ..Limits::default() };
    let mut lab = Lab::with(settings);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    assert_eq!(client.permit(&mut lab, &["8.8.8.1:1", "8.8.8.2:1", "8.8.8.3:1", "8.8.8.4:1"]), Some(508));
    assert_eq!(client.permit(&mut lab, &["8.8.8.1:1", "8.8.8.2:1", "8.8.8.2:2"]), None);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.1:1"), None);
    assert_eq!(client.bind(&mut lab, 0x4001, "8.8.8.1:2"), None);
    assert_eq!(client.bind(&mut lab, 0x4002, "8.8.8.1:3"), Some(508));
    assert_eq!(client.permit(&mut lab, &["8.8.8.5:1"]), None);
    assert_eq!(client.permit(&mut lab, &["8.8.8.6:1"]), Some(508));
    lab.pass(Duration::from_mins(5));
    assert_eq!(client.permit(&mut lab, &["8.8.8.6:1"]), None, "expired ones make room");
}

#[test]
fn bandwidth_is_limited_by_allocation() {
    let mut settings = settings();
    settings.limits = Limits { bytes_per_second: Some(10_000), ..Limits::default() };
    let mut lab = Lab::with(settings);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    client.bind(&mut lab, 0x4000, PEER);
    let message = channel_data(0x4000, &[0; 1000]);
    let burst = |lab: &mut Lab| (0..100).filter(|_| lab.client(client.tuple, &message).0.is_some()).count();
    assert_eq!(burst(&mut lab), 10);
    lab.pass(Duration::from_millis(500));
    assert_eq!(burst(&mut lab), 5);
    assert_eq!(lab.shard.counters().dropped_by_bandwidth, 185);
}

#[test]
fn dont_fragment_goes_along() {
    let (mut lab, mut client, _) = lab_with_client();
    client.permit(&mut lab, &[PEER]);
    let mut message = stun_turn::wire::MessageBuilder::indication(method::SEND, client.transaction());
    message.xor_address(attr::XOR_PEER_ADDRESS, PEER.parse().unwrap());
    message.bytes(attr::DONT_FRAGMENT, &[]);
    message.bytes(attr::DATA, b"out");
    let (sent, _) = lab.client(client.tuple, &message.finish(None));
    assert!(matches!(sent, Some(Sent::ToPeer { dont_fragment: true, .. })));
}

#[test]
fn two_clients_of_the_relay_meet_without_a_socket() {
    let mut lab = Lab::new();
    let mut alice = Client::new("192.0.2.1:5000", "alice");
    let mut bob = Client::new("192.0.2.2:5000", "bob");
    let (relay_a, relay_b) = (alice.allocate(&mut lab), bob.allocate(&mut lab));
    assert_eq!(alice.bind(&mut lab, 0x4000, &relay_b.to_string()), None);
    assert_eq!(lab.client(alice.tuple, &channel_data(0x4000, b"hi")).0, None, "bob permits nobody yet");
    assert_eq!(bob.permit(&mut lab, &[&relay_a.to_string()]), None);
    let Some(Sent::ToClient { tuple, message }) = lab.client(alice.tuple, &channel_data(0x4000, b"hi")).0
    else {
        panic!("not relayed");
    };
    assert_eq!(tuple, bob.tuple);
    assert_eq!(Response::read(&message).address(attr::XOR_PEER_ADDRESS), relay_a);
    assert_eq!(lab.shard.counters().packets_in_process, 1);
}

#[test]
fn a_relay_of_another_shard_is_reached_through_it() {
    let (mut lab, mut client, relay) = lab_with_client();
    lab.context.directory.reserve(60_000);
    lab.context.directory.assign(60_000, 3);
    let to: SocketAddr = "198.51.100.1:60000".parse().unwrap();
    assert_eq!(client.bind(&mut lab, 0x4000, &to.to_string()), None);
    let (sent, _) = lab.client(client.tuple, &channel_data(0x4000, b"hi"));
    assert_eq!(sent, Some(Sent::ToShard { shard: 3, to, from: relay, payload: b"hi".to_vec() }));
}

#[test]
fn ports_of_this_machine_that_are_no_relays_stay_closed() {
    let (mut lab, mut client, relay) = lab_with_client();
    assert_eq!(client.permit(&mut lab, &["198.51.100.1:22"]), Some(403));
    lab.context.directory.reserve(60_000);
    lab.context.directory.assign(60_000, 3);
    assert_eq!(client.permit(&mut lab, &["198.51.100.1:60000"]), None);
    let indication = client.send("198.51.100.1:22", b"out");
    assert_eq!(lab.client(client.tuple, &indication).0, None);
    assert_eq!(lab.peer(relay, "198.51.100.1:22", b"in"), None);
    assert_eq!(lab.shard.counters().dropped_by_policy, 2);
}

#[derive(Debug, Default)]
struct Media(Mutex<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>);

impl RelayPeer for Media {
    fn serves(&self, address: SocketAddr) -> bool {
        address.port() == 7000
    }

    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.0.lock().unwrap().push((from, to, payload.to_vec()));
    }
}

#[test]
fn the_media_server_of_the_process_needs_no_socket() {
    let media: Arc<dyn RelayPeer> = Arc::new(Media::default());
    let mut settings = settings();
    // A service over TCP may have the same port number.
    settings.policy.own_services = vec!["0.0.0.0:7000".parse().unwrap()];
    let context = ServerContext {
        settings: Arc::new(settings),
        nonce_secret: [7; 32],
        media: Some(media),
        ..ServerContext::default()
    };
    let mut lab = Lab::with_context(context);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    let to: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    assert_eq!(client.bind(&mut lab, 0x4000, &to.to_string()), None);
    let (sent, _) = lab.client(client.tuple, &channel_data(0x4000, b"hi"));
    assert_eq!(sent, Some(Sent::ToMedia { to, from: relay, payload: b"hi".to_vec() }));
    let input = stun_turn::Input::Local { to: relay, from: to, payload: b"back" };
    assert!(lab.shard.handle_input(lab.now, input).is_some());
}

#[test]
fn own_media_is_reached_as_it_is_seen_from_outside() {
    let media: Arc<dyn RelayPeer> = Arc::new(Media::default());
    let mut settings = settings();
    settings.relays.external = vec![ExternalAddress { public: "5.5.5.5".parse().unwrap(), private: None }];
    let context = ServerContext {
        settings: Arc::new(settings),
        nonce_secret: [7; 32],
        media: Some(media),
        ..ServerContext::default()
    };
    let mut lab = Lab::with_context(context);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    assert_eq!(relay.ip(), "5.5.5.5".parse::<IpAddr>().unwrap());
    let to: SocketAddr = "5.5.5.5:7000".parse().unwrap();
    assert_eq!(client.bind(&mut lab, 0x4000, "5.5.5.5:7001"), Some(403), "no other port of it");
    assert_eq!(client.bind(&mut lab, 0x4000, &to.to_string()), None);
    let (sent, _) = lab.client(client.tuple, &channel_data(0x4000, b"hi"));
    assert_eq!(sent, Some(Sent::ToMedia { to, from: relay, payload: b"hi".to_vec() }));
    let input = stun_turn::Input::Local { to: relay, from: to, payload: b"back" };
    assert!(lab.shard.handle_input(lab.now, input).is_some());
}

#[test]
fn the_largest_datagram_makes_a_valid_message_or_none() {
    let (mut lab, mut client, relay) = lab_with_client();
    client.permit(&mut lab, &[PEER]);
    for length in [0, 1, 65_507, 65_535] {
        let payload = vec![1; length];
        if let Some(Sent::ToClient { message, .. }) = lab.peer(relay, PEER, &payload) {
            assert_eq!(check_stun(&message), Ok(()), "{length}");
        }
    }
}
