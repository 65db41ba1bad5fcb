//! A user of a server, and a client over UDP for tests over real sockets.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::indexing_slicing, reason = "in a test, to fail is to tell")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};
use stun_turn::{IntegrityAlgorithm, Key, PasswordAlgorithm, credentials};

/// So long that only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A user whom every server with the secret "north" knows, and the nonce that it was last given.
pub(crate) struct User {
    name: String,
    key: Key,
    nonce: Vec<u8>,
    transactions: u32,
}

impl User {
    pub(crate) fn new(name: &str, expires_at: u64) -> Self {
        let pair = credentials::ephemeral("north", name, expires_at);
        let (name, password) = (pair.username, pair.password);
        let key = Key::new(PasswordAlgorithm::Md5, name.as_bytes(), b"visavis", password.as_bytes());
        Self { name, key, nonce: Vec::new(), transactions: 0 }
    }

    /// Sends a request by `exchange`, which gives the answer, and once more if there is a new nonce: the error code, or the answer.
    pub(crate) fn request(
        &mut self,
        method: u16,
        fill: impl Fn(&mut MessageBuilder),
        mut exchange: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Vec<u8>, u16> {
        loop {
            self.transactions += 1;
            let mut transaction = [0; 12];
            transaction[..4].copy_from_slice(&self.transactions.to_be_bytes());
            let mut message = MessageBuilder::request(method, TransactionId(transaction));
            fill(&mut message);
            message.bytes(attr::USERNAME, self.name.as_bytes());
            message.bytes(attr::REALM, b"visavis");
            message.bytes(attr::NONCE, &self.nonce);
            let answer = exchange(&message.finish(Some((&self.key, IntegrityAlgorithm::Sha1))));
            let found = |kind| attributes(&answer).find(|(found, _)| *found == kind).map(|(_, value)| value);
            let code = found(attr::ERROR_CODE).map(|value| u16::from(value[2]) * 100 + u16::from(value[3]));
            match (code, found(attr::NONCE)) {
                (Some(401 | 438), Some(nonce)) if nonce != self.nonce => self.nonce = nonce.to_vec(),
                (Some(code), _) => return Err(code),
                (None, _) => {
                    assert!(self.key.signed(&answer), "the answer is signed");
                    return Ok(answer);
                }
            }
        }
    }
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
        let mut client = Self { socket, user: User::new("alice", 4_000_000_000), relay: server };
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
        user.request(method, fill, exchange).unwrap_or_else(|code| panic!("refused: {code}"))
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
