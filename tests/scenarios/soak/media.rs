//! Publishers by WHIP and viewers by WHEP, over ICE, DTLS and SRTP.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};
use tests::client::Ws;
use tests::request;

use crate::FAR_TOO_LONG;

/// Media packets that a viewer must receive.
const ENOUGH: u64 = 30;

/// A peer connection created over HTTP.
pub(crate) struct Endpoint {
    client: Client,
    socket: UdpSocket,
    location: String,
}

impl Endpoint {
    /// Connects; when this returns media can flow.
    pub(crate) fn connect(addr: SocketAddr, room: &str, kind: ClientKind, identity: &Identity) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let (here, now) = (socket.local_addr().unwrap(), now());
        let mut client = Client::new(kind, here, identity.clone(), here.port().into(), now);
        client.check_interval = Duration::from_millis(50);
        let door = if kind == ClientKind::Publisher { "whip" } else { "whep" };
        let offer = client.offer();
        let sdp = [("content-type", "application/sdp")];
        let answer = request(addr, "POST", &format!("/{door}/{room}"), &sdp, Some(offer.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        client.accept_answer(now, &answer.body).unwrap();
        let mut endpoint = Self { client, socket, location: answer.header("location").to_owned() };
        while !endpoint.client.is_connected() {
            endpoint.turn();
            assert!(now.elapsed() < FAR_TOO_LONG, "{door}: no connection");
        }
        endpoint
    }

    fn turn(&mut self) {
        self.client.handle_timeout(now());
        while let Some((server, datagram)) = self.client.poll_transmit() {
            self.socket.send_to(&datagram, server).unwrap();
        }
        let mut datagram = [0; 2_048];
        match self.socket.recv(&mut datagram) {
            Ok(length) => self.client.handle_datagram(now(), &mut datagram[..length]),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            }
        }
    }

    fn delete(self, addr: SocketAddr) {
        assert_eq!(request(addr, "DELETE", &self.location, &[], None).status, 200);
    }
}

/// One broadcast to two viewers, who receive some of it.
pub(crate) struct Broadcast {
    pub(crate) host: Ws,
    publisher: Endpoint,
    viewers: [Endpoint; 2],
}

impl Broadcast {
    pub(crate) fn begin(addr: SocketAddr, room: &str, identity: &Identity) -> Self {
        let mut host = Ws::connect(addr);
        host.send(&json!({"type": "join", "room": room, "name": "Host", "topology": "sfu"}));
        host.until("welcome");
        let publisher = Endpoint::connect(addr, room, ClientKind::Publisher, identity);
        let viewers = [(); 2].map(|()| Endpoint::connect(addr, room, ClientKind::Player, identity));
        let mut broadcast = Self { host, publisher, viewers };
        let begin = now();
        while broadcast.viewers.iter().any(|viewer| viewer.client.media_packets < ENOUGH) {
            broadcast.publisher.client.send_picture(now(), 3);
            broadcast.publisher.client.send_sound(30);
            broadcast.publisher.turn();
            broadcast.viewers.iter_mut().for_each(Endpoint::turn);
            assert!(begin.elapsed() < FAR_TOO_LONG, "the viewers see nothing");
        }
        broadcast
    }

    /// Some leave properly, some do not, and the host ends the room.
    pub(crate) fn end(mut self, addr: SocketAddr, round: usize) {
        let [first, second] = self.viewers;
        first.delete(addr);
        if round.is_multiple_of(2) {
            self.publisher.delete(addr);
        }
        if round.is_multiple_of(3) {
            second.delete(addr);
        }
        self.host.send(&json!({"type": "host", "action": "end"}));
        self.host.until("room-ended");
    }

    /// All but the host disappear without notice.
    pub(crate) fn abandon(self) -> Ws {
        self.host
    }
}

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
fn now() -> Instant {
    Instant::now()
}
