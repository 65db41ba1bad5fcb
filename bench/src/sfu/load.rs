//! The load: clients with separate sockets that connect as browsers do and send typical camera and microphone media.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use datagrams::{Egress, Options, Receiver, Socket};
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};

use super::shape::{Member, Shape};
use super::signaling::{Said, Signaling};

/// Packets per picture: at 30 pictures a second some 4.5 Mbit/s.
pub(crate) const PICTURE_PACKETS: u16 = 17;
/// Layers by name and width, and the packets per picture of the largest one: some 1.8 Mbit/s.
const LAYERS: [(&str, u16); 3] = [("q", 320), ("h", 640), ("f", 1_280)];
const LAYERED_PICTURE_PACKETS: u16 = 7;
pub(crate) const PICTURE: Duration = Duration::from_micros(33_333);
pub(crate) const SOUND: Duration = Duration::from_millis(20);
/// Interval between a browser's checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(2_500);
const REPORT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// In rooms of more publishers than this, three of them speak: the server sends the sound of the three loudest.
const ALL_SPEAK: usize = 8;
const SPEAKERS: usize = 3;
/// The audio levels of an active speaker and of a silent participant, in -dBov.
pub(crate) const VOICE: u8 = 30;
pub(crate) const SILENCE: u8 = 127;
/// The headers of IPv4 and UDP, which a line carries, too.
pub(crate) const HEADERS: u64 = 28;

/// Some clients have no connection although the server has had time.
#[derive(Debug, thiserror::Error)]
#[error("the server has not connected everybody in {0:?}")]
pub(crate) struct Unconnected(pub(crate) Duration);

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A socket with buffers for bursts, bound to every address: a server may advertise an address other than loopback.
pub(crate) fn open_socket() -> anyhow::Result<Socket> {
    let options = Options { buffer_bytes: Some(2 << 20), ..Options::default() };
    Ok(Socket::bind("0.0.0.0:0".parse()?, &options)?)
}

/// One peer connection.
struct Endpoint {
    member: usize,
    client: Client,
    socket: Socket,
}

/// What a publisher sends next, and when.
struct Camera {
    endpoint: usize,
    picture: Instant,
    sound: Instant,
    report: Instant,
    /// Whether it is one of those who speak in a large room.
    is_loud: bool,
}

/// Received media.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrived {
    /// Media packets, per receiver.
    pub(crate) expected: u64,
    pub(crate) received: u64,
    /// Large packets and the messages that contained them, which shows the length of the server's runs.
    pub(crate) large: u64,
    pub(crate) runs: u64,
    /// Bytes of all received and sent datagrams, with the headers of IPv4 and UDP.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Delays from sending to arrival, sorted.
    pub(crate) latencies: Vec<u64>,
    /// How long the load took, each time, for all of its sockets, sorted: until then nothing is sent or received.
    pub(crate) laps: Vec<u64>,
}

/// All clients.
pub(crate) struct Load {
    identity: Identity,
    epoch: Instant,
    members: Vec<Member>,
    /// The first of the members that are not connected yet.
    next: usize,
    endpoints: Vec<Endpoint>,
    cameras: Vec<Camera>,
    receiver: Receiver,
    egress: Egress,
    /// One in this many receivers plays the media; the others only count it.
    plays_every: usize,
    players: usize,
    picture_packets: u16,
    /// Whether publishers send in layers.
    has_layers: bool,
    patience: Duration,
    /// Whether the server sends the sound of everybody in large rooms, too.
    is_all_heard: bool,
    arrived: Arrived,
}

impl Load {
    /// The members of these rooms; publishers send this many packets per picture.
    pub(crate) fn new(shape: Shape, picture_packets: u16) -> anyhow::Result<Self> {
        let members = shape.members();
        let receivers = members.iter().filter(|member| member.watches > 0).count();
        let mut load = Self::empty(receivers.div_ceil(100).max(1), picture_packets, PATIENCE)?;
        load.add(members);
        Ok(load)
    }

    /// The members of these rooms; publishers send three layers.
    pub(crate) fn in_layers(shape: Shape) -> anyhow::Result<Self> {
        Ok(Self { has_layers: true, ..Self::new(shape, LAYERED_PICTURE_PACKETS)? })
    }

    /// Nobody yet. Of the receivers that are added, one in `plays_every` will play the media; the server has `patience`
    /// to connect those that are added at once.
    pub(crate) fn empty(
        plays_every: usize,
        picture_packets: u16,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            identity: Identity::generate()?,
            epoch: now(),
            members: Vec::new(),
            next: 0,
            endpoints: Vec::new(),
            cameras: Vec::new(),
            receiver: Receiver::new(16),
            egress: Egress::default(),
            plays_every,
            players: 0,
            picture_packets,
            has_layers: false,
            patience,
            is_all_heard: false,
            arrived: Arrived::default(),
        })
    }

    /// The load for a server that sends the sound of everybody, however large the room is.
    pub(crate) fn all_heard(self) -> Self {
        Self { is_all_heard: true, ..self }
    }

    /// Members who join with the next [`Load::connect`].
    pub(crate) fn add(&mut self, members: impl IntoIterator<Item = Member>) {
        self.members.extend(members);
    }

    /// Number of members that receive media.
    pub(crate) fn receivers(&self) -> usize {
        self.members.iter().filter(|member| member.watches > 0).count()
    }

    /// Connects all clients that are not connected; media can flow when this returns. The others send meanwhile.
    pub(crate) fn connect(&mut self, signaling: &mut impl Signaling) -> anyhow::Result<()> {
        let new: Vec<_> = self.members.iter().copied().enumerate().skip(self.next).collect();
        let known = self.endpoints.len();
        self.next = self.members.len();
        for &(at, member) in &new {
            signaling.join(at, member)?;
            self.send_media();
            self.turn();
        }
        for &(at, _) in new.iter().filter(|(_, member)| member.publishes) {
            let endpoint = self.open(at, ClientKind::Publisher)?;
            let endpoint = self.endpoints.get(endpoint).context("no endpoint")?;
            signaling.publish(at, &with_candidate(&endpoint.client.offer(), &endpoint.socket)?)?;
            self.settle(signaling, |load| load.is_connected(at, ClientKind::Publisher))?;
        }
        for &(at, _) in new.iter().filter(|(_, member)| member.watches > 0) {
            signaling.watch(at)?;
            self.settle(signaling, |load| load.is_connected(at, ClientKind::Player))?;
        }
        // The last offers of a server that sends several.
        let quiet = now() + Duration::from_millis(1_200);
        self.settle(signaling, |_| now() > quiet)?;
        let start = now();
        let publishers = self.endpoints.iter().enumerate().skip(known);
        let publishers = publishers.filter(|(_, e)| e.client.kind() == ClientKind::Publisher);
        let count = u32::try_from(publishers.clone().count().max(1)).unwrap_or(u32::MAX);
        // Cameras are not synchronised.
        let cameras: Vec<_> = (0..)
            .zip(publishers)
            .map(|(at, (endpoint, is))| Camera {
                endpoint,
                picture: start + PICTURE * at / count,
                sound: start + SOUND * at / count,
                report: start + REPORT * at / count,
                is_loud: self.is_loud(is.member),
            })
            .collect();
        self.cameras.extend(cameras);
        Ok(())
    }

    /// Whether a publisher is one of those who speak.
    fn is_loud(&self, member: usize) -> bool {
        let room = self.members.get(member).map(|is| is.room);
        let publishers = || {
            let members = self.members.iter().enumerate();
            members.filter(|(_, is)| is.publishes && Some(is.room) == room).map(|(at, _)| at)
        };
        publishers().count() <= ALL_SPEAK || publishers().take(SPEAKERS).any(|at| at == member)
    }

    fn open(&mut self, member: usize, kind: ClientKind) -> anyhow::Result<usize> {
        let socket = open_socket()?;
        let (address, seed) = (socket.local_addr()?, self.endpoints.len() as u64);
        let mut client = Client::new(kind, address, self.identity.clone(), seed, self.epoch);
        client.check_interval = Duration::from_millis(100);
        if kind == ClientKind::Publisher && self.has_layers {
            client.send_in_layers(&LAYERS);
        }
        if kind == ClientKind::Player {
            client.plays = self.players.is_multiple_of(self.plays_every);
            self.players += 1;
        }
        self.endpoints.push(Endpoint { member, client, socket });
        Ok(self.endpoints.len() - 1)
    }

    fn is_connected(&self, member: usize, kind: ClientKind) -> bool {
        self.endpoint(member, kind)
            .and_then(|at| self.endpoints.get(at))
            .is_some_and(|e| e.client.is_connected())
    }

    fn endpoint(&self, member: usize, kind: ClientKind) -> Option<usize> {
        self.endpoints.iter().position(|e| e.member == member && e.client.kind() == kind)
    }

    /// Processes signaling and datagrams until a condition holds.
    fn settle(&mut self, signaling: &mut impl Signaling, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = now() + self.patience;
        loop {
            while let Some(said) = signaling.poll(Duration::ZERO)? {
                match said {
                    Said::Answer { member, sdp } => {
                        let at = self.endpoint(member, ClientKind::Publisher).context("nobody offered")?;
                        let endpoint = self.endpoints.get_mut(at).context("no endpoint")?;
                        endpoint.client.accept_answer(now(), &sdp).context("the answer is of no use")?;
                    }
                    Said::Offer { member, number, sdp } => {
                        let at = match self.endpoint(member, ClientKind::Player) {
                            Some(at) => at,
                            None => self.open(member, ClientKind::Player)?,
                        };
                        let endpoint = self.endpoints.get_mut(at).context("no endpoint")?;
                        let answer = endpoint.client.answer(now(), &sdp).context("the offer is of no use")?;
                        signaling.answer(member, number, &with_candidate(&answer, &endpoint.socket)?)?;
                    }
                }
            }
            self.send_media();
            self.turn();
            if done(self) {
                return Ok(());
            }
            if now() > deadline {
                return Err(Unconnected(self.patience).into());
            }
        }
    }

    /// Sends for this long, with only the media and its feedback; packets are counted after `warm_up`.
    pub(crate) fn run(
        &mut self,
        warm_up: Duration,
        time: Duration,
        mut at_begin: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Arrived> {
        for endpoint in &mut self.endpoints {
            endpoint.client.check_interval = CHECK_INTERVAL;
        }
        let begin = now() + warm_up;
        let end = begin + time;
        let mut is_warm = false;
        let mut lap = now();
        while now() < end {
            let since = now().saturating_duration_since(lap);
            self.arrived.laps.push(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
            lap += since;
            if !is_warm && now() >= begin {
                is_warm = true;
                // Packets sent earlier have arrived by now.
                self.take(Duration::from_millis(10));
                at_begin()?;
                self.arrived = Arrived::default();
                for endpoint in &mut self.endpoints {
                    endpoint.client.media_packets = 0;
                    endpoint.client.playback.values_mut().for_each(|p| p.latencies_micros.clear());
                }
            }
            self.send_media();
            self.turn();
        }
        // Packets in flight still count.
        self.take(Duration::from_millis(100));
        let mut arrived = std::mem::take(&mut self.arrived);
        let players = self.endpoints.iter().filter(|endpoint| endpoint.client.kind() == ClientKind::Player);
        for endpoint in players {
            arrived.received += endpoint.client.media_packets;
            for playback in endpoint.client.playback.values() {
                arrived.latencies.extend(&playback.latencies_micros);
            }
        }
        arrived.latencies.sort_unstable();
        arrived.laps.sort_unstable();
        Ok(arrived)
    }

    /// Receives for this long.
    fn take(&mut self, time: Duration) {
        let end = now() + time;
        while now() < end {
            self.turn();
        }
    }

    fn send_media(&mut self) {
        let now = now();
        for at in 0..self.cameras.len() {
            let Some(camera) = self.cameras.get_mut(at) else { continue };
            let Some(endpoint) = self.endpoints.get_mut(camera.endpoint) else { continue };
            let room = self.members.get(endpoint.member).map_or(0, |member| member.room);
            let receivers = self
                .members
                .iter()
                .enumerate()
                .filter(|(member, is)| is.room == room && is.watches > 0 && *member != endpoint.member);
            let (mut sent, mut has_sent) = (0, false);
            if camera.picture <= now {
                camera.picture += PICTURE;
                endpoint.client.send_picture(now, self.picture_packets);
                sent += u64::from(self.picture_packets);
                has_sent = true;
            }
            if camera.sound <= now {
                camera.sound += SOUND;
                endpoint.client.send_sound(if camera.is_loud { VOICE } else { SILENCE });
                sent += u64::from(camera.is_loud || self.is_all_heard);
                has_sent = true;
            }
            if camera.report <= now {
                camera.report += REPORT;
                endpoint.client.send_reports(now);
            }
            if has_sent {
                self.arrived.expected += sent * receivers.count() as u64;
                self.arrived.bytes_sent += flush(&mut self.egress, endpoint);
            }
        }
    }

    /// Receives what has arrived, and runs all clients' due work.
    fn turn(&mut self) {
        for endpoint in &mut self.endpoints {
            // The rest is received next time.
            let messages = self.receiver.receive(&endpoint.socket);
            let has_received = messages.is_ok();
            let now = now();
            for received in messages.into_iter().flatten() {
                if received.segment > 1_000 {
                    self.arrived.runs += 1;
                }
                for datagram in received.datagrams() {
                    self.arrived.bytes_received += datagram.len() as u64 + HEADERS;
                    self.arrived.large += u64::from(datagram.len() > 1_000);
                    endpoint.client.handle_datagram(now, datagram);
                }
            }
            // Each client has its own schedule: packets sent by many at the same moment would wake the server only
            // once.
            let is_due = endpoint.client.poll_timeout() <= now;
            if is_due {
                endpoint.client.handle_timeout(now);
            }
            if is_due || has_received {
                self.arrived.bytes_sent += flush(&mut self.egress, endpoint);
            }
        }
    }
}

/// Servers that are not ICE-lite need the client's address.
fn with_candidate(sdp: &str, socket: &Socket) -> anyhow::Result<String> {
    let port = socket.local_addr()?.port();
    let line = format!("a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\na=end-of-candidates\r\n");
    Ok(sdp.replace("a=rtcp-mux\r\n", &format!("a=rtcp-mux\r\n{line}")))
}

/// Sends what a client has to send; returns the number of bytes.
fn flush(egress: &mut Egress, endpoint: &mut Endpoint) -> u64 {
    let mut bytes = 0;
    while let Some((server, datagram)) = endpoint.client.poll_transmit() {
        bytes += datagram.len() as u64 + HEADERS;
        egress.push(endpoint.socket.route(server, None), [&datagram]);
    }
    egress.flush();
    bytes
}
