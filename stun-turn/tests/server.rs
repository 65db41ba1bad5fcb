//! The drivers over real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, to fail is to tell"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, mpsc};

use socket2::{Domain, Socket, Type};
use stun_turn::testing::User;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{Frame, MessageBuilder, TransactionId, message_type, method, next_frame};
use stun_turn::{BindError, Config, Handle, Listener, RelayPeer, Server, Transport};

use common::{HANG, channel_bind, channel_data, relayed_addresses, user};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

struct Running {
    handle: Handle,
    threads: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let any = SocketAddr::from((LOOPBACK, 0));
        let mut config = Config {
            listeners: vec![Listener::udp(any), Listener::tcp(any)],
            secrets: vec!["north".to_owned()],
            shards: Some(1),
            ..Config::default()
        };
        change(&mut config);
        let server = Server::bind(&config).expect("sockets on loopback");
        let handle = server.handle();
        let threads =
            server.into_event_loops().into_iter().map(|event_loop| std::thread::spawn(|| event_loop.run()));
        Self { handle, threads: threads.collect() }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        self.handle.listeners().iter().find(|listener| listener.transport == transport).unwrap().address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Way {
    fn udp(server: &Running) -> Self {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        socket.connect(server.address(Transport::Udp)).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        Self::Udp(socket)
    }

    fn tcp(server: &Running) -> Self {
        let socket = TcpStream::connect(server.address(Transport::Tcp)).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        Self::Tcp(socket, Vec::new())
    }

    fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(message).unwrap(), message.len()),
            Self::Tcp(socket, _) => {
                // In pieces, so that frames are put together again.
                let (head, tail) = message.split_at(message.len() / 2);
                socket.write_all(head).unwrap();
                socket.write_all(tail).unwrap();
                socket.write_all(&[0; 3][..message.len().next_multiple_of(4) - message.len()]).unwrap();
            }
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        match self {
            Self::Udp(socket) => {
                let length = socket.recv(&mut buffer).expect("an answer");
                buffer.truncate(length);
                buffer
            }
            Self::Tcp(socket, received) => loop {
                if let Frame::Whole { message, consumed } = next_frame(received).unwrap() {
                    let frame = received[..message].to_vec();
                    received.drain(..consumed);
                    return frame;
                }
                let length = socket.read(&mut buffer).expect("an answer");
                assert_ne!(length, 0, "closed");
                received.extend(&buffer[..length]);
            },
        }
    }
}

struct Client {
    way: Way,
    user: User,
}

impl Client {
    fn new(way: Way, name: &str) -> Self {
        Self { way, user: user(name, 4_000_000_000) }
    }

    /// The error code, or the answer.
    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Result<Vec<u8>, u16> {
        let Self { way, user } = self;
        let exchange = |message: &[u8]| {
            way.send(message);
            way.receive()
        };
        user.request(method, fill, exchange).map_err(|refused| refused.code)
    }

    fn allocate(&mut self) -> SocketAddr {
        let answer = self.request(method::ALLOCATE, |m| m.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]));
        relayed_addresses(&answer.expect("a relay"))[0]
    }

    fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<Vec<u8>, u16> {
        self.request(method::CHANNEL_BIND, channel_bind(channel, peer))
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket
}

fn open_loopback(config: &mut Config) {
    config.policy.allowed = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
}

#[test]
fn binding_tells_the_address_over_udp_and_tcp() {
    let server = Running::start(|_| {});
    for mut way in [Way::udp(&server), Way::tcp(&server)] {
        way.send(&MessageBuilder::request(method::BINDING, TransactionId([3; 12])).finish(None));
        let answer = way.receive();
        assert_eq!(message_type(&answer), Some((2, method::BINDING)));
    }
}

#[test]
fn packets_go_both_ways_over_udp_and_tcp() {
    let server = Running::start(open_loopback);
    for way in [Way::udp(&server), Way::tcp(&server)] {
        let peer = peer();
        let mut client = Client::new(way, "alice");
        let relay = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap()).unwrap();
        for length in [0, 1, 2, 3, 160, 1_000, 1_400, 9_000] {
            let payload = vec![u8::try_from(length % 251).unwrap(); length];
            client.way.send(&channel_data(0x4000, &payload));
            let mut buffer = [0; 10_000];
            let (received, from) = peer.recv_from(&mut buffer).expect("relayed");
            assert_eq!((&buffer[..received], from), (&payload[..], relay));
            peer.send_to(&payload, relay).unwrap();
            assert_eq!(client.way.receive(), channel_data(0x4000, &payload));
        }
    }
    assert_eq!(server.handle.metrics().datagrams_dropped, 0);
}

#[test]
fn both_families_are_relayed_on_loopback() {
    let server = Running::start(open_loopback);
    let mut client = Client::new(Way::udp(&server), "alice");
    let answer = client.request(method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        message.bytes(attr::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    let relays = relayed_addresses(&answer.unwrap());
    assert_eq!(relays.len(), 2);
    let peer = UdpSocket::bind("[::1]:0").unwrap();
    peer.set_read_timeout(Some(HANG)).unwrap();
    client.bind(0x4000, peer.local_addr().unwrap()).unwrap();
    client.way.send(&channel_data(0x4000, b"six"));
    let (_, from) = peer.recv_from(&mut [0; 10]).unwrap();
    assert_eq!(from, relays[1]);
}

/// A peer that nobody answers for, one without a route and one that refuses: none of them may hurt another.
#[test]
fn errors_towards_one_peer_hurt_no_other() {
    let server = Running::start(|config| {
        config.policy.allowed = vec!["0.0.0.0/0".parse().unwrap()];
    });
    let good = peer();
    let closed = peer().local_addr().unwrap();
    let mut client = Client::new(Way::udp(&server), "alice");
    client.allocate();
    client.bind(0x4000, good.local_addr().unwrap()).unwrap();
    client.bind(0x4001, closed).unwrap();
    // From a socket bound to loopback there is no way to these: EINVAL, ENETUNREACH, EACCES.
    for (channel, unreachable) in
        [(0x4002, "192.0.2.1:9"), (0x4003, "240.0.0.1:9"), (0x4004, "255.255.255.255:9")]
    {
        client.bind(channel, unreachable.parse().unwrap()).unwrap();
    }
    for round in 0..200_u8 {
        for channel in 0x4001..=0x4004 {
            client.way.send(&channel_data(channel, b"lost"));
        }
        client.way.send(&channel_data(0x4000, &[round]));
        let mut buffer = [0; 10];
        assert_eq!(good.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], round);
    }
}

#[test]
fn two_clients_on_two_shards_reach_each_other() {
    let server = Running::start(|config| config.shards = Some(4));
    for round in 0..8_u8 {
        let mut alice = Client::new(Way::udp(&server), "alice");
        let mut bob = Client::new(Way::tcp(&server), "bob");
        let (a, b) = (alice.allocate(), bob.allocate());
        alice.bind(0x4000, b).unwrap();
        bob.bind(0x4000, a).unwrap();
        alice.way.send(&channel_data(0x4000, &[round]));
        assert_eq!(bob.way.receive(), channel_data(0x4000, &[round]));
        bob.way.send(&channel_data(0x4000, &[round, round]));
        assert_eq!(alice.way.receive(), channel_data(0x4000, &[round, round]));
    }
}

/// A media server of the process: it has no socket at all.
#[derive(Debug)]
struct Media {
    address: SocketAddr,
    delivered: Mutex<mpsc::SyncSender<(SocketAddr, SocketAddr, Vec<u8>)>>,
}

impl RelayPeer for Media {
    fn serves(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn deliver(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.delivered.lock().unwrap().send((from, to, payload.to_vec())).unwrap();
    }
}

#[test]
fn a_media_server_without_a_socket_is_reached_and_answers() {
    for shards in [1, 4] {
        let address = SocketAddr::from((LOOPBACK, 9));
        let (delivered, deliveries) = mpsc::sync_channel(16);
        let server = Running::start(|config| {
            config.shards = Some(shards);
            config.media = Some(Arc::new(Media { address, delivered: Mutex::new(delivered) }));
        });
        for way in [Way::udp(&server), Way::tcp(&server)] {
            let mut client = Client::new(way, "alice");
            let relay = client.allocate();
            client.bind(0x4000, address).unwrap();
            for length in [1, 160, 1_200] {
                let payload = vec![7; length];
                client.way.send(&channel_data(0x4000, &payload));
                assert_eq!(deliveries.recv_timeout(HANG).unwrap(), (relay, address, payload.clone()));
                assert!(server.handle.send_to_relay(address, relay, &payload));
                assert_eq!(client.way.receive(), channel_data(0x4000, &payload));
            }
            let nobody = SocketAddr::new(relay.ip(), 1);
            assert!(!server.handle.send_to_relay(address, nobody, b"lost"));
        }
    }
}

#[test]
fn loopback_is_denied_by_default_but_for_relays() {
    let server = Running::start(|_| {});
    let mut client = Client::new(Way::udp(&server), "alice");
    client.allocate();
    for denied in
        [peer().local_addr().unwrap(), server.address(Transport::Udp), "10.0.0.1:80".parse().unwrap()]
    {
        assert_eq!(client.bind(0x4000, denied), Err(403), "{denied}");
    }
    let mut other = Client::new(Way::udp(&server), "bob");
    assert!(client.bind(0x4000, other.allocate()).is_ok());
}

#[test]
fn little_waits_for_a_client_that_does_not_read() {
    let server = Running::start(open_loopback);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.connect(&server.address(Transport::Tcp).into()).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    let mut client = Client::new(Way::Tcp(socket.into(), Vec::new()), "alice");
    let mut other = Client::new(Way::udp(&server), "bob");
    let relay = client.allocate();
    let peer = peer();
    client.bind(0x4000, peer.local_addr().unwrap()).expect("a channel");
    for _ in 0..400 {
        for _ in 0..10 {
            peer.send_to(&[7; 1000], relay).unwrap();
        }
        // The shard has taken them when it answers somebody else.
        let _ = other.request(method::REFRESH, |_| ());
    }
    // From now on the client reads, up to the answer to what it asks for last.
    let mut waited = 0;
    let transaction = TransactionId([0xee; 12]);
    client.way.send(&MessageBuilder::request(method::BINDING, transaction).finish(None));
    loop {
        let message = client.way.receive();
        if message[..2] != [0x40, 0] {
            break;
        }
        waited += message.len();
    }
    assert!((100_000..600_000).contains(&waited), "{waited} of 4,016,000 bytes");
}

#[test]
fn relays_close_when_their_stream_does() {
    let server = Running::start(open_loopback);
    let mut client = Client::new(Way::tcp(&server), "alice");
    let relay = client.allocate();
    assert!(server.handle.is_relay(relay));
    drop(client);
    // The port is free once the server has seen the end; until then it cannot be bound.
    while server.handle.is_relay(relay) {
        std::thread::yield_now();
    }
    UdpSocket::bind(relay).expect("free again");
}

#[test]
fn draining_refuses_new_relays_and_keeps_old_ones() {
    let server = Running::start(open_loopback);
    let mut old = Client::new(Way::udp(&server), "alice");
    old.allocate();
    server.handle.drain(None, None);
    let code = loop {
        let mut new = Client::new(Way::udp(&server), "bob");
        let answer = new.request(method::ALLOCATE, |m| m.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]));
        if let Err(code) = answer {
            break code;
        }
    };
    assert_eq!(code, 508);
    assert!(old.request(method::REFRESH, |m| m.bytes(attr::LIFETIME, &600_u32.to_be_bytes())).is_ok());
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let server = Running::start(|_| {});
    let address = server.address(Transport::Udp);
    let config = Config { listeners: vec![Listener::udp(address)], ..Config::default() };
    assert!(
        matches!(Server::bind(&config), Err(BindError::Listen { address: taken, .. }) if taken == address)
    );
}

#[test]
fn a_stream_that_makes_no_sense_is_closed() {
    let server = Running::start(|_| {});
    let mut socket = TcpStream::connect(server.address(Transport::Tcp)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.write_all(&[0xff; 100]).unwrap();
    let ended = socket.read(&mut [0; 10]);
    assert!(
        matches!(ended, Ok(0))
            || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    );
}
