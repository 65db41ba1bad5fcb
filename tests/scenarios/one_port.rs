//! Everything on one port: the page, media, STUN and TURN, with relays that open no port.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use stun_turn::testing::User;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};
use tests::client::Ws;
use tests::{Visavis, request, run};

/// Much longer than any expected wait: reached only on failure.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);
const OFFER: &str = include_str!("offers/chromium-156-publish.sdp");

/// How a client reaches the relay.
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A client of the relay, with the credentials that the server gave it.
struct Client {
    line: Line,
    user: User,
}

impl Client {
    fn over_udp(server: &Visavis) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.addr).unwrap();
        socket.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self { line: Line::Udp(socket), user: user(server) }
    }

    fn over_tcp(server: &Visavis) -> Self {
        let stream = TcpStream::connect(server.addr).unwrap();
        stream.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self { line: Line::Tcp(stream), user: user(server) }
    }

    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Result<Vec<u8>, u16> {
        let Self { line, user } = self;
        let exchange = |message: &[u8]| {
            line.send(message);
            line.receive()
        };
        user.request(method, fill, exchange).map_err(|refused| refused.code)
    }

    /// Gets a relay, by its address.
    fn allocate(&mut self) -> SocketAddr {
        let answer = self.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        address(&answer.unwrap(), attr::XOR_RELAYED_ADDRESS)
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        let fill = |message: &mut MessageBuilder| message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        self.request(method::CREATE_PERMISSION, fill).map(|_| ())
    }

    fn bind(&mut self, peer: SocketAddr) -> Result<(), u16> {
        let bound = self.request(method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        });
        bound.map(|_| ())
    }
}

impl Line {
    fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(message).unwrap(), message.len()),
            Self::Tcp(stream) => stream.write_all(message).unwrap(),
        }
    }

    /// A message of STUN, or four bytes in a channel.
    fn receive(&mut self) -> Vec<u8> {
        let mut message = vec![0; 1_500];
        let length = match self {
            Self::Udp(socket) => socket.recv(&mut message).unwrap(),
            Self::Tcp(stream) => {
                stream.read_exact(&mut message[..4]).unwrap();
                let body = usize::from(u16::from_be_bytes([message[2], message[3]]));
                let length = if message[0] < 0x40 { 20 + body } else { 4 + body };
                stream.read_exact(&mut message[4..length]).unwrap();
                length
            }
        };
        message.truncate(length);
        message
    }
}

fn user(server: &Visavis) -> User {
    let output = run(server.folder().path(), &["turn-credentials", "--user", "tool"], &[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    User::new(line("username"), line("password"))
}

fn address(message: &[u8], kind: u16) -> SocketAddr {
    let mask = attr::xor_mask(message).unwrap();
    let (_, value) = attributes(message).find(|(found, _)| *found == kind).unwrap();
    attr::read_xor_address(value, &mask).unwrap()
}

fn binding() -> Vec<u8> {
    MessageBuilder::request(method::BINDING, TransactionId([7; 12])).finish(None)
}

fn channel(payload: [u8; 4]) -> Vec<u8> {
    [&[0x40, 0, 0, 4], payload.as_slice()].concat()
}

/// All URLs of a list of ICE servers.
fn urls(servers: &Value) -> Vec<&str> {
    let lists = servers.as_array().unwrap().iter().map(|server| server["urls"].as_array().unwrap());
    lists.flatten().map(|url| url.as_str().unwrap()).collect()
}

/// The addresses and transports of the media server in a description.
fn candidates(sdp: &str) -> Vec<(&str, &str)> {
    let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            (words[2], words[5])
        })
        .collect()
}

#[test]
fn two_relays_that_open_no_port_carry_a_call() {
    let server = Visavis::start(&["--one-port"]);
    assert_eq!(server.logged_addr("STUN and TURN ready"), server.addr);
    assert_eq!(server.logged_addr("media server ready"), server.addr);
    let clients = [Client::over_udp, Client::over_tcp];
    for (first, second) in [(0, 0), (0, 1), (1, 1)] {
        let (mut alice, mut bob) = (clients[first](&server), clients[second](&server));
        let (here, there) = (alice.allocate(), bob.allocate());
        assert_eq!((here.ip(), there.ip()), (server.addr.ip(), server.addr.ip()));
        assert!(UdpSocket::bind(here).is_ok(), "nothing listens at {here}");
        alice.bind(there).unwrap();
        bob.bind(here).unwrap();
        alice.line.send(&channel(*b"ping"));
        assert_eq!(bob.line.receive(), channel(*b"ping"));
        bob.line.send(&channel(*b"pong"));
        assert_eq!(alice.line.receive(), channel(*b"pong"));
    }
}

#[test]
fn relays_reach_media_and_one_another_alone() {
    let server = Visavis::start(&["--one-port", "--turn-allow-peer", "127.0.0.0/8"]);
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = Client::over_udp(&server);
    client.allocate();
    for peer in [elsewhere.local_addr().unwrap(), "8.8.8.8:53".parse().unwrap()] {
        assert_eq!((client.permit(peer), client.bind(peer)), (Err(403), Err(403)), "{peer}");
    }
    client.permit(server.addr).unwrap();
    // TURN is not the media server's, so nobody answers it at the end of this path: what comes back is the answer to the
    // request behind it.
    let mut nested = MessageBuilder::indication(method::SEND, TransactionId([9; 12]));
    nested.xor_address(attr::XOR_PEER_ADDRESS, server.addr);
    nested.bytes(attr::DATA, &binding());
    client.line.send(&nested.finish(None));
    assert_eq!(client.bind(server.addr), Ok(()));

    let open = Visavis::start(&["--one-port", "--turn-relay", "ports", "--turn-allow-peer", "127.0.0.0/8"]);
    let mut client = Client::over_udp(&open);
    let relay = client.allocate();
    assert!(UdpSocket::bind(relay).is_err(), "a port is open at {relay}");
    client.bind(elsewhere.local_addr().unwrap()).unwrap();
    client.line.send(&channel(*b"ping"));
    let mut buffer = [0; 16];
    elsewhere.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
    assert_eq!(elsewhere.recv_from(&mut buffer).unwrap(), (4, relay));
}

#[test]
fn strangers_are_told_their_address_and_no_more() {
    let server = Visavis::start(&["--one-port"]);
    let mut client = Client::over_udp(&server);
    // A check for a connection that does not exist, garbage, and the beginning of DTLS, for which only clients that ICE has
    // validated are heard.
    let mut check = MessageBuilder::request(method::BINDING, TransactionId([8; 12]));
    check.bytes(attr::USERNAME, b"AAabcdefghijklmn:abcd");
    let hello = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60][..], &[1; 60]].concat();
    for message in [check.finish(None), vec![0x80; 200], vec![0; 3], hello] {
        client.line.send(&message);
    }
    client.line.send(&binding());
    let answer = client.line.receive();
    assert_eq!(answer[..2], [0x01, 0x01], "the first answer is the last question's");
    let Line::Udp(socket) = &client.line else { unreachable!("it came over UDP") };
    assert_eq!(address(&answer, attr::XOR_MAPPED_ADDRESS), socket.local_addr().unwrap());
}

#[test]
fn clients_are_told_the_public_port_and_no_udp_server_beside_the_media() {
    let mapped = ["--one-port", "--public-url", "http://calls.example:4443"];
    let everywhere = ["--listen", "0.0.0.0:0", "--turn-listen", "0.0.0.0:0"];
    // A server on loopback with a public URL has a proxy in front, whose TCP port carries HTTP alone.
    for (arguments, port, is_proxied) in [
        (mapped[..1].to_vec(), None, false),
        ([&mapped[..], &everywhere].concat(), Some(4443), false),
        (mapped.to_vec(), Some(4443), true),
    ] {
        let server = Visavis::start(&arguments);
        let port = port.unwrap_or(server.addr.port());
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": "stage", "name": "Ada"}));
        let welcome = ws.until("welcome");
        let headers = [("content-type", "application/sdp")];
        let answer = request(server.addr, "POST", "/whip/stage", &headers, Some(OFFER.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        ws.until("peer-joined");
        let found = candidates(&answer.body);
        let told = port.to_string();
        assert!(!found.is_empty() && found.iter().all(|(_, port)| *port == told), "{arguments:?}: {found:?}");
        assert_eq!(found.iter().any(|(kind, _)| *kind == "tcp"), !is_proxied, "{arguments:?}: {found:?}");
        let (known, links) = (&welcome["iceServers"], answer.headers("link"));
        assert!(urls(known).iter().all(|url| url.ends_with("?transport=tcp")), "{arguments:?}: {known}");
        assert_eq!(links.len(), urls(known).len());
        assert!(links.iter().all(|link| link.contains("?transport=tcp>")), "{arguments:?}: {links:?}");
        assert_eq!(urls(known).is_empty(), is_proxied, "{arguments:?}: {known}");
        let for_peers = urls(&welcome["peerIceServers"]);
        let ends_with = |url: &str, end: &str| url.ends_with(&format!(":{port}{end}"));
        assert!(for_peers[0].starts_with("stun:") && ends_with(for_peers[0], ""), "{for_peers:?}");
        assert!(
            for_peers[1].starts_with("turn:") && ends_with(for_peers[1], "?transport=udp"),
            "{for_peers:?}"
        );
        assert_eq!(for_peers[2..], urls(known));
    }
    let without = Visavis::start(&["--one-port", "--no-sfu"]);
    let (_ws, welcome) = Ws::join(without.addr, "stage", "Ada");
    assert!(welcome["peerIceServers"].is_null());
    assert_eq!(urls(&welcome["iceServers"])[0], format!("stun:{}", without.addr));
    Client::over_udp(&without).allocate();
}
