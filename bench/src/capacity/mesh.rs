//! Signaling of rooms in which media goes from peer to peer: the server passes on descriptions and candidates.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::now;
use super::sessions::Sessions;
use super::shape::{Figures, Shape};
use crate::signaling::wire::Stamp;

/// Bytes of a candidate, which is some three times as long as in a browser.
const CANDIDATE: usize = 300;
/// How long messages may be on their way at the end of a step.
const REST: Duration = Duration::from_secs(1);

/// Rooms of people who send one another candidates.
pub(super) struct Mesh<'a> {
    people: usize,
    size: usize,
    /// Messages per second of each person.
    rate: u32,
    sessions: Sessions<'a>,
    /// The peer ids, in the order of the sessions.
    peers: Vec<String>,
    began: Instant,
    sent: u64,
}

impl<'a> Mesh<'a> {
    /// Nobody yet; rooms will have this many people.
    pub(super) fn new(people: usize, rate: u32, sessions: Sessions<'a>) -> Self {
        Self { people, size: 0, rate, sessions, peers: Vec::new(), began: now(), sent: 0 }
    }

    /// Sends a candidate of the `number`th message to another member of the sender's room.
    fn say(&mut self, number: u64) -> anyhow::Result<()> {
        let (count, people) = (self.peers.len() as u64, self.people as u64);
        let sender = usize::try_from(number % count)?;
        let others = people - 1;
        let step = usize::try_from(number / count % others)? + 1;
        let first = sender - sender % self.people;
        let receiver = first + (sender - first + step) % self.people;
        let nanos = u64::try_from(self.began.elapsed().as_nanos())?;
        let candidate = Stamp { sender, number, nanos }.text(CANDIDATE);
        let to = self.peers.get(receiver).context("no such peer")?;
        let epoch = self.sessions.each.get(sender).and_then(|session| session.welcome.pointer("/room/epoch"));
        let epoch = epoch.and_then(Value::as_u64).unwrap_or(0);
        self.sent += 1;
        self.sessions.send(
            sender,
            &json!({
                "type": "signal", "to": to, "epoch": epoch,
                "candidate": {"candidate": candidate, "sdpMid": "0"},
            }),
        )
    }

    fn receive(&mut self, wait: Duration, delays: &mut Vec<Duration>) -> anyhow::Result<()> {
        let began = self.began;
        self.sessions.receive(wait, |_, event| {
            if let Some(stamp) = Stamp::of(event.as_bytes()) {
                delays.push(began.elapsed().saturating_sub(Duration::from_nanos(stamp.nanos)));
            }
            Ok(())
        })
    }
}

impl Shape for Mesh<'_> {
    fn people(&self, size: usize) -> usize {
        size * self.people
    }

    fn describe(&self, size: usize) -> String {
        format!("{size} × {}", self.people)
    }

    fn joined(&self) -> usize {
        self.sessions.each.len()
    }

    fn grow(&mut self, size: usize) -> anyhow::Result<()> {
        for room in self.size..size {
            for _ in 0..self.people {
                self.sessions.add(room, "participant", "mesh")?;
                let session = self.sessions.each.last().context("no session")?;
                self.peers.push(session.text("/self/id")?.to_owned());
                self.receive(Duration::ZERO, &mut Vec::new())?;
            }
        }
        self.size = size;
        Ok(())
    }

    fn run(
        &mut self,
        time: Duration,
        at_begin: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Figures> {
        at_begin()?;
        let (sent, start) = (self.sent, now());
        let per_second = self.peers.len() as u64 * u64::from(self.rate);
        let interval = Duration::from_secs(1) / u32::try_from(per_second.max(1))?;
        let (mut delays, mut late, mut due) = (Vec::new(), Vec::new(), Duration::ZERO);
        while due < time {
            let elapsed = start.elapsed();
            if elapsed >= due {
                late.push(elapsed.saturating_sub(due));
                self.say(self.sent)?;
                due += interval;
            }
            self.receive(due.saturating_sub(start.elapsed()).min(Duration::from_millis(50)), &mut delays)?;
        }
        let expected = self.sent - sent;
        let end = now() + REST;
        while (delays.len() as u64) < expected && now() < end {
            self.receive(Duration::from_millis(50), &mut delays)?;
        }
        late.sort_unstable();
        Ok(Figures {
            expected,
            received: delays.len() as u64,
            late: late.get(late.len() * 99 / 100).copied().unwrap_or_default(),
            delays,
            ..Figures::default()
        })
    }

    fn end(&mut self) {
        self.sessions.leave();
    }
}
