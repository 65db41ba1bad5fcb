//! All clients of a run, served by one thread.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use datagrams::{Epoll, Events, Interest};

use super::client::{Client, Event, Stage};
use super::posts::Posts;
use super::server::{Kind, Running};
use super::wire::Stamp;

/// A received chat message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    /// The receiving client.
    pub(super) client: usize,
    pub(super) stamp: Stamp,
    /// Its delay.
    pub(super) delay: Duration,
}

pub(super) struct Fleet<'a> {
    server: &'a Running,
    pub(super) clients: Vec<Client>,
    /// Messages sent by each client.
    sent: Vec<u64>,
    posts: Posts,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
    began: Instant,
    /// Connections ended by the server.
    pub(super) ended: usize,
}

/// Sessions per source address: the server limits bursts of new ones.
const BY_ADDRESS: usize = 8;
/// Longer than any successful operation takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl<'a> Fleet<'a> {
    pub(super) fn new(server: &'a Running) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            clients: Vec::new(),
            sent: Vec::new(),
            posts: Posts::new(server.address),
            epoll: Epoll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 * 1024],
            began: now(),
            ended: 0,
        })
    }

    /// Rooms of this size, until there are `sessions` in all.
    pub(super) fn fill(&mut self, sessions: usize, room_size: usize) -> anyhow::Result<()> {
        while self.clients.len() < sessions {
            let number = self.clients.len();
            let room = format!("room{}", number / room_size);
            let client = self.add(room)?;
            self.open(client)?;
            self.until_joined()?;
        }
        Ok(())
    }

    /// A client that is not connected yet.
    pub(super) fn add(&mut self, room: String) -> anyhow::Result<usize> {
        let number = self.clients.len();
        let block = number / BY_ADDRESS;
        let from = Ipv4Addr::new(127, 1, u8::try_from(block / 250)?, u8::try_from(block % 250 + 1)?);
        self.clients.push(Client::new(self.server.kind, self.server.address, from, room));
        self.sent.push(0);
        Ok(number)
    }

    /// Connects a client; it joins or resumes while the fleet is pumped.
    pub(super) fn open(&mut self, number: usize) -> anyhow::Result<()> {
        let client = self.clients.get_mut(number).context("no such client")?;
        client.open()?;
        let stream = client.stream.as_ref().context("not connected")?;
        self.epoll.add(stream, number as u64, Interest::READ)?;
        Ok(())
    }

    /// Pumps until all clients have joined.
    pub(super) fn until_joined(&mut self) -> anyhow::Result<()> {
        let (start, mut ignored) = (now(), Vec::new());
        let joining = |client: &Client| !matches!(client.stage, Stage::Joined | Stage::Away);
        // The newest is most likely the last.
        while self.clients.iter().rev().any(joining) {
            self.pump(Duration::from_millis(100), &mut ignored)?;
            ensure!(start.elapsed() < PATIENCE, "joining takes too long");
        }
        Ok(())
    }

    /// Pumps until nothing has arrived for a while.
    pub(super) fn settle(&mut self) -> anyhow::Result<Vec<Delivered>> {
        let mut delivered = Vec::new();
        let mut before = usize::MAX;
        while delivered.len() != before {
            before = delivered.len();
            let quiet_since = now();
            while quiet_since.elapsed() < Duration::from_millis(200) {
                self.pump(Duration::from_millis(50), &mut delivered)?;
            }
        }
        Ok(delivered)
    }

    /// Permanently stops reading from a client's connection.
    pub(super) fn stall(&mut self, number: usize) -> anyhow::Result<()> {
        let stream = self.clients.get(number).and_then(|client| client.stream.as_ref());
        let stream = stream.context("not connected")?;
        self.epoll.modify(stream, number as u64, Interest { read: false, write: false, edge: true })?;
        Ok(())
    }

    /// A chat message of `size` bytes.
    pub(super) fn chat(&mut self, sender: usize, size: usize) -> anyhow::Result<()> {
        let number = self.sent.get_mut(sender).context("no such client")?;
        let nanos = u64::try_from(self.began.elapsed().as_nanos())?;
        let text = Stamp { sender, number: *number, nanos }.text(size);
        *number += 1;
        // The floor forwards messages unchanged, so it is sent the form that the other servers produce.
        let message = if self.server.kind == Kind::Floor {
            format!(
                r#"{{"id":1790000000000000,"type":"chat","from":"0123456789abcdef","text":"{text}","at":"2026-11-21T03:00:00.000Z"}}"#
            )
        } else {
            format!(r#"{{"type":"chat","text":"{text}"}}"#)
        };
        self.say(sender, &message)
    }

    fn say(&mut self, sender: usize, message: &str) -> anyhow::Result<()> {
        let client = self.clients.get_mut(sender).context("no such client")?;
        match (self.server.kind, &client.session) {
            (Kind::Sse, Some(session)) => self.posts.post(&self.epoll, sender, session, message),
            _ => client.send(message),
        }
    }

    /// Reads once whatever has arrived, waiting if necessary. Chat messages are added to `delivered`.
    pub(super) fn pump(&mut self, wait: Duration, delivered: &mut Vec<Delivered>) -> anyhow::Result<()> {
        self.epoll.wait(&mut self.events, Some(wait))?;
        let mut asked = Vec::new();
        let tokens: Vec<u64> = self.events.tokens().collect();
        for token in tokens {
            if self.posts.read(&self.epoll, token, &mut self.buffer)? {
                continue;
            }
            let number = usize::try_from(token)?;
            let Some(client) = self.clients.get_mut(number) else { continue };
            let began = self.began;
            let open = client.read(&mut self.buffer, |event| match event {
                Event::Ping => asked.push(number),
                Event::Chat(stamp) => {
                    let delay = began.elapsed().saturating_sub(Duration::from_nanos(stamp.nanos));
                    delivered.push(Delivered { client: number, stamp, delay });
                }
            })?;
            if !open {
                client.drop_connection();
                self.ended += 1;
            }
        }
        for number in asked {
            self.say(number, r#"{"type":"ping"}"#)?;
        }
        Ok(())
    }
}
