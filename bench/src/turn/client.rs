//! A TURN client: as much of one as the load needs.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, message_type, method};
use stun_turn::{IntegrityAlgorithm, Key, PasswordAlgorithm, credentials};

use super::floor::HELLO;
use super::server::{Kind, REALM, Running, SECRET};

/// The channel that every client binds.
pub(super) const CHANNEL: u16 = 0x4000;
const TRIES: usize = 20;

/// A client with a relay.
pub(super) struct Client {
    pub(super) socket: UdpSocket,
    pub(super) relay: SocketAddr,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    next_transaction: u64,
}

impl Client {
    /// Gets a relay from `server`. The bare loop is told the peer's port at once.
    pub(super) fn allocate(server: &Running, number: usize, peer: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let pair = credentials::ephemeral(SECRET, &format!("user{number}"), 2_100_000_000);
        let key = Key::new(
            PasswordAlgorithm::Md5,
            pair.username.as_bytes(),
            REALM.as_bytes(),
            pair.password.as_bytes(),
        );
        let mut client = Self {
            socket,
            relay: server.address,
            username: pair.username,
            key,
            nonce: Vec::new(),
            next_transaction: 0,
        };
        if server.kind == Kind::Floor {
            let mut hello = HELLO.to_vec();
            hello.extend(peer.port().to_be_bytes());
            let answer = client.exchange(&hello)?;
            let port = answer.first_chunk::<2>().context("no port")?;
            client.relay.set_port(u16::from_be_bytes(*port));
            return Ok(client);
        }
        let mut bare = MessageBuilder::request(method::ALLOCATE, client.transaction());
        bare.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        let challenge = client.exchange(&bare.finish(None))?;
        let nonce = attributes(&challenge).find(|(kind, _)| *kind == attr::NONCE).context("no nonce")?;
        client.nonce = nonce.1.to_vec();
        let answer = client.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        })?;
        let mask = attr::xor_mask(&answer).context("no header")?;
        let (_, relay) =
            attributes(&answer).find(|(kind, _)| *kind == attr::XOR_RELAYED_ADDRESS).context("no relay")?;
        client.relay = attr::read_xor_address(relay, &mask).context("no address")?;
        Ok(client)
    }

    /// Binds the channel to `peer`.
    pub(super) fn bind(&mut self, server: &Running, peer: SocketAddr) -> anyhow::Result<()> {
        if server.kind == Kind::Floor {
            return Ok(());
        }
        let [high, low] = CHANNEL.to_be_bytes();
        self.request(method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        })?;
        Ok(())
    }

    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> anyhow::Result<Vec<u8>> {
        let mut message = MessageBuilder::request(method, self.transaction());
        fill(&mut message);
        message.bytes(attr::USERNAME, self.username.as_bytes());
        message.bytes(attr::REALM, REALM.as_bytes());
        message.bytes(attr::NONCE, &self.nonce);
        let answer = self.exchange(&message.finish(Some((&self.key, IntegrityAlgorithm::Sha1))))?;
        let (class, _) = message_type(&answer).context("no header")?;
        let error = attributes(&answer).find(|(kind, _)| *kind == attr::ERROR_CODE);
        ensure!(
            class == 2,
            "refused: {:?}",
            error.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        );
        Ok(answer)
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0xb0; 12];
        id.iter_mut().zip(self.next_transaction.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
        TransactionId(id)
    }

    /// Sends a request until an answer comes.
    fn exchange(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut buffer = [0; 1500];
        for _ in 0..TRIES {
            self.socket.send(message)?;
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let answer = buffer.get(..length).unwrap_or_default();
                // A late answer to an earlier copy of another request is not this one's.
                if length == 2 || TransactionId::of(answer) == TransactionId::of(message) {
                    return Ok(answer.to_vec());
                }
            }
        }
        bail!("no answer")
    }
}
