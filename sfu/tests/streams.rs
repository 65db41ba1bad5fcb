//! Media over TCP (RFC 6544): connections are handed to workers that run on real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![allow(clippy::disallowed_methods, reason = "sockets live in real time")]
#![allow(unreachable_pub, reason = "a module that several tests use")]

#[path = "common/answer.rs"]
mod answer;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use answer::answer;
use sfu::driver::{self, MediaConnection, MediaSocket, NotAccepted};
use sfu::dtls::Identity;
use sfu::ice::write_check;
use sfu::testing::{Client, ClientKind};
use sfu::{Config, Handle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{HttpOffer, HttpSession, MediaDemand, MediaPlane as _, PeerId, RoomId};

const SHARDS: u16 = 2;
/// The time from one picture to the next. A publisher that sends as fast as it can outruns the server's socket, and after
/// 2^15 lost packets nothing of its stream can be decrypted any more (RFC 3711 section 3.3.1).
const PICTURE: Duration = Duration::from_micros(33_333);

/// A media server on two threads, and the port at which it takes connections.
struct Server {
    handle: Handle,
    listener: TcpListener,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    identity: Identity,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sockets = vec![MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()];
        let address = sockets[0].local_addr().unwrap();
        sockets.push(MediaSocket::bind(address).unwrap());
        let config = Config {
            shards: SHARDS,
            tcp_port: Some(listener.local_addr().unwrap().port()),
            ..Config::new(vec![address], [3; 32])
        };
        let (handle, workers) = driver::open(config, Instant::now()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let threads = workers.into_iter().zip(sockets).map(|(worker, socket)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || worker.run(socket, |_, _| (), &stop))
        });
        let threads = threads.collect();
        Self { handle, listener, stop, threads, identity: Identity::generate().unwrap() }
    }

    /// Connects to the server, which takes the connection over once it has `first`. The receiver reports its end.
    fn connect(&self, first: &[u8]) -> (TcpStream, Result<(), NotAccepted>, std::sync::mpsc::Receiver<()>) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_nodelay(true).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        let (ended, end) = sync_channel::<()>(1);
        let connection = MediaConnection { socket, received: first.to_vec(), place: Box::new(ended) };
        let accepted = self.handle.accept(connection);
        (client, accepted, end)
    }

    /// A client in `room`, and the SDP that it was answered with.
    fn join(&mut self, room: &str, kind: ClientKind, number: u64) -> (Client, String) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let mut client = Client::new(kind, address, self.identity.clone(), number, Instant::now());
        let (role, session) = match kind {
            ClientKind::Publisher => (Role::Broadcaster, HttpSession::Publish),
            ClientKind::Player => (Role::Viewer, HttpSession::Play { publisher: None }),
        };
        let room: RoomId = room.parse().unwrap();
        let peer = PeerId::random(&mut SeededEntropy::new(number));
        self.handle.demand(&room, MediaDemand::Join { peer, role });
        let offer = HttpOffer { room, peer, session, sdp: client.offer(), via: None };
        let answer = answer(&self.handle, &offer).sdp;
        client.accept_answer(Instant::now(), &answer).unwrap();
        (client, answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// A client that speaks over a TCP connection alone.
struct Endpoint {
    client: Client,
    connection: Option<TcpStream>,
    received: Vec<u8>,
}

impl Endpoint {
    fn turn(&mut self, server: &Server) {
        let now = Instant::now();
        self.client.handle_timeout(now);
        while let Some((_, datagram)) = self.client.poll_transmit() {
            let frame = framed(&datagram);
            if let Some(connection) = &mut self.connection {
                connection.write_all(&frame).unwrap();
            } else {
                let (connection, accepted, _) = server.connect(&frame);
                accepted.unwrap();
                self.connection = Some(connection);
            }
        }
        let Some(connection) = &mut self.connection else { return };
        connection.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4_096];
        match connection.read(&mut buffer) {
            Ok(0) => panic!("the server has closed the connection"),
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        connection.set_nonblocking(false).unwrap();
        while let Some(len) = self.received.first_chunk().map(|len| 2 + usize::from(u16::from_be_bytes(*len)))
        {
            if self.received.len() < len {
                break;
            }
            let mut datagram: Vec<_> = self.received.drain(..len).collect();
            self.client.handle_datagram(now, &mut datagram[2..]);
        }
    }

    fn played(&self) -> u32 {
        self.client.playback.values().map(|playback| playback.played).sum()
    }
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    [&u16::try_from(datagram.len()).unwrap().to_be_bytes(), datagram].concat()
}

/// Waits until the server has closed the connection.
fn wait_for_end(mut client: &TcpStream) {
    client.set_nonblocking(false).unwrap();
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = client.read_to_end(&mut rest);
}

fn attribute(sdp: &str, name: &str) -> String {
    sdp.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}

#[test]
fn a_broadcast_flows_over_tcp_on_every_shard() {
    let mut server = Server::start();
    // Their connections count until they are closed.
    let mut rooms = Vec::new();
    // Rooms on both shards, with some certainty.
    for room in ["one", "two", "three", "four"] {
        let number = u64::from(room.as_bytes()[1]) * 100;
        let mut publisher = Endpoint {
            client: server.join(room, ClientKind::Publisher, number).0,
            connection: None,
            received: Vec::new(),
        };
        let mut players: Vec<_> = (1..=4)
            .map(|at| server.join(room, ClientKind::Player, number + at).0)
            .map(|client| Endpoint { client, connection: None, received: Vec::new() })
            .collect();
        let mut next_picture = Instant::now();
        while !players.iter().all(|player| player.played() >= 20) {
            publisher.turn(&server);
            for player in &mut players {
                player.turn(&server);
            }
            let now = Instant::now();
            let is_ready =
                publisher.client.is_connected() && players.iter().all(|player| player.client.is_connected());
            if is_ready && now >= next_picture {
                next_picture = now + PICTURE;
                publisher.client.send_picture(now, 3);
            }
        }
        rooms.push((publisher, players));
    }
    let metrics = server.handle.metrics();
    assert!(metrics.streams >= 5, "the last room is still there: {metrics:?}");
}

#[test]
fn candidates_of_tcp_come_after_those_of_udp() {
    let mut server = Server::start();
    let (_, sdp) = server.join("room", ClientKind::Publisher, 1);
    let port = server.listener.local_addr().unwrap().port();
    let candidates: Vec<_> = sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(candidates.len(), 2, "{sdp}");
    let priority = |line: &str| line.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
    assert!(candidates[1].ends_with(&format!(" 127.0.0.1 {port} typ host tcptype passive")), "{sdp}");
    assert!(priority(candidates[0]) > priority(candidates[1]), "{sdp}");
}

#[test]
fn strangers_are_refused_or_cut_off_soon() {
    let mut server = Server::start();
    for first in [&b""[..], b"\0", b"GET / HTTP/1.1\r\n\r\n", &framed(&[0; 20]), &framed(&[0xff; 40])] {
        let (_client, accepted, _) = server.connect(first);
        assert_eq!(accepted, Err(NotAccepted::NoCheck), "{first:?}");
    }
    let (_, sdp) = server.join("room", ClientKind::Publisher, 1);
    let ufrag = attribute(&sdp, "a=ice-ufrag:");
    let check = |password: &str| {
        let mut check = [0; 256];
        let len = write_check(&format!("{ufrag}:them"), password, 7, true, &mut check).unwrap();
        framed(&check[..len])
    };
    let wrong = check("not the password at all");
    let (mut talker, accepted, end) = server.connect(&wrong);
    accepted.unwrap();
    // The end comes before all of this is sent.
    while talker.write_all(&wrong).is_ok() {}
    assert!(end.recv().is_err(), "its place is free again");
    // One that says nothing more has a few seconds.
    let (silent, accepted, end) = server.connect(&wrong);
    accepted.unwrap();
    let valid = check(&attribute(&sdp, "a=ice-pwd:"));
    let (mut known, accepted, known_end) = server.connect(&valid);
    accepted.unwrap();
    wait_for_end(&silent);
    assert!(end.recv().is_err());
    // One that ICE has validated lasts, as long as its frames are sound.
    assert!(known_end.try_recv().is_err_and(|error| error == std::sync::mpsc::TryRecvError::Empty));
    known.write_all(&[0xff, 0xff, 0, 0]).unwrap();
    assert!(known_end.recv().is_err());
}

#[test]
fn a_connection_ends_with_its_peer() {
    let mut server = Server::start();
    let (mut client, sdp) = server.join("room", ClientKind::Publisher, 1);
    client.handle_timeout(Instant::now());
    let (_, check) = client.poll_transmit().unwrap();
    let (connection, accepted, end) = server.connect(&framed(&check));
    accepted.unwrap();
    let mut answer = [0; 4];
    (&connection).read_exact(&mut answer).unwrap();
    assert_eq!(answer[2..], [1, 1], "the check was answered: {sdp}");
    let peer = PeerId::random(&mut SeededEntropy::new(1));
    server.handle.demand(&"room".parse().unwrap(), MediaDemand::Leave { peer });
    wait_for_end(&connection);
    assert!(end.recv().is_err());
}
