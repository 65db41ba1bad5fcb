//! A relay's main peer gets a socket of its own on the way. Nobody notices: nothing is lost, doubled or out of order, other peers go
//! on, and what ICMP says about one packet does not cost the next.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, to fail is to tell"
)]

use std::net::{SocketAddr, UdpSocket};

use stun_turn::{Config, Handle, Listener, Server};

mod common;
use common::{Client, HANG};

struct Running(Handle, Vec<std::thread::JoinHandle<std::io::Result<()>>>);

impl Running {
    fn start(ip: &str) -> Self {
        let mut config = Config {
            listeners: vec![Listener::udp(SocketAddr::new(ip.parse().unwrap(), 0))],
            secrets: vec!["north".to_owned()],
            shards: Some(1),
            ..Config::default()
        };
        config.policy.allowed = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let server = Server::bind(&config).unwrap();
        let handle = server.handle();
        let threads =
            server.into_event_loops().into_iter().map(|event_loop| std::thread::spawn(|| event_loop.run()));
        Self(handle, threads.collect())
    }

    fn client(&self) -> Client {
        Client::allocate(self.0.listeners()[0].address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
        for thread in self.1.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

fn peer(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket
}

/// Expects `payload` from `relay`.
#[track_caller]
fn expect(peer: &UdpSocket, relay: SocketAddr, payload: &[u8]) {
    let mut buffer = [0; 64];
    let (length, from) = peer.recv_from(&mut buffer).expect("relayed");
    assert_eq!((&buffer[..length], from), (payload, relay));
}

/// Whether a socket of this machine is bound to `local` and connected to `remote`.
fn is_connected(local: SocketAddr, remote: SocketAddr) -> bool {
    let table = if local.is_ipv4() { "/proc/self/net/udp" } else { "/proc/self/net/udp6" };
    let ends_with =
        |field: Option<&str>, port: u16| field.is_some_and(|field| field.ends_with(&format!(":{port:04X}")));
    std::fs::read_to_string(table).unwrap().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        ends_with(fields.next(), local.port()) && ends_with(fields.next(), remote.port())
    })
}

/// Sends to the peer of channel 0x4000 until it has a socket of its own.
fn warm_up(client: &Client, main: &UdpSocket) {
    for number in 0..u32::MAX {
        client.send(0x4000, &number.to_be_bytes());
        expect(main, client.relay, &number.to_be_bytes());
        if is_connected(client.relay, main.local_addr().unwrap()) {
            return;
        }
        assert!(number < 10_000, "it never gets a socket");
    }
}

#[test]
fn nothing_is_lost_when_the_main_peer_gets_its_socket() {
    for ip in ["127.0.0.1", "::1"] {
        let server = Running::start(ip);
        let (main, other) = (peer(ip), peer(ip));
        let mut client = server.client();
        client.bind(0x4000, main.local_addr().unwrap());
        client.bind(0x4001, other.local_addr().unwrap());
        let relay = client.relay;
        // Waves both ways, so that many are under way at the change; now and then one of another peer.
        for wave in 0_u32..40 {
            let numbers = wave * 16..(wave + 1) * 16;
            for number in numbers.clone() {
                client.send(0x4000, &number.to_be_bytes());
                main.send_to(&number.to_be_bytes(), relay).unwrap();
            }
            if wave % 8 == 7 {
                client.send(0x4001, &wave.to_be_bytes());
                expect(&other, relay, &wave.to_be_bytes());
                other.send_to(b"back", relay).unwrap();
            }
            for number in numbers.clone() {
                expect(&main, relay, &number.to_be_bytes());
            }
            let mut expected = numbers.map(u32::to_be_bytes).peekable();
            let mut from_other = usize::from(wave % 8 == 7);
            while expected.peek().is_some() || from_other > 0 {
                let message = client.receive();
                match (message[1], &message[4..8]) {
                    (0, payload) => assert_eq!(Some(payload), expected.next().as_ref().map(|all| &all[..])),
                    (_, payload) => {
                        assert_eq!(payload, b"back");
                        from_other -= 1;
                    }
                }
            }
        }
        assert!(is_connected(relay, main.local_addr().unwrap()), "{ip}: a socket of its own");
        assert!(!is_connected(relay, other.local_addr().unwrap()));
        assert_eq!(server.0.metrics().datagrams_dropped, 0);
        client.end();
        UdpSocket::bind(relay).expect("both sockets are closed");
    }
}

#[test]
fn a_peer_that_was_away_is_heard_and_reached_again() {
    let server = Running::start("127.0.0.1");
    let (main, other) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let address = main.local_addr().unwrap();
    let mut client = server.client();
    client.bind(0x4000, address);
    client.bind(0x4001, other.local_addr().unwrap());
    warm_up(&client, &main);
    drop(main);
    for round in 0_u8..20 {
        // What these bring back is an error; when the other peer has its packet, they are through.
        client.send(0x4000, b"nobody there");
        client.send(0x4000, b"nobody there, either");
        client.send(0x4001, &[round]);
        expect(&other, client.relay, &[round]);
        let main = UdpSocket::bind(address).expect("the port is still free");
        main.set_read_timeout(Some(HANG)).unwrap();
        client.send(0x4000, &[round]);
        expect(&main, client.relay, &[round]);
        main.send_to(&[round], client.relay).unwrap();
        assert_eq!(client.receive(), [0x40, 0, 0, 1, round]);
    }
    assert!(is_connected(client.relay, address));
}
