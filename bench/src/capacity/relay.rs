//! One-to-one calls through the relay. Both sides have a relay, and each sends to the relay of the other; the server
//! then has the same work per packet as in a call of which one side is relayed, and no peer outside has to be reachable.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datagrams::{Egress, Epoll, Events, Interest, Receiver};
use serde_json::Value;

use super::now;
use super::session::Session;
use super::sessions::Sessions;
use super::shape::{Figures, Shape};
use crate::sfu::load::{HEADERS, PICTURE, SOUND};
use crate::turn::client::{CHANNEL, Client};

/// Bytes of a packet of a picture and of sound, as in the other shapes.
const PICTURE_BYTES: usize = 1_128;
const SOUND_BYTES: usize = 116;
/// The header of channel data (RFC 8656 section 12.4).
const HEADER: usize = 4;
/// How long packets may be on their way at the end of a step.
const REST: Duration = Duration::from_millis(300);

/// One side of a call.
struct Side {
    client: Client,
    picture: Instant,
    sound: Instant,
}

/// Calls through the relay.
pub(super) struct Relay<'a> {
    picture_packets: u16,
    sessions: Sessions<'a>,
    sides: Vec<Side>,
    epoll: Epoll,
    events: Events,
    receiver: Receiver,
    egress: Egress,
    began: Instant,
}

impl<'a> Relay<'a> {
    /// No call yet; each side will send this many packets per picture.
    pub(super) fn new(sessions: Sessions<'a>, picture_packets: u16) -> anyhow::Result<Self> {
        Ok(Self {
            picture_packets,
            sessions,
            sides: Vec::new(),
            epoll: Epoll::new()?,
            events: Events::with_capacity(1024),
            receiver: Receiver::new(16),
            egress: Egress::default(),
            began: now(),
        })
    }

    /// One more call, with the credentials of one session.
    fn add(&mut self) -> anyhow::Result<()> {
        self.sessions.add(self.sides.len() / 2, "participant", "mesh")?;
        let session = self.sessions.each.last().context("no session")?;
        let (server, username, password) = credentials(session)?;
        let open = || Client::open(server, username, password);
        let mut pair = [open()?, open()?];
        Client::allocate_all(&mut pair)?;
        let [one, other] = &mut pair;
        one.bind(other.relay)?;
        other.bind(one.relay)?;
        for client in pair {
            client.socket.as_ref().set_nonblocking(true)?;
            self.epoll.add(&client.socket, self.sides.len() as u64, Interest::READ)?;
            self.sides.push(Side { client, picture: now(), sound: now() });
        }
        Ok(())
    }

    /// Sends what is due; returns the number of packets and their bytes.
    fn send(&mut self, late: &mut Vec<Duration>) -> (u64, u64) {
        let (mut packets, mut bytes) = (0, 0);
        for side in &mut self.sides {
            let now = now();
            for (due, interval, count, size) in [
                (&mut side.picture, PICTURE, self.picture_packets, PICTURE_BYTES),
                (&mut side.sound, SOUND, 1, SOUND_BYTES),
            ] {
                if *due > now {
                    continue;
                }
                late.push(now.saturating_duration_since(*due));
                *due += interval;
                let [c0, c1] = CHANNEL.to_be_bytes();
                let [l0, l1] = u16::try_from(size).unwrap_or(0).to_be_bytes();
                let nanos =
                    u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
                let mut payload = vec![0xda; size];
                payload.iter_mut().zip(nanos.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
                for _ in 0..count {
                    self.egress.push(side.client.socket.route_to_peer(), [&[c0, c1, l0, l1], &payload]);
                    packets += 1;
                    bytes += (size + HEADER) as u64 + HEADERS;
                }
            }
            self.egress.flush();
        }
        (packets, bytes)
    }

    /// Receives what arrives within this time; returns its bytes.
    fn receive(&mut self, wait: Duration, delays: &mut Vec<Duration>) -> anyhow::Result<u64> {
        self.epoll.wait(&mut self.events, Some(wait))?;
        let mut bytes = 0;
        for side in self.events.tokens().filter_map(|token| usize::try_from(token).ok()) {
            let Some(side) = self.sides.get(side) else { continue };
            // The rest is reported again.
            let Ok(messages) = self.receiver.receive(&side.client.socket) else { continue };
            for datagram in messages.flat_map(datagrams::Received::datagrams) {
                bytes += datagram.len() as u64 + HEADERS;
                if let Some(stamp) = datagram.get(HEADER..).and_then(|payload| payload.first_chunk()) {
                    let sent = Duration::from_nanos(u64::from_be_bytes(*stamp));
                    delays.push(self.began.elapsed().saturating_sub(sent));
                }
            }
        }
        Ok(bytes)
    }

    fn next_due(&self) -> Option<Instant> {
        self.sides.iter().map(|side| side.picture.min(side.sound)).min()
    }
}

/// The relay's address over UDP, and the credentials for it, in a welcome.
fn credentials(session: &Session) -> anyhow::Result<(SocketAddr, &str, &str)> {
    let servers = session.welcome.get("iceServers").and_then(Value::as_array).into_iter().flatten();
    for server in servers {
        let text = |field: &str| server.get(field).and_then(Value::as_str);
        let (Some(username), Some(password)) = (text("username"), text("credential")) else { continue };
        let urls = server.get("urls").and_then(Value::as_array).into_iter().flatten();
        for url in urls.filter_map(Value::as_str) {
            if let Some(address) = udp_address(url) {
                return Ok((address, username, password));
            }
        }
    }
    anyhow::bail!("the server offers no relay over UDP at an IPv4 address")
}

/// The IPv4 address in `turn:HOST:PORT?transport=udp` (RFC 7065).
fn udp_address(url: &str) -> Option<SocketAddr> {
    let (authority, query) = url.strip_prefix("turn:")?.split_once('?').unwrap_or((url.get(5..)?, ""));
    if query == "transport=tcp" {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 3478_u16),
    };
    let host = host.trim_matches(['[', ']']);
    (host, port).to_socket_addrs().ok()?.find(|address| matches!(address.ip(), IpAddr::V4(_)))
}

impl Shape for Relay<'_> {
    fn people(&self, size: usize) -> usize {
        2 * size
    }

    fn describe(&self, size: usize) -> String {
        format!("{size} × 2")
    }

    fn joined(&self) -> usize {
        self.sessions.each.len()
    }

    fn grow(&mut self, size: usize) -> anyhow::Result<()> {
        while self.sides.len() < 2 * size {
            self.add()?;
            self.sessions.receive(Duration::ZERO, |_, _| Ok(()))?;
        }
        Ok(())
    }

    fn run(
        &mut self,
        time: Duration,
        at_begin: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Figures> {
        at_begin()?;
        let (start, count) = (now(), u32::try_from(self.sides.len().max(1))?);
        // The sides are not synchronised.
        for (number, side) in (0..).zip(&mut self.sides) {
            side.picture = start + PICTURE * number / count;
            side.sound = start + SOUND * number / count;
        }
        let (mut figures, mut late) = (Figures::default(), Vec::new());
        while start.elapsed() < time {
            let (packets, bytes) = self.send(&mut late);
            figures.expected += packets;
            figures.bytes_sent += bytes;
            let wait = self.next_due().map_or(SOUND, |due| due.saturating_duration_since(now()));
            figures.bytes_received += self.receive(wait, &mut figures.delays)?;
        }
        let end = now() + REST;
        while (figures.delays.len() as u64) < figures.expected && now() < end {
            figures.bytes_received += self.receive(Duration::from_millis(20), &mut figures.delays)?;
        }
        self.sessions.receive(Duration::ZERO, |_, _| Ok(()))?;
        late.sort_unstable();
        figures.received = figures.delays.len() as u64;
        figures.late = late.get(late.len() * 99 / 100).copied().unwrap_or_default();
        Ok(figures)
    }

    fn end(&mut self) {
        self.sessions.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::udp_address;

    #[test]
    fn addresses_of_relays() {
        let address = |url: &str| udp_address(url).map(|address| address.to_string());
        assert_eq!(address("turn:192.0.2.1:3479?transport=udp").as_deref(), Some("192.0.2.1:3479"));
        assert_eq!(address("turn:192.0.2.1").as_deref(), Some("192.0.2.1:3478"));
        assert_eq!(address("turn:192.0.2.1:3478?transport=tcp"), None);
        assert_eq!(address("turns:192.0.2.1:5349"), None);
        assert_eq!(address("turn:[2001:db8::1]:3478"), None);
    }
}
