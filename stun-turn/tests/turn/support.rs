//! A server in virtual time and the clients that talk to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, message_type, method};
use stun_turn::{
    FiveTuple, Input, IntegrityAlgorithm, Key, OpenError, OpenedRelay, OpenedRelays, Output,
    PasswordAlgorithm, PathId, RelayId, RelayWanted, Relayed, ServerContext, Settings, Shard, Transport,
    credentials,
};

pub(crate) const SECRET: &str = "north";
pub(crate) const REALM: &str = "visavis";
/// The time in the world when virtual time begins.
pub(crate) const UNIX_START: u64 = 1_800_000_000;
pub(crate) const SERVER: &str = "198.51.100.1:3478";

pub(crate) struct Lab {
    pub(crate) shard: Shard,
    pub(crate) context: ServerContext,
    pub(crate) now: Instant,
    pub(crate) next_port: u16,
    next_relay: u32,
    pub(crate) open_relays: Vec<(RelayId, SocketAddr)>,
    /// What the next demand for a relay is answered with, if not with a socket.
    pub(crate) fail_next: Option<OpenError>,
    pub(crate) reserved: Option<([u8; 8], SocketAddr)>,
    pub(crate) other: Vec<Output>,
}

/// What became of a relayed packet, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the names of the variants of `Relayed`")]
pub(crate) enum Sent {
    ToPeer { from: SocketAddr, to: SocketAddr, payload: Vec<u8>, dont_fragment: bool },
    ToClient { tuple: FiveTuple, message: Vec<u8> },
    ToShard { shard: u8, to: SocketAddr, from: SocketAddr, payload: Vec<u8> },
    ToMedia { to: SocketAddr, from: SocketAddr, payload: Vec<u8> },
}

#[allow(
    clippy::disallowed_methods,
    reason = "an Instant can't be made in any other way; nothing is measured by it"
)]
fn start() -> Instant {
    Instant::now()
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.credentials.secrets = vec![SECRET.to_owned()];
    settings.relays.other_v6 = Some("2001:470:1::1".parse().unwrap());
    settings
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let context =
            ServerContext { settings: Arc::new(settings), nonce_secret: [7; 32], ..ServerContext::default() };
        Self::with_context(context)
    }

    pub(crate) fn with_context(context: ServerContext) -> Self {
        let now = start();
        let shard = Shard::new(context.clone(), 0, now, Duration::from_secs(UNIX_START), 42);
        Self {
            shard,
            context,
            now,
            next_port: 50_000,
            next_relay: 0,
            open_relays: Vec::new(),
            fail_next: None,
            reserved: None,
            other: Vec::new(),
        }
    }

    /// Lets time pass, with all timeouts on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.shard.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Does what the state machine wants, as a driver would, and gives the messages for clients.
    pub(crate) fn drain(&mut self) -> Vec<(FiveTuple, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Transmit { tuple, message, .. } => messages.push((tuple, message)),
                Output::OpenRelay { opening, wanted } => {
                    let result = self.open(wanted);
                    let relayed = self.shard.handle_input(self.now, Input::RelayOpened { opening, result });
                    assert!(relayed.is_none());
                }
                Output::CloseRelay { relay } => {
                    let at = self.open_relays.iter().position(|(id, _)| *id == relay).expect("an open relay");
                    let (_, address) = self.open_relays.swap_remove(at);
                    self.context.directory.release(address.port());
                }
                other => self.other.push(other),
            }
        }
        messages
    }

    fn open(&mut self, wanted: RelayWanted) -> Result<OpenedRelays, OpenError> {
        if let Some(error) = self.fail_next.take() {
            return Err(error);
        }
        match wanted {
            RelayWanted::Udp { address, additional, is_even, reserve_next } => {
                if is_even && !self.next_port.is_multiple_of(2) {
                    self.next_port += 1;
                }
                let relay = self.open_one(address);
                let reservation = reserve_next.then(|| {
                    let token = *b"reserved";
                    self.reserved = Some((token, SocketAddr::new(address, self.next_port)));
                    self.next_port += 1;
                    token
                });
                let additional = additional.map(|address| Ok(self.open_one(address)));
                Ok(OpenedRelays { relay, additional, reservation })
            }
            RelayWanted::Reserved(token) => {
                let (_, bound) = self
                    .reserved
                    .take_if(|(known, _)| *known == token)
                    .ok_or(OpenError::UnknownReservation)?;
                let relay = self.open_at(bound);
                Ok(OpenedRelays { relay, additional: None, reservation: None })
            }
            RelayWanted::Tcp { address } => {
                let relay = self.open_one(address);
                Ok(OpenedRelays { relay, additional: None, reservation: None })
            }
        }
    }

    fn open_one(&mut self, address: IpAddr) -> OpenedRelay {
        let bound = SocketAddr::new(address, self.next_port);
        self.next_port += 1;
        self.open_at(bound)
    }

    fn open_at(&mut self, bound: SocketAddr) -> OpenedRelay {
        let id = RelayId(self.next_relay);
        self.next_relay += 1;
        assert!(self.context.directory.reserve(bound.port()));
        self.context.directory.assign(bound.port(), 0);
        self.open_relays.push((id, bound));
        OpenedRelay { id, bound }
    }

    /// Gives a message of a client to the server: what was relayed, and what was answered.
    pub(crate) fn client(&mut self, tuple: FiveTuple, message: &[u8]) -> (Option<Sent>, Vec<Vec<u8>>) {
        let input = Input::Client { tuple, path: PathId(1), message };
        let relayed = self.shard.handle_input(self.now, input);
        let sent = relayed.map(|relayed| owned(&self.open_relays, &relayed));
        let answers = self.drain().into_iter().map(|(to, message)| {
            assert_eq!(to, tuple, "answers go to who asked");
            message
        });
        (sent, answers.collect())
    }

    /// Gives a datagram of a peer to the relay at `to`.
    pub(crate) fn peer(&mut self, to: SocketAddr, from: &str, payload: &[u8]) -> Option<Sent> {
        let (relay, _) = *self.open_relays.iter().find(|(_, bound)| *bound == to)?;
        let input = Input::Peer { relay, from: from.parse().unwrap(), payload };
        let relayed = self.shard.handle_input(self.now, input);
        relayed.map(|relayed| owned(&self.open_relays, &relayed))
    }
}

fn owned(relays: &[(RelayId, SocketAddr)], relayed: &Relayed<'_>) -> Sent {
    match *relayed {
        Relayed::ToPeer { relay, peer, dont_fragment, payload } => {
            let (_, from) = *relays.iter().find(|(id, _)| *id == relay).expect("an open relay");
            Sent::ToPeer { from, to: peer, payload: payload.to_vec(), dont_fragment }
        }
        Relayed::ToClient { tuple, ref prefix, payload, .. } => {
            Sent::ToClient { tuple, message: [prefix.head(), payload, prefix.tail()].concat() }
        }
        Relayed::ToShard { shard, to, from, payload } => {
            Sent::ToShard { shard, to, from, payload: payload.to_vec() }
        }
        Relayed::ToMedia { to, from, payload } => Sent::ToMedia { to, from, payload: payload.to_vec() },
    }
}

/// A client with credentials.
/// When the credentials of clients end: long after what most tests do.
pub(crate) const VALID_UNTIL: u64 = UNIX_START + 86_400;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) tuple: FiveTuple,
    pub(crate) username: String,
    pub(crate) key: Key,
    pub(crate) integrity: IntegrityAlgorithm,
    pub(crate) password_algorithm: Option<PasswordAlgorithm>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) realm: String,
    next_transaction: u32,
}

impl Client {
    pub(crate) fn new(address: &str, user: &str) -> Self {
        Self::over(Transport::Udp, address, user)
    }

    pub(crate) fn over(transport: Transport, address: &str, user: &str) -> Self {
        let pair = credentials::ephemeral(SECRET, user, VALID_UNTIL);
        let tuple =
            FiveTuple { transport, client: address.parse().unwrap(), server: SERVER.parse().unwrap() };
        let key = Key::new(
            PasswordAlgorithm::Md5,
            pair.username.as_bytes(),
            REALM.as_bytes(),
            pair.password.as_bytes(),
        );
        Self {
            tuple,
            username: pair.username,
            key,
            integrity: IntegrityAlgorithm::Sha1,
            password_algorithm: None,
            nonce: Vec::new(),
            realm: REALM.to_owned(),
            next_transaction: 0,
        }
    }

    pub(crate) fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0xc0; 12];
        id[..4].copy_from_slice(&self.next_transaction.to_be_bytes());
        id[4..6].copy_from_slice(&self.tuple.client.port().to_be_bytes());
        TransactionId(id)
    }

    /// A signed request.
    pub(crate) fn build(&mut self, method: u16, fill: impl FnOnce(&mut MessageBuilder)) -> Vec<u8> {
        let transaction = self.transaction();
        self.build_as(transaction, method, fill)
    }

    pub(crate) fn build_as(
        &self,
        transaction: TransactionId,
        method: u16,
        fill: impl FnOnce(&mut MessageBuilder),
    ) -> Vec<u8> {
        let mut message = MessageBuilder::request(method, transaction);
        fill(&mut message);
        message.bytes(attr::USERNAME, self.username.as_bytes());
        message.bytes(attr::REALM, self.realm.as_bytes());
        message.bytes(attr::NONCE, &self.nonce);
        if let Some(algorithm) = self.password_algorithm {
            message.bytes(attr::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
            let value = if algorithm == PasswordAlgorithm::Md5 { 1 } else { 2 };
            message.bytes(attr::PASSWORD_ALGORITHM, &[0, value, 0, 0]);
        }
        message.with_fingerprint().finish(Some((&self.key, self.integrity)))
    }

    /// Sends a request, answers a challenge once, and gives the response.
    pub(crate) fn request(
        &mut self,
        lab: &mut Lab,
        method: u16,
        fill: impl Fn(&mut MessageBuilder),
    ) -> Response {
        for _ in 0..2 {
            let message = self.build(method, &fill);
            let (_, mut answers) = lab.client(self.tuple, &message);
            assert_eq!(answers.len(), 1, "one answer");
            let response = Response::read(&answers.remove(0));
            if let (Some(401 | 438), Some(nonce)) = (response.code, response.get(attr::NONCE))
                && self.nonce != nonce
            {
                self.nonce = nonce.to_vec();
                continue;
            }
            return response;
        }
        panic!("challenged twice");
    }

    pub(crate) fn allocate(&mut self, lab: &mut Lab) -> SocketAddr {
        let response = self.request(lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        assert_eq!(response.code, None, "{response:?}");
        response.address(attr::XOR_RELAYED_ADDRESS)
    }

    pub(crate) fn permit(&mut self, lab: &mut Lab, peers: &[&str]) -> Option<u16> {
        let response = self.request(lab, method::CREATE_PERMISSION, |message| {
            for peer in peers {
                message.xor_address(attr::XOR_PEER_ADDRESS, peer.parse().unwrap());
            }
        });
        response.code
    }

    pub(crate) fn bind(&mut self, lab: &mut Lab, channel: u16, peer: &str) -> Option<u16> {
        let [high, low] = channel.to_be_bytes();
        let response = self.request(lab, method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer.parse().unwrap());
        });
        response.code
    }

    pub(crate) fn refresh(&mut self, lab: &mut Lab, lifetime: u32) -> Response {
        self.request(lab, method::REFRESH, |message| {
            message.bytes(attr::LIFETIME, &lifetime.to_be_bytes());
        })
    }

    /// A Send indication.
    pub(crate) fn send(&mut self, peer: &str, payload: &[u8]) -> Vec<u8> {
        let mut message = MessageBuilder::indication(method::SEND, self.transaction());
        message.xor_address(attr::XOR_PEER_ADDRESS, peer.parse().unwrap());
        message.bytes(attr::DATA, payload);
        message.finish(None)
    }
}

pub(crate) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = channel.to_be_bytes().to_vec();
    message.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    message.extend(payload);
    message
}

/// An answer, read.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) class: u16,
    pub(crate) method: u16,
    /// Of an error.
    pub(crate) code: Option<u16>,
}

impl Response {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        stun_turn::wire::check_stun(bytes).expect("a well-formed answer");
        let (class, method) = message_type(bytes).unwrap();
        let code = attributes(bytes)
            .find(|(kind, _)| *kind == attr::ERROR_CODE)
            .map(|(_, value)| u16::from(value[2]) * 100 + u16::from(value[3]));
        assert_eq!(class == 3, code.is_some());
        Self { bytes: bytes.to_vec(), class, method, code }
    }

    pub(crate) fn get(&self, kind: u16) -> Option<&[u8]> {
        attributes(&self.bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub(crate) fn addresses(&self, kind: u16) -> Vec<SocketAddr> {
        let mask = attr::xor_mask(&self.bytes).unwrap();
        let found = attributes(&self.bytes).filter(|(found, _)| *found == kind);
        found.map(|(_, value)| attr::read_xor_address(value, &mask).expect("an address")).collect()
    }

    pub(crate) fn address(&self, kind: u16) -> SocketAddr {
        self.addresses(kind)[0]
    }

    pub(crate) fn lifetime(&self) -> u32 {
        u32::from_be_bytes(self.get(attr::LIFETIME).expect("LIFETIME").try_into().unwrap())
    }
}
