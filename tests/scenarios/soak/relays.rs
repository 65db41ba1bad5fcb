//! Relays over UDP and TCP, with the credentials of a room's welcome.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use serde_json::{Value, json};
use stun_turn::testing::User;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{Frame, MessageBuilder, attributes, method, next_frame};
use tests::client::Ws;

use crate::FAR_TOO_LONG;

const CHANNEL: u16 = 0x4000;

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Way {
    fn write(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(message).unwrap(), message.len()),
            Self::Tcp(stream, _) => stream.write_all(message).unwrap(),
        }
    }

    fn read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 2_048];
        let (stream, pending) = match self {
            Self::Udp(socket) => {
                let length = socket.recv(&mut buffer).unwrap();
                buffer.truncate(length);
                return buffer;
            }
            Self::Tcp(stream, pending) => (stream, pending),
        };
        loop {
            if let Frame::Whole { message, consumed } = next_frame(pending).unwrap() {
                let rest = pending.split_off(consumed);
                pending.truncate(message);
                return std::mem::replace(pending, rest);
            }
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the server hung up");
            pending.extend(&buffer[..length]);
        }
    }
}

/// A client with a relay.
pub(crate) struct Relay {
    way: Way,
    user: User,
    address: SocketAddr,
}

impl Relay {
    pub(crate) fn over_udp(server: SocketAddr, ice_server: &Value) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self::allocate(Way::Udp(socket), server, ice_server)
    }

    pub(crate) fn over_tcp(server: SocketAddr, ice_server: &Value) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self::allocate(Way::Tcp(stream, Vec::new()), server, ice_server)
    }

    fn allocate(way: Way, address: SocketAddr, ice_server: &Value) -> Self {
        let text = |name: &str| ice_server[name].as_str().unwrap();
        let mut relay = Self { way, user: User::new(text("username"), text("credential")), address };
        let answer = relay.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        let (_, given) = attributes(&answer).find(|(kind, _)| *kind == attr::XOR_RELAYED_ADDRESS).unwrap();
        relay.address = attr::read_xor_address(given, &attr::xor_mask(&answer).unwrap()).unwrap();
        relay
    }

    fn read(&mut self) -> Vec<u8> {
        self.way.read()
    }

    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Vec<u8> {
        let Self { way, user, .. } = self;
        let exchange = |message: &[u8]| {
            way.write(message);
            way.read()
        };
        user.request(method, fill, exchange).unwrap()
    }

    fn bind(&mut self, channel: u16, peer: SocketAddr) {
        let [high, low] = channel.to_be_bytes();
        self.request(method::CHANNEL_BIND, |message| {
            message.bytes(attr::CHANNEL_NUMBER, &[high, low, 0, 0]);
            message.xor_address(attr::XOR_PEER_ADDRESS, peer);
        });
    }

    /// Sends eight bytes over a channel.
    fn send(&mut self, channel: u16, payload: [u8; 8]) {
        let message = [&channel.to_be_bytes()[..], &[0, 8], &payload].concat();
        self.way.write(&message);
    }

    fn give_back(mut self) {
        self.request(method::REFRESH, |message| message.bytes(attr::LIFETIME, &[0; 4]));
    }
}

/// The built-in relay as announced in a welcome.
pub(crate) fn ice_server(addr: SocketAddr, room: &str) -> (Ws, Value) {
    let (ws, welcome) = Ws::join(addr, room, "Ada");
    let servers = welcome["iceServers"].as_array().unwrap();
    let relay = servers.iter().find(|server| server["username"].is_string()).unwrap();
    (ws, relay.clone())
}

/// Two relays reach each other, and an external peer; one is released, the connection of the other just ends.
pub(crate) fn relay(addr: SocketAddr, turn: SocketAddr, room: &str) {
    let (mut ada, ice_server) = ice_server(addr, room);
    let mut near = Relay::over_udp(turn, &ice_server);
    let mut far = Relay::over_tcp(turn, &ice_server);
    near.bind(CHANNEL, far.address);
    far.bind(CHANNEL, near.address);
    let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
    outside.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
    near.bind(CHANNEL + 1, outside.local_addr().unwrap());
    for turn in 0..4 {
        near.send(CHANNEL, [turn; 8]);
        assert_eq!(far.read()[4..], [turn; 8]);
        far.send(CHANNEL, [turn; 8]);
        assert_eq!(near.read()[4..], [turn; 8]);
        near.send(CHANNEL + 1, [turn; 8]);
        let (length, from) = outside.recv_from(&mut [0; 100]).unwrap();
        assert_eq!((length, from), (8, near.address));
        outside.send_to(&[turn; 8], from).unwrap();
        assert_eq!(near.read()[4..], [turn; 8]);
    }
    near.give_back();
    drop(far);
    ada.send(&json!({"type": "host", "action": "end"}));
    ada.until("room-ended");
}
