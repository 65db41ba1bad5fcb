//! A client over UDP, for tests over real sockets.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};
use stun_turn::{IntegrityAlgorithm, Key, PasswordAlgorithm, credentials};

/// So long that only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A client with a relay.
pub(crate) struct Client {
    socket: UdpSocket,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    transactions: u8,
    pub(crate) relay: SocketAddr,
}

impl Client {
    /// Gets a relay of the server's family. The secret is "north".
    pub(crate) fn allocate(server: SocketAddr) -> Self {
        let pair = credentials::ephemeral("north", "alice", 4_000_000_000);
        let key =
            Key::new(PasswordAlgorithm::Md5, pair.username.as_bytes(), b"visavis", pair.password.as_bytes());
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        let username = pair.username;
        let mut client = Self { socket, username, key, nonce: Vec::new(), transactions: 0, relay: server };
        let answer = client.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            if server.is_ipv6() {
                message.bytes(attr::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
            }
        });
        let (_, relay) =
            attributes(&answer).find(|(kind, _)| *kind == attr::XOR_RELAYED_ADDRESS).expect("a relay");
        client.relay = attr::read_xor_address(relay, &attr::xor_mask(&answer).unwrap()).unwrap();
        client
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2_048];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        buffer.truncate(length);
        buffer
    }

    pub(crate) fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Vec<u8> {
        loop {
            self.transactions += 1;
            let mut message = MessageBuilder::request(method, TransactionId([self.transactions; 12]));
            fill(&mut message);
            message.bytes(attr::USERNAME, self.username.as_bytes());
            message.bytes(attr::REALM, b"visavis");
            message.bytes(attr::NONCE, &self.nonce);
            self.socket.send(&message.finish(Some((&self.key, IntegrityAlgorithm::Sha1)))).unwrap();
            let answer = self.receive();
            let Some((_, error)) = attributes(&answer).find(|(kind, _)| *kind == attr::ERROR_CODE) else {
                return answer;
            };
            let nonce = attributes(&answer).find(|(kind, _)| *kind == attr::NONCE);
            let (_, nonce) = nonce.unwrap_or_else(|| panic!("refused: {}", String::from_utf8_lossy(error)));
            assert_ne!(nonce, self.nonce, "refused twice");
            self.nonce = nonce.to_vec();
        }
    }

    pub(crate) fn bind(&mut self, channel: u16, peer: SocketAddr) {
        let [high, low] = channel.to_be_bytes();
        self.request(method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        });
    }

    /// Gives the relay back.
    pub(crate) fn end(&mut self) {
        self.request(method::REFRESH, |message| message.bytes(attr::LIFETIME, &[0; 4]));
    }

    pub(crate) fn send(&self, channel: u16, payload: &[u8]) {
        let mut message = channel.to_be_bytes().to_vec();
        message.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        message.extend(payload);
        self.socket.send(&message).unwrap();
    }
}
