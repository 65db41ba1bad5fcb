//! A client with its own socket, in real time.

use std::net::Ipv4Addr;
use std::time::Instant;

use datagrams::Batch;
use sfu::Path;
use sfu::driver::MediaSocket;
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};

pub struct Endpoint {
    pub client: Client,
    socket: MediaSocket,
    out: Batch<Path>,
}

impl Endpoint {
    pub fn new(kind: ClientKind, identity: &Identity, number: u64) -> Self {
        let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let client = Client::new(kind, address, identity.clone(), number, Instant::now());
        Self { client, socket, out: Batch::default() }
    }

    /// Receives the waiting datagrams and sends those that are due.
    pub fn turn(&mut self) {
        let Self { client, socket, out } = self;
        let now = Instant::now();
        socket.receive(|_, datagram| client.handle_datagram(now, datagram)).unwrap();
        client.handle_timeout(now);
        while let Some((server, datagram)) = client.poll_transmit() {
            out.push(Path::to(server), [&datagram]);
        }
        socket.send(out);
        out.clear();
    }

    pub fn played(&self) -> u32 {
        self.client.playback.values().map(|playback| playback.played).sum()
    }
}
