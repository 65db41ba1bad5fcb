//! What the fuzz targets and their smoke test do with bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{
    ChannelData, Frame, MessageBuilder, Request, SendIndication, TransactionId, attributes, check_stun,
    next_frame,
};
use stun_turn::{
    FiveTuple, Input, IntegrityAlgorithm, Key, OpenedRelay, OpenedRelays, Output, PasswordAlgorithm, PathId,
    RelayId, RelayWanted, Relayed, ServerContext, Settings, Shard, Transport, credentials,
};

/// Any bytes as a STUN message: parsing does not panic, and what is parsed has been checked.
pub fn stun(data: &[u8]) {
    let is_checked = check_stun(data).is_ok();
    if Request::parse(data).is_ok() {
        assert!(is_checked, "nothing unchecked is parsed");
    }
    if is_checked {
        let total: usize = attributes(data).map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
        assert_eq!(total + 20, data.len(), "the attributes are the whole message");
        if let Some(send) = SendIndication::parse(data) {
            assert!(send.payload.len() < data.len());
        }
    }
    if let Some(key) = Key::short_term(b"key") {
        assert!(!key.signed(data), "nobody guesses an HMAC");
    }
}

/// Any bytes as a stream: frames lie within it and make progress.
pub fn frames(data: &[u8]) {
    if let Some(message) = ChannelData::parse(data) {
        assert!(message.payload.len() + 4 <= data.len());
    }
    let mut rest = data;
    while let Ok(Frame::Whole { message, consumed }) = next_frame(rest) {
        assert!(message <= consumed && consumed <= rest.len() && message >= 4);
        rest = rest.get(consumed..).unwrap_or_default();
    }
}

/// Any bytes as a sequence: each byte is a step, and takes what it needs from those after it. What the state machine owns is
/// accounted for at every step.
#[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
pub fn sequence(data: &[u8]) {
    let mut settings = Settings::default();
    settings.credentials.secrets = vec!["north".to_owned()];
    settings.limits.allocations = 3;
    settings.limits.unauthenticated_per_second = None;
    settings.features.tcp_allocations = true;
    settings.features.mobility = true;
    let context = ServerContext { settings: Arc::new(settings), ..ServerContext::default() };
    let mut now = Instant::now();
    let mut shard = Shard::new(context.clone(), 0, now, Duration::from_hours(500_000), 1);
    let mut world = World { open: Vec::new(), next: 0, nonces: Default::default() };
    let mut bytes = data.iter().copied();
    let mut transaction = 0_u32;
    while let Some(step) = bytes.next() {
        let mut take = || bytes.next().unwrap_or(0);
        let who = usize::from(take() % 4);
        let tuple = tuple(who);
        let path = PathId(u32::try_from(who).unwrap_or(0));
        match step % 8 {
            0 => {
                now += Duration::from_secs(u64::from(take()) * 4);
                shard.handle_timeout(now);
            }
            1 => {
                let length = usize::from(take());
                let message: Vec<u8> = (0..length).map(|_| take()).collect();
                shard.handle_input(now, Input::Client { tuple, path, message: &message });
            }
            2 => {
                let payload = [take(); 3];
                let from = peer(take());
                if let Some(&(relay, _)) = world.open.get(usize::from(take())) {
                    let relayed = shard.handle_input(now, Input::Peer { relay, from, payload: &payload });
                    assert!(matches!(relayed, None | Some(Relayed::ToClient { .. })));
                }
            }
            3 => {
                let message = [0x40 | (take() & 0x3f), take(), 0, 2, 1, 2];
                shard.handle_input(now, Input::Client { tuple, path, message: &message });
            }
            4 if take() == 0 => {
                shard.handle_input(now, Input::Disconnected { tuple });
            }
            _ => {
                transaction += 1;
                let message = request(who, &world, transaction, &mut take);
                shard.handle_input(now, Input::Client { tuple, path, message: &message });
            }
        }
        world.settle(&mut shard, now, &context);
        assert_eq!(shard.counters().allocations, context.quotas.total() as u64);
        assert!(world.open.len() <= 6, "three allocations of two relays");
    }
    // When nobody refreshes, nothing is left.
    now += Duration::from_hours(3);
    shard.handle_timeout(now);
    world.settle(&mut shard, now, &context);
    assert_eq!((world.open.len(), context.quotas.total()), (0, 0));
    assert_eq!(shard.poll_timeout(), None);
}

struct World {
    open: Vec<(RelayId, SocketAddr)>,
    next: u16,
    nonces: [Vec<u8>; 4],
}

fn tuple(who: usize) -> FiveTuple {
    FiveTuple {
        transport: if who.is_multiple_of(2) { Transport::Udp } else { Transport::Tcp },
        client: SocketAddr::from(([192, 0, 2, 1], 5000 + u16::try_from(who).unwrap_or(0))),
        server: SocketAddr::from(([198, 51, 100, 1], 3478)),
    }
}

fn peer(number: u8) -> SocketAddr {
    let host = if number.is_multiple_of(5) { [10, 0, 0, 1] } else { [8, 8, 8, number % 3] };
    SocketAddr::from((host, 1000 + u16::from(number % 4)))
}

/// A signed request with attributes that the bytes choose.
fn request(who: usize, world: &World, number: u32, take: &mut impl FnMut() -> u8) -> Vec<u8> {
    let mut id = [7; 12];
    id.iter_mut().zip(number.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
    let methods = [0x003, 0x003, 0x004, 0x008, 0x009, 0x00a, 0x00b, 0x001];
    let method = methods.get(usize::from(take() % 8)).copied().unwrap_or(1);
    let mut message = MessageBuilder::request(method, TransactionId(id));
    if method == 0x003 {
        message.bytes(attr::REQUESTED_TRANSPORT, &[if take().is_multiple_of(4) { 6 } else { 17 }, 0, 0, 0]);
    }
    for _ in 0..take() % 4 {
        match take() % 9 {
            0 => message.bytes(attr::LIFETIME, &[0, 0, take(), take()]),
            1 => message.xor_address(attr::XOR_PEER_ADDRESS, peer(take())),
            2 => message.bytes(attr::CHANNEL_NUMBER, &[0x40, take() % 4, 0, 0]),
            3 => message.bytes(attr::EVEN_PORT, &[take()]),
            4 => message.bytes(attr::REQUESTED_ADDRESS_FAMILY, &[take() % 4, 0, 0, 0]),
            5 => message.bytes(attr::ADDITIONAL_ADDRESS_FAMILY, &[take() % 4, 0, 0, 0]),
            6 => message.bytes(attr::MOBILITY_TICKET, &[]),
            7 => message.bytes(attr::CONNECTION_ID, &[0, 0, 0, take()]),
            _ => message.bytes(u16::from_be_bytes([take(), take()]) | 0x40, &[take()]),
        }
    }
    let pair = credentials::ephemeral(
        "north",
        if take().is_multiple_of(8) { "mallory" } else { "alice" },
        1_900_000_000,
    );
    let (name, password) = (pair.username.as_bytes(), pair.password.as_bytes());
    let key = Key::new(PasswordAlgorithm::Md5, name, b"visavis", password);
    message.bytes(attr::USERNAME, name);
    message.bytes(attr::REALM, b"visavis");
    message.bytes(attr::NONCE, world.nonces.get(who).map(Vec::as_slice).unwrap_or_default());
    message.finish(Some((&key, IntegrityAlgorithm::Sha1)))
}

impl World {
    /// Does what the state machine wants.
    fn settle(&mut self, shard: &mut Shard, now: Instant, context: &ServerContext) {
        while let Some(output) = shard.poll_output() {
            match output {
                Output::Transmit { path, message, .. } => {
                    assert_eq!(check_stun(&message), Ok(()), "answers are well-formed");
                    let nonce = attributes(&message).find(|(kind, _)| *kind == attr::NONCE);
                    if let (Some((_, nonce)), Some(slot)) = (nonce, self.nonces.get_mut(path.0 as usize)) {
                        *slot = nonce.to_vec();
                    }
                }
                Output::OpenRelay { opening, wanted } => {
                    let (first, second, reserves) = match wanted {
                        RelayWanted::Udp { address, additional, reserve_next, .. } => {
                            (address, additional, reserve_next)
                        }
                        RelayWanted::Tcp { address } => (address, None, false),
                        RelayWanted::Reserved(_) => (tuple(0).server.ip(), None, false),
                    };
                    let mut open = |address| {
                        self.next = self.next % 20_000 + 1;
                        let bound = SocketAddr::new(address, 40_000 + self.next);
                        let id = RelayId(u32::from(self.next));
                        context.directory.assign(bound.port(), 0);
                        self.open.push((id, bound));
                        OpenedRelay { id, bound }
                    };
                    let relay = open(first);
                    let additional = second.map(|address| Ok(open(address)));
                    let reservation = reserves.then_some([1; 8]);
                    let result = Ok(OpenedRelays { relay, additional, reservation });
                    shard.handle_input(now, Input::RelayOpened { opening, result });
                }
                Output::CloseRelay { relay } => {
                    let before = self.open.len();
                    self.open.retain(|(id, _)| *id != relay);
                    assert_eq!(self.open.len() + 1, before, "closed once");
                }
                Output::ConnectPeer { connection, .. } => {
                    shard.handle_input(now, Input::PeerConnected { connection, socket: None });
                }
                Output::TransmitFrom { .. }
                | Output::Disconnect { .. }
                | Output::Splice { .. }
                | Output::ClosePeer { .. } => {}
            }
        }
    }
}
