//! Messages of event stream clients: POSTs over persistent connections, one request at a time on each.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{bail, ensure};
use datagrams::{Epoll, Interest};

use super::client::{Session, connect};

/// Maximum number of concurrent requests.
const CONNECTIONS: usize = 64;
/// The first of their tokens.
const TOKENS: u64 = 1 << 32;

pub(super) struct Posts {
    address: SocketAddr,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    stream: Option<TcpStream>,
    busy: bool,
    waiting: VecDeque<String>,
}

impl Posts {
    pub(super) fn new(address: SocketAddr) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(CONNECTIONS).collect();
        Self { address, lanes }
    }

    /// Posts a message of the client with this number.
    pub(super) fn post(
        &mut self,
        epoll: &Epoll,
        client: usize,
        session: &Session,
        message: &str,
    ) -> anyhow::Result<()> {
        let Session { id, secret, .. } = session;
        let request = format!(
            "POST /api/v1/sessions/{id}/messages HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{message}",
            self.address,
            message.len()
        );
        let at = client % CONNECTIONS;
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.waiting.push_back(request);
        }
        self.send(epoll, at)
    }

    fn send(&mut self, epoll: &Epoll, at: usize) -> anyhow::Result<()> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        if lane.busy {
            return Ok(());
        }
        let Some(request) = lane.waiting.pop_front() else { return Ok(()) };
        let mut stream = if let Some(stream) = lane.stream.take() {
            stream
        } else {
            let from = Ipv4Addr::new(127, 2, 0, u8::try_from(at)? + 1);
            let stream = connect(self.address, from, None)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, TOKENS + at as u64, Interest::READ)?;
            stream
        };
        stream.write_all(request.as_bytes())?;
        lane.stream = Some(stream);
        lane.busy = true;
        Ok(())
    }

    /// Reads a response if the token belongs to a POST connection; returns whether it does.
    pub(super) fn read(&mut self, epoll: &Epoll, token: u64, buffer: &mut [u8]) -> anyhow::Result<bool> {
        let Some(at) = token.checked_sub(TOKENS).and_then(|at| usize::try_from(at).ok()) else {
            return Ok(false);
        };
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(true) };
        let Some(stream) = &mut lane.stream else { return Ok(true) };
        match stream.read(buffer) {
            // The server closes idle connections.
            Ok(0) => {
                ensure!(!lane.busy, "the server closed a connection with a request on it");
                lane.stream = None;
            }
            Ok(length) => {
                let answer = buffer.get(..length).unwrap_or_default();
                ensure!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(answer));
                ensure!(answer.ends_with(b"}"), "an answer in two pieces");
                lane.busy = false;
                self.send(epoll, at)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => bail!("posting: {error}"),
        }
        Ok(true)
    }
}
