//! All sessions of a run, in one loop.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datagrams::{Epoll, Events, Interest};
use serde_json::{Value, json};

use super::now;
use super::session::Session;
use super::target::Target;
use super::token::Tokens;
use crate::sfu::shape::Member;
use crate::sfu::signaling::{Said, Signaling};

/// Sessions of one server.
pub(super) struct Sessions<'a> {
    target: &'a Target,
    tokens: &'a Tokens,
    /// The first part of the names of rooms, or the only room.
    rooms: Rooms,
    /// The local addresses, used in turn.
    from: Vec<IpAddr>,
    /// The time between two joins.
    pace: Duration,
    next_join: Instant,
    pub(super) each: Vec<Session>,
    epoll: Epoll,
    events: Events,
    said: VecDeque<Said>,
}

/// The names of rooms.
pub(super) enum Rooms {
    /// One name for all.
    One(String),
    /// This, and a number.
    Numbered(String),
}

impl Rooms {
    fn name(&self, number: usize) -> String {
        match self {
            Self::One(name) => name.clone(),
            Self::Numbered(prefix) => format!("{prefix}-{number}"),
        }
    }
}

impl<'a> Sessions<'a> {
    /// None yet; `joins_per_second` of them will join.
    pub(super) fn new(
        target: &'a Target,
        tokens: &'a Tokens,
        rooms: Rooms,
        from: Vec<IpAddr>,
        joins_per_second: u32,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            target,
            tokens,
            rooms,
            from,
            pace: Duration::from_secs(1) / joins_per_second.max(1),
            next_join: now(),
            each: Vec::new(),
            epoll: Epoll::new()?,
            events: Events::with_capacity(1024),
            said: VecDeque::new(),
        })
    }

    /// Joins a room, when it is time for that.
    pub(super) fn add(&mut self, room: usize, role: &str, topology: &str) -> anyhow::Result<()> {
        std::thread::sleep(self.next_join.saturating_duration_since(now()));
        self.next_join = now() + self.pace;
        let number = self.each.len();
        let from = self.from.get(number % self.from.len().max(1)).copied();
        let room = self.rooms.name(room);
        let token = self.tokens.of(&room);
        let mut join = json!({
            "type": "join", "room": room, "name": format!("Load {number}"), "role": role, "topology": topology,
        });
        if let (Some(token), Some(join)) = (token, join.as_object_mut()) {
            join.insert("token".to_owned(), token.into());
        }
        let session = Session::join(self.target, from, &join)?;
        self.epoll.add(session.stream(), number as u64, Interest::READ)?;
        self.each.push(session);
        Ok(())
    }

    pub(super) fn send(&mut self, session: usize, message: &Value) -> anyhow::Result<()> {
        self.each.get_mut(session).context("no such session")?.send(message)
    }

    /// Passes on what has arrived within this time: the number of the session, and its event.
    pub(super) fn receive(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(usize, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.epoll.wait(&mut self.events, Some(wait))?;
        for number in self.events.tokens().filter_map(|token| usize::try_from(token).ok()) {
            let Some(session) = self.each.get_mut(number) else { continue };
            while let Some(event) = session.next()? {
                each(number, &event)?;
            }
        }
        Ok(())
    }

    /// Everybody leaves.
    pub(super) fn leave(&mut self) {
        for session in &mut self.each {
            // The server may have closed it.
            let _ = session.send(&json!({"type": "leave"}));
        }
    }
}

impl Signaling for Sessions<'_> {
    fn join(&mut self, _: usize, is: Member) -> anyhow::Result<()> {
        let role = match (is.publishes, is.watches > 0) {
            (true, true) => "participant",
            (true, false) => "broadcaster",
            (false, _) => "viewer",
        };
        self.add(is.room, role, "sfu")
    }

    fn publish(&mut self, member: usize, offer: &str) -> anyhow::Result<()> {
        let track = |mid: &str, kind: &str, source: &str| json!({"mid": mid, "kind": kind, "source": source});
        let tracks = [track("0", "audio", "microphone"), track("1", "video", "camera")];
        self.send(member, &json!({"type": "publish", "tracks": tracks}))?;
        let description = json!({"type": "offer", "sdp": offer});
        self.send(
            member,
            &json!({"type": "signal", "to": "sfu", "pc": "publish", "description": description}),
        )
    }

    fn watch(&mut self, _: usize) -> anyhow::Result<()> {
        Ok(()) // The server offers by itself.
    }

    fn answer(&mut self, member: usize, number: Option<u64>, sdp: &str) -> anyhow::Result<()> {
        let description = json!({"type": "answer", "sdp": sdp});
        self.send(
            member,
            &json!({
                "type": "signal", "to": "sfu", "pc": "subscribe", "description": description, "negotiation": number,
            }),
        )
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Option<Said>> {
        if self.said.is_empty() {
            let (mut said, ip) = (Vec::new(), self.target.ip());
            self.receive(wait, |member, text| {
                if text.contains(r#""type":"signal""#) {
                    said.extend(media_signal(member, &serde_json::from_str(text)?, ip)?);
                }
                Ok(())
            })?;
            self.said.extend(said);
        }
        Ok(self.said.pop_front())
    }
}

/// The media server's answer to a publisher, or its offer to a subscriber.
fn media_signal(member: usize, event: &Value, ip: IpAddr) -> anyhow::Result<Option<Said>> {
    let Some(sdp) = event.pointer("/description/sdp").and_then(Value::as_str) else { return Ok(None) };
    let sdp = one_candidate(sdp, ip)?;
    Ok(Some(match event.get("pc").and_then(Value::as_str) {
        Some("publish") => Said::Answer { member, sdp },
        _ => Said::Offer { member, number: event.get("negotiation").and_then(Value::as_u64), sdp },
    }))
}

/// A description with one candidate: UDP over IPv4, at the address by which the server is reached if there is one. The
/// clients check no pairs, as a browser does; they use the first candidate.
pub(super) fn one_candidate(sdp: &str, ip: IpAddr) -> anyhow::Result<String> {
    let address = |line: &str| -> Option<SocketAddr> {
        let mut words = line.strip_prefix("a=candidate:")?.split(' ').skip(2);
        let is_udp = words.next()?.eq_ignore_ascii_case("udp");
        let mut words = words.skip(1);
        let address = SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (is_udp && address.is_ipv4()).then_some(address)
    };
    let known: Vec<SocketAddr> = sdp.lines().filter_map(address).collect();
    let chosen = known.iter().find(|address| address.ip() == ip).or(known.first());
    let chosen = *chosen.context("the server offers media at no IPv4 address over UDP")?;
    let keeps = |line: &&str| !line.starts_with("a=candidate:") || address(line) == Some(chosen);
    Ok(sdp.lines().filter(keeps).flat_map(|line| [line, "\r\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::one_candidate;

    #[test]
    fn the_candidate_at_the_address_of_the_server_remains() {
        let sdp = "v=0\r\na=candidate:1 1 udp 9 2001:db8::1 8080 typ host\r\n\
                   a=candidate:2 1 udp 8 192.168.1.2 8080 typ host\r\n\
                   a=candidate:3 1 tcp 7 198.51.100.7 8080 typ host tcptype passive\r\n\
                   a=candidate:4 1 udp 6 198.51.100.7 8080 typ srflx\r\na=mid:0\r\n";
        let chosen = |ip: &str| one_candidate(sdp, ip.parse().unwrap()).unwrap();
        assert_eq!(
            chosen("198.51.100.7"),
            "v=0\r\na=candidate:4 1 udp 6 198.51.100.7 8080 typ srflx\r\na=mid:0\r\n"
        );
        assert!(chosen("203.0.113.1").contains("192.168.1.2"));
        assert!(one_candidate("v=0\r\n", "203.0.113.1".parse().unwrap()).is_err());
    }
}
