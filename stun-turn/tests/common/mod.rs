//! A client over UDP, for tests over real sockets, and what other clients share with it.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_turn::credentials;
use stun_turn::testing::User;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, attributes, method};

/// So long that only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A user whom every server with the secret "north" knows.
pub(crate) fn user(name: &str, expires_at: u64) -> User {
    let pair = credentials::ephemeral("north", name, expires_at);
    User::new(&pair.username, &pair.password)
}

/// The addresses of the relays in an answer.
pub(crate) fn relayed_addresses(answer: &[u8]) -> Vec<SocketAddr> {
    let mask = attr::xor_mask(answer).unwrap();
    let found = attributes(answer).filter(|(kind, _)| *kind == attr::XOR_RELAYED_ADDRESS);
    found.map(|(_, value)| attr::read_xor_address(value, &mask).unwrap()).collect()
}

pub(crate) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = channel.to_be_bytes().to_vec();
    message.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    message.extend(payload);
    message
}

/// Binds a channel to a peer: what a request for it contains.
pub(crate) fn channel_bind(channel: u16, peer: SocketAddr) -> impl Fn(&mut MessageBuilder) {
    let [high, low] = channel.to_be_bytes();
    move |message| {
        message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
        message.xor_address(attr::XOR_PEER_ADDRESS, peer);
    }
}

/// A client with a relay.
pub(crate) struct Client {
    socket: UdpSocket,
    user: User,
    pub(crate) relay: SocketAddr,
}

impl Client {
    /// Gets a relay of the server's family.
    pub(crate) fn allocate(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        let mut client = Self { socket, user: user("alice", 4_000_000_000), relay: server };
        let answer = client.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            if server.is_ipv6() {
                message.bytes(attr::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
            }
        });
        client.relay = *relayed_addresses(&answer).first().expect("a relay");
        client
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        receive(&self.socket)
    }

    pub(crate) fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Vec<u8> {
        let Self { socket, user, .. } = self;
        let exchange = |message: &[u8]| {
            socket.send(message).unwrap();
            receive(socket)
        };
        user.request(method, fill, exchange).expect("not refused")
    }

    pub(crate) fn bind(&mut self, channel: u16, peer: SocketAddr) {
        self.request(method::CHANNEL_BIND, channel_bind(channel, peer));
    }

    /// Gives the relay back.
    pub(crate) fn end(&mut self) {
        self.request(method::REFRESH, |message| message.bytes(attr::LIFETIME, &[0; 4]));
    }

    pub(crate) fn send(&self, channel: u16, payload: &[u8]) {
        self.socket.send(&channel_data(channel, payload)).unwrap();
    }
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2_048];
    let length = socket.recv(&mut buffer).expect("an answer");
    buffer.truncate(length);
    buffer
}
