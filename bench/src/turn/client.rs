//! A minimal TURN client for the load.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use datagrams::{Options, Socket};
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, message_type, method};
use stun_turn::{IntegrityAlgorithm, Key, PasswordAlgorithm, credentials};

use super::floor::HELLO;
use super::server::{Kind, REALM, Running, SECRET};

/// The channel bound by every client.
pub(crate) const CHANNEL: u16 = 0x4000;
const TRIES: usize = 20;

/// A client with a relay.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) relay: SocketAddr,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    next_transaction: u64,
    /// A request that waits for its response.
    asked: Vec<u8>,
}

impl Client {
    /// Allocates relays for the clients of these numbers concurrently, as at the start of a meeting. The request also
    /// tells the bare loop the peer's port.
    pub(super) fn allocate(
        server: &Running,
        numbers: std::ops::Range<usize>,
        peer: SocketAddr,
    ) -> anyhow::Result<Vec<Self>> {
        let mut clients = numbers
            .map(|number| {
                let pair = credentials::ephemeral(SECRET, &format!("user{number}"), 2_100_000_000);
                Self::open(server.address, &pair.username, &pair.password)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if server.kind == Kind::Floor {
            let mut hello = HELLO.to_vec();
            hello.extend(peer.port().to_be_bytes());
            for client in &mut clients {
                client.ask(hello.clone())?;
            }
            for client in &mut clients {
                let answer = client.answer()?;
                let port = answer.first_chunk::<2>().context("no port")?;
                client.relay.set_port(u16::from_be_bytes(*port));
            }
        } else {
            Self::allocate_all(&mut clients)?;
        }
        Ok(clients)
    }

    /// Allocates relays for all of these clients concurrently.
    pub(crate) fn allocate_all(clients: &mut [Self]) -> anyhow::Result<()> {
        for client in &mut *clients {
            let mut bare = MessageBuilder::request(method::ALLOCATE, client.transaction());
            bare.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            client.ask(bare.finish(None))?;
        }
        for client in &mut *clients {
            let challenge = client.answer()?;
            let nonce = attributes(&challenge).find(|(kind, _)| *kind == attr::NONCE).context("no nonce")?;
            client.nonce = nonce.1.to_vec();
        }
        for client in &mut *clients {
            let request = client.request(method::ALLOCATE, |message| {
                message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            });
            client.ask(request)?;
        }
        for client in &mut *clients {
            let answer = client.success()?;
            let mask = attr::xor_mask(&answer).context("no header")?;
            let (_, relay) = attributes(&answer)
                .find(|(kind, _)| *kind == attr::XOR_RELAYED_ADDRESS)
                .context("no relay")?;
            client.relay = attr::read_xor_address(relay, &mask).context("no address")?;
        }
        Ok(())
    }

    /// A client of the relay at this address that has requested nothing yet.
    pub(crate) fn open(server: SocketAddr, username: &str, password: &str) -> anyhow::Result<Self> {
        let options = Options { waits_to_send: true, ..Options::default() };
        let socket = Socket::bind("0.0.0.0:0".parse()?, &options)?;
        socket.as_ref().connect(server)?;
        socket.as_ref().set_read_timeout(Some(Duration::from_millis(500)))?;
        let key =
            Key::new(PasswordAlgorithm::Md5, username.as_bytes(), REALM.as_bytes(), password.as_bytes());
        Ok(Self {
            socket,
            relay: server,
            username: username.to_owned(),
            key,
            nonce: Vec::new(),
            next_transaction: 0,
            asked: Vec::new(),
        })
    }

    /// Binds the channel to `peer`.
    pub(crate) fn bind(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        let [high, low] = CHANNEL.to_be_bytes();
        let request = self.request(method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        });
        self.ask(request)?;
        self.success().map(drop)
    }

    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Vec<u8> {
        let mut message = MessageBuilder::request(method, self.transaction());
        fill(&mut message);
        message.bytes(attr::USERNAME, self.username.as_bytes());
        message.bytes(attr::REALM, REALM.as_bytes());
        message.bytes(attr::NONCE, &self.nonce);
        message.finish(Some((&self.key, IntegrityAlgorithm::Sha1)))
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0xb0; 12];
        id.iter_mut().zip(self.next_transaction.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
        TransactionId(id)
    }

    /// Sends a request.
    fn ask(&mut self, message: Vec<u8>) -> anyhow::Result<()> {
        self.socket.as_ref().send(&message)?;
        self.asked = message;
        Ok(())
    }

    /// Waits for the response, and retransmits the request if none arrives.
    fn answer(&self) -> anyhow::Result<Vec<u8>> {
        let mut buffer = [0; 1500];
        for _ in 0..TRIES {
            while let Ok(length) = self.socket.as_ref().recv(&mut buffer) {
                let answer = buffer.get(..length).unwrap_or_default();
                // A late response to an earlier copy of another request does not match.
                if length == 2 || TransactionId::of(answer) == TransactionId::of(&self.asked) {
                    return Ok(answer.to_vec());
                }
            }
            self.socket.as_ref().send(&self.asked)?;
        }
        bail!("the relay does not answer")
    }

    fn success(&self) -> anyhow::Result<Vec<u8>> {
        let answer = self.answer()?;
        let (class, _) = message_type(&answer).context("no header")?;
        let error = attributes(&answer).find(|(kind, _)| *kind == attr::ERROR_CODE);
        match error.map(|(_, value)| value) {
            Some([_, _, class, number, reason @ ..]) => Err(Refused {
                code: u16::from(*class) * 100 + u16::from(*number),
                reason: String::from_utf8_lossy(reason).into_owned(),
            }
            .into()),
            _ if class == 2 => Ok(answer),
            _ => bail!("an error without a code"),
        }
    }
}

/// An error response (RFC 8489 section 14.8).
#[derive(Debug, thiserror::Error)]
#[error("{code} {reason}")]
pub(crate) struct Refused {
    pub(crate) code: u16,
    pub(crate) reason: String,
}
