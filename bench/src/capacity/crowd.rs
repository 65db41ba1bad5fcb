//! One large room with participants that join and leave: at the end, each must be offered and sent the right tracks.
//!
//! Everybody has a microphone, some have a camera: 50 packets a second of sound, 60 of pictures. When the coming and going
//! is over, the newest offer to each person has to list exactly the tracks of all others, and media has to arrive: from each
//! camera, and from as many microphones as the server sends in a large room.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use datagrams::{Egress, Receiver, Socket};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};
use url::Url;

use super::now;
use super::session::Session;
use super::sessions::one_candidate;
use super::target::Target;
use crate::sfu::load::{PICTURE, SILENCE, SOUND, VOICE, open_socket};

/// Packets of a picture.
const PICTURE_PACKETS: u16 = 2;
/// A server sends the sound of all of so many microphones, and of three of more: each of those three hears two others.
const ALL_HEARD: usize = 8;
const LEAST_HEARD: usize = 2;
/// The server accepts 50 connections a second from one address.
const JOIN: Duration = Duration::from_millis(25);
/// How long the server may take until everybody has everybody.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The server's public URL.
    url: Url,
    /// Accept any certificate.
    #[arg(long, short = 'k')]
    insecure: bool,
    /// The room.
    #[arg(long, default_value = "crowd")]
    room: String,
    /// People at a time.
    #[arg(long, default_value_t = 100)]
    people: usize,
    /// How many of them have a camera.
    #[arg(long, default_value_t = 10)]
    cameras: usize,
    /// Other publishers in the room, such as browsers: each person has to be offered their tracks, too.
    #[arg(long, default_value_t = 0)]
    others: usize,
    /// Seconds of coming and going.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// One leaves, and another one comes, so often in a second.
    #[arg(long, default_value_t = 2.0)]
    changes_per_second: f64,
    /// One in so many decrypts what it receives, and tells streams apart; the others count packets.
    #[arg(long, default_value_t = 10)]
    plays_every: usize,
    /// Stay in the room until the standard input ends.
    #[arg(long)]
    stay: bool,
}

/// A client's end of one connection.
struct Endpoint {
    client: Client,
    socket: Socket,
}

/// What is sent next, and when.
struct Sends {
    picture: Option<Instant>,
    sound: Instant,
    report: Instant,
}

/// Somebody in the room.
struct Person {
    id: String,
    session: Session,
    publisher: Endpoint,
    player: Option<Endpoint>,
    plays: bool,
    sends: Sends,
    level: u8,
    /// The peers and tracks in the newest offer.
    offered: BTreeSet<(String, String)>,
    /// What has arrived, when the question was asked: packets, and those of each stream of sound and pictures.
    before: Heard,
}

/// What a person has received.
#[derive(Clone, Default)]
struct Heard {
    packets: u64,
    sounds: Vec<(u32, u64)>,
    pictures: Vec<(u32, u32)>,
}

struct Crowd<'a> {
    arguments: &'a Arguments,
    target: Target,
    identity: Identity,
    epoch: Instant,
    rng: StdRng,
    joined: usize,
    people: Vec<Person>,
    receiver: Receiver,
    egress: Egress,
}

/// Fills the room, lets people come and go, and checks.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    crate::process::raise_limits()?;
    let target = Target::new(&arguments.url, arguments.insecure)?;
    let mut crowd = Crowd {
        arguments,
        target,
        identity: Identity::generate()?,
        epoch: now(),
        rng: StdRng::seed_from_u64(1),
        joined: 0,
        people: Vec::new(),
        receiver: Receiver::new(16),
        egress: Egress::default(),
    };
    for at in 0..arguments.people {
        crowd.come(at < arguments.cameras)?;
        crowd.go_on(JOIN)?;
    }
    let end = now() + Duration::from_secs(arguments.seconds);
    let pause = Duration::from_secs_f64(1.0 / arguments.changes_per_second.max(0.01));
    let mut changes = 0;
    while now() < end {
        crowd.change()?;
        changes += 1;
        crowd.go_on(pause)?;
    }
    let took = crowd.settle()?;
    let Arguments { people, cameras, others, .. } = arguments;
    writeln!(
        std::io::stdout(),
        "{people} people, {cameras} of them with a camera, and {others} others: after {changes} changes everybody has \
         everybody, {:.1} s after the last one",
        took.as_secs_f64()
    )?;
    if arguments.stay {
        let (end, has_ended) = std::sync::mpsc::sync_channel::<()>(1);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(end);
        });
        while has_ended.try_recv() != Err(TryRecvError::Disconnected) {
            crowd.go_on(JOIN)?;
        }
    }
    crowd.people.iter_mut().try_for_each(|person| person.session.send(&json!({"type": "leave"})))
}

impl Crowd<'_> {
    /// Somebody comes and publishes.
    fn come(&mut self, has_camera: bool) -> anyhow::Result<()> {
        let name = format!("Guest {}", self.joined);
        let join = json!({"type": "join", "room": self.arguments.room, "name": name, "topology": "sfu"});
        let mut session = Session::join(&self.target, None, &join)?;
        let id = session.text("/self/id")?.to_owned();
        let publisher = self.endpoint(ClientKind::Publisher)?;
        let mut offer = publisher.client.offer();
        let mut tracks = vec![json!({"mid": "0", "kind": "audio", "source": "microphone"})];
        if has_camera {
            tracks.push(json!({"mid": "1", "kind": "video", "source": "camera"}));
        } else {
            offer.truncate(offer.find("m=video").context("the offer has no picture")?);
            offer = offer.replace("BUNDLE 0 1", "BUNDLE 0");
        }
        session.send(&json!({"type": "publish", "tracks": tracks}))?;
        let description = json!({"type": "offer", "sdp": offer});
        session.send(&json!({"type": "signal", "to": "sfu", "pc": "publish", "description": description}))?;
        let plays = self.joined.is_multiple_of(self.arguments.plays_every);
        let level = if self.joined.is_multiple_of(10) { VOICE } else { SILENCE };
        self.joined += 1;
        let sends = Sends { picture: has_camera.then(now), sound: now(), report: now() };
        let (offered, before) = (BTreeSet::new(), Heard::default());
        let person = Person { id, session, publisher, player: None, plays, sends, level, offered, before };
        self.people.push(person);
        Ok(())
    }

    /// Somebody leaves, and somebody comes with the same devices.
    fn change(&mut self) -> anyhow::Result<()> {
        let at = usize::try_from(self.rng.next_u64()).unwrap_or(0) % self.people.len().max(1);
        let mut person = self.people.swap_remove(at);
        person.session.send(&json!({"type": "leave"}))?;
        self.come(person.sends.picture.is_some())
    }

    fn endpoint(&mut self, kind: ClientKind) -> anyhow::Result<Endpoint> {
        let socket = open_socket()?;
        let address = socket.local_addr()?;
        let client = Client::new(kind, address, self.identity.clone(), self.rng.next_u64(), self.epoch);
        Ok(Endpoint { client, socket })
    }

    /// Runs everybody for this long.
    fn go_on(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = now() + time;
        while now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits until everybody has everybody, and returns for how long.
    fn settle(&mut self) -> anyhow::Result<Duration> {
        let begin = now();
        for person in &mut self.people {
            person.before = person.heard();
        }
        loop {
            self.go_on(Duration::from_millis(100))?;
            let lacks = self.people.iter().find_map(|person| self.lack(person));
            match lacks {
                None => return Ok(begin.elapsed()),
                Some(lack) if begin.elapsed() > PATIENCE => bail!("{lack}"),
                Some(_) => {}
            }
        }
    }

    /// What a person should have and has not.
    fn lack(&self, person: &Person) -> Option<String> {
        let others = || self.people.iter().filter(|other| other.id != person.id);
        for other in others() {
            let tracks = person.offered.iter().filter(|(peer, _)| *peer == other.id).count();
            let expected = 1 + usize::from(other.sends.picture.is_some());
            if tracks != expected {
                return Some(format!(
                    "{} is offered {tracks} of {expected} tracks of {}",
                    person.id, other.id
                ));
            }
        }
        let peers: BTreeSet<_> = person.offered.iter().map(|(peer, _)| peer).collect();
        let expected = others().count() + self.arguments.others;
        if peers.len() != expected {
            return Some(format!("{} is offered {} of {expected} peers", person.id, peers.len()));
        }
        let (now, before) = (person.heard(), &person.before);
        if now.packets == before.packets {
            return Some(format!("nothing arrives at {}", person.id));
        }
        let cameras = others().filter(|other| other.sends.picture.is_some()).count();
        let (pictures, sounds) = (grown(&now.pictures, &before.pictures), grown(&now.sounds, &before.sounds));
        if person.plays && pictures < cameras {
            return Some(format!("{} sees {pictures} of {cameras} cameras", person.id));
        }
        let heard = if self.people.len() + self.arguments.others > ALL_HEARD {
            LEAST_HEARD
        } else {
            others().count()
        };
        (person.plays && sounds < heard)
            .then(|| format!("{} hears {sounds} of {heard} microphones", person.id))
    }

    /// Passes on what has arrived, and sends what is due.
    fn turn(&mut self) -> anyhow::Result<()> {
        let mut is_idle = true;
        for at in 0..self.people.len() {
            while let Some(event) = self.people.get_mut(at).map(|it| it.session.next()).transpose()?.flatten()
            {
                is_idle = false;
                if event.contains(r#""type":"signal""#) {
                    self.on_signal(at, &serde_json::from_str(&event)?)?;
                }
            }
            let Some(person) = self.people.get_mut(at) else { continue };
            person.send_media();
            for endpoint in [Some(&mut person.publisher), person.player.as_mut()].into_iter().flatten() {
                is_idle &= !endpoint.turn(&mut self.receiver, &mut self.egress);
            }
        }
        if is_idle {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn on_signal(&mut self, at: usize, event: &Value) -> anyhow::Result<()> {
        let Some(sdp) = event.pointer("/description/sdp").and_then(Value::as_str) else { return Ok(()) };
        let sdp = one_candidate(sdp, self.target.ip())?;
        if event.get("pc").and_then(Value::as_str) == Some("publish") {
            let person = self.people.get_mut(at).context("nobody")?;
            return person.publisher.client.accept_answer(now(), &sdp).context("the answer is of no use");
        }
        if self.people.get(at).is_some_and(|person| person.player.is_none()) {
            let player = self.endpoint(ClientKind::Player)?;
            self.people.get_mut(at).context("nobody")?.player = Some(player);
        }
        let person = self.people.get_mut(at).context("nobody")?;
        let player = person.player.as_mut().context("no player")?;
        player.client.plays = person.plays;
        let answer = player.client.answer(now(), &sdp).context("the offer is of no use")?;
        let tracks = event.get("tracks").and_then(Value::as_array).context("an offer without tracks")?;
        let text = |track: &Value, name: &str| track.get(name)?.as_str().map(str::to_owned);
        person.offered =
            tracks.iter().filter_map(|track| Some((text(track, "peer")?, text(track, "track")?))).collect();
        ensure!(person.offered.len() == tracks.len(), "a track is offered twice");
        let description = json!({"type": "answer", "sdp": answer});
        person.session.send(&json!({
            "type": "signal", "to": "sfu", "pc": "subscribe", "description": description,
            "negotiation": event.get("negotiation"),
        }))
    }
}

impl Person {
    fn heard(&self) -> Heard {
        let Some(player) = &self.player else { return Heard::default() };
        let client = &player.client;
        Heard {
            packets: client.media_packets,
            sounds: client.audio_packets.iter().map(|(ssrc, packets)| (*ssrc, *packets)).collect(),
            pictures: client.playback.iter().map(|(ssrc, playback)| (*ssrc, playback.played)).collect(),
        }
    }

    fn send_media(&mut self) {
        let (Sends { picture, sound, report }, now) = (&mut self.sends, now());
        let client = &mut self.publisher.client;
        if !client.is_connected() {
            return;
        }
        if picture.is_some_and(|at| at <= now) {
            // A generator that was held up does not catch up.
            *picture = Some(now + PICTURE);
            client.send_picture(now, PICTURE_PACKETS);
        }
        if *sound <= now {
            *sound = (*sound + SOUND).max(now);
            client.send_sound(self.level);
        }
        if *report <= now {
            *report = now + Duration::from_secs(1);
            client.send_reports(now);
        }
    }
}

impl Endpoint {
    /// Receives and sends what there is; `true` if something has arrived.
    fn turn(&mut self, receiver: &mut Receiver, egress: &mut Egress) -> bool {
        let Self { client, socket } = self;
        let mut has_received = false;
        for received in receiver.receive(socket).into_iter().flatten() {
            for datagram in received.datagrams() {
                has_received = true;
                client.handle_datagram(now(), datagram);
            }
        }
        client.handle_timeout(now());
        while let Some((server, datagram)) = client.poll_transmit() {
            egress.push(socket.route(server, None), [&datagram]);
        }
        egress.flush();
        has_received
    }
}

/// The number of streams of which more has arrived.
fn grown<T: PartialEq>(now: &[(u32, T)], before: &[(u32, T)]) -> usize {
    now.iter().filter(|stream| !before.contains(stream)).count()
}
