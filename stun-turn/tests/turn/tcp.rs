//! TCP allocations (RFC 6062).

use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::method;
use stun_turn::{ConnectionId, Features, Input, Output, PathId, PeerSocketId, RelayId, Transport};

use crate::support::*;

const PEER: &str = "8.8.8.8:80";

fn lab() -> (Lab, Client) {
    let mut settings = settings();
    settings.features = Features { tcp_allocations: true, ..Features::default() };
    let mut lab = Lab::with(settings);
    let mut client = Client::over(Transport::Tcp, "192.0.2.1:5000", "alice");
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    assert_eq!(response.code, None);
    (lab, client)
}

/// Sends a Connect, which is answered later, and gives the name of the connection.
fn connect(lab: &mut Lab, client: &mut Client) -> ConnectionId {
    let request = client.build(method::CONNECT, |message| {
        message.xor_address(attr::XOR_PEER_ADDRESS, PEER.parse().unwrap());
    });
    let (_, answers) = lab.client(client.tuple, &request);
    assert!(answers.is_empty(), "the answer waits for the peer");
    match lab.other.pop() {
        Some(Output::ConnectPeer { peer, connection, .. }) if peer == PEER.parse().unwrap() => connection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_connects_and_takes_the_connection_over() {
    let (mut lab, mut client) = lab();
    let connection = connect(&mut lab, &mut client);
    lab.shard.handle_input(lab.now, Input::PeerConnected { connection, socket: Some(PeerSocketId(5)) });
    let answer = Response::read(&lab.drain()[0].1);
    assert_eq!(answer.get(attr::CONNECTION_ID), Some(&connection.0.to_be_bytes()[..]));

    let mut thief = Client::over(Transport::Tcp, "192.0.2.9:5000", "mallory");
    let bind = |message: &mut stun_turn::wire::MessageBuilder| {
        message.bytes(attr::CONNECTION_ID, &connection.0.to_be_bytes());
    };
    assert_eq!(thief.request(&mut lab, method::CONNECTION_BIND, bind).code, Some(400));
    let mut data = Client::over(Transport::Tcp, "192.0.2.1:5001", "alice");
    assert_eq!(data.request(&mut lab, method::CONNECTION_BIND, bind).code, None);
    assert_eq!(lab.other.pop(), Some(Output::Splice { path: PathId(1), socket: PeerSocketId(5) }));
    assert_eq!(data.request(&mut lab, method::CONNECTION_BIND, bind).code, Some(400), "once only");
    client.refresh(&mut lab, 0);
    assert_eq!(lab.other.pop(), Some(Output::ClosePeer { socket: PeerSocketId(5) }));
}

#[test]
fn failures_and_repetitions_have_their_codes() {
    let (mut lab, mut client) = lab();
    let connection = connect(&mut lab, &mut client);
    let again = client.request(&mut lab, method::CONNECT, |message| {
        message.xor_address(attr::XOR_PEER_ADDRESS, PEER.parse().unwrap());
    });
    assert_eq!(again.code, Some(446));
    lab.shard.handle_input(lab.now, Input::PeerConnected { connection, socket: None });
    assert_eq!(Response::read(&lab.drain()[0].1).code, Some(447));
    let denied = client.request(&mut lab, method::CONNECT, |message| {
        message.xor_address(attr::XOR_PEER_ADDRESS, "127.0.0.1:80".parse().unwrap());
    });
    assert_eq!(denied.code, Some(403));
}

#[test]
fn a_peer_is_announced_if_permitted_and_dropped_if_nobody_comes() {
    let (mut lab, mut client) = lab();
    let relay = RelayId(0);
    let accept = |lab: &mut Lab, socket| {
        let from = PEER.parse().unwrap();
        lab.shard.handle_input(lab.now, Input::PeerAccepted { relay, socket: PeerSocketId(socket), from });
        lab.drain()
    };
    assert!(accept(&mut lab, 1).is_empty());
    assert_eq!(lab.other.pop(), Some(Output::ClosePeer { socket: PeerSocketId(1) }));
    client.permit(&mut lab, &[PEER]);
    let messages = accept(&mut lab, 2);
    let attempt = Response::read(&messages[0].1);
    assert_eq!((attempt.class, attempt.method), (1, method::CONNECTION_ATTEMPT));
    assert_eq!(attempt.address(attr::XOR_PEER_ADDRESS), PEER.parse().unwrap());
    lab.pass(Duration::from_secs(30));
    assert_eq!(lab.other.pop(), Some(Output::ClosePeer { socket: PeerSocketId(2) }));
}

#[test]
fn channels_are_not_for_tcp() {
    let (mut lab, mut client) = lab();
    assert_eq!(client.bind(&mut lab, 0x4000, PEER), Some(403));
}
