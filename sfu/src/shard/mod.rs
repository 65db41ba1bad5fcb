//! A shard: the rooms, peers and tracks of one core, as a state machine without I/O.
//!
//! This file contains the complete public interface; the submodules contain the implementation.
//!
//! | module | contents |
//! | --- | --- |
//! | `rooms` | Rooms and peers |
//! | `connections` | Peer connections |
//! | `tracks` | Publications and subscriptions |
//! | `links`, `message` | Messages to other shards of the process |
//! | `demands`, `lifecycle` | Requests of rooms, and what begins and ends with them |
//! | `publish`, `play`, `offer`, `negotiate`, `describe` | Answers to publishers and WHEP players, offers to subscribers |
//! | `ingress`, `fanout`, `start`, `pace`, `feedback`, `bandwidth` | The path of packets and of RTCP feedback |
//! | `select`, `watched` | The layer of each subscription, and which layers publishers need to send |
//! | `choice` | Whose sound is sent in large rooms |
//! | `mirror`, `record`, `speakers`, `statistics` | Rooms on several shards, recorders, active speakers, what is measured |

mod bandwidth;
mod choice;
mod connections;
mod demands;
mod describe;
mod fanout;
mod feedback;
mod ingress;
mod input;
mod lifecycle;
mod links;
mod message;
mod mirror;
mod negotiate;
mod offer;
mod pace;
mod play;
mod publish;
mod record;
mod rooms;
mod select;
mod speakers;
mod start;
mod statistics;
mod tracks;
mod watched;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use datagrams::Batch;
use rand::SeedableRng;
use rand::rngs::StdRng;
use signaling_core::{MediaEvent, RoomId};

use crate::codec::MediaKind;
use crate::config::Config;
use crate::demux::{Protocol, classify};
use crate::dtls::Identity;
use crate::ice::{local_ufrag, shard_of};
use crate::keys::PeerKey;
use crate::metrics::Metrics;
use crate::path::{Carrier, Path};
use crate::time::{Clock, Micros};
use crate::transport::{DtlsContext, Transport};
use connections::Connections;
pub use input::{Input, NegotiationError, Reply};
use links::Links;
use message::Content;
pub use message::Message;
use rooms::Rooms;
pub(crate) use rooms::home_of;
use tracks::Tracks;

/// A state machine driven by datagrams, inputs, messages from other shards and the time.
///
/// After each batch of `handle_*` calls, the caller drains the shard: [`Shard::poll_message`] and
/// [`Shard::poll_transmit`] until both return `None`, then [`Shard::poll_message`] again, and [`Shard::poll_event`].
pub struct Shard {
    index: u16,
    config: Arc<Config>,
    identity: Identity,
    clock: Clock,
    rng: StdRng,
    rooms: Rooms,
    connections: Connections,
    tracks: Tracks,
    links: Links,
    /// Peers whose sections may need an update.
    renegotiate: Vec<PeerKey>,
    next_speakers: Micros,
    egress: Batch<Path>,
    events: VecDeque<(RoomId, MediaEvent)>,
    /// Whether the worker is behind, so that nobody begins to publish.
    is_behind: bool,
    counted: Metrics,
    scratch: Scratch,
}

/// Buffers that are reused for each packet.
#[derive(Default)]
struct Scratch {
    datagram: Vec<u8>,
    sequences: Vec<u16>,
    extensions: Vec<u8>,
}

/// Datagrams to send; dropping this value removes them from the shard.
pub struct Transmits<'a>(&'a mut Batch<Path>);

impl Deref for Transmits<'_> {
    type Target = Batch<Path>;

    fn deref(&self) -> &Batch<Path> {
        self.0
    }
}

impl Drop for Transmits<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl Shard {
    /// Creates the shard with this index, out of `config.shards`, without rooms.
    pub fn new(index: u16, config: Arc<Config>, identity: Identity, epoch: Instant) -> Self {
        let mut seed = config.seed;
        for (byte, mask) in seed.iter_mut().zip(index.to_be_bytes()) {
            *byte ^= mask;
        }
        Self {
            index,
            links: Links::new(config.shards),
            config,
            identity,
            clock: Clock::new(epoch),
            rng: StdRng::from_seed(seed),
            rooms: Rooms::default(),
            connections: Connections::default(),
            tracks: Tracks::default(),
            renegotiate: Vec::new(),
            next_speakers: Micros::default(),
            egress: Batch::default(),
            events: VecDeque::new(),
            is_behind: false,
            counted: Metrics::default(),
            scratch: Scratch { datagram: vec![0; 2048], ..Scratch::default() },
        }
    }

    /// Handles a datagram from a client, of this shard or of another one. It is decrypted in place, so its contents
    /// are unspecified afterwards.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        self.counted.datagrams_received += 1;
        self.counted.bytes_received += datagram.len() as u64;
        let now = self.clock.micros(now);
        match classify(datagram) {
            None => {}
            Some(Protocol::Stun) => {
                let Some(ufrag) = local_ufrag(datagram) else { return };
                match shard_of(ufrag).filter(|_| self.links.exist()) {
                    Some(owner) if owner != self.index => {
                        if matches!(path.carrier, Carrier::Stream(_)) {
                            // Only this shard can answer over the connection.
                            return;
                        }
                        self.links.forward_to(now, owner, path, Protocol::Stun, datagram);
                    }
                    _ => {
                        self.on_check(now, path, ufrag, datagram);
                    }
                }
            }
            // Only connectivity checks are accepted from an address that ICE has not validated.
            Some(protocol) => match self.connections.at(path.source()) {
                Some(key) => self.on_protected(now, key, path, protocol, datagram),
                None => self.links.forward(now, path, protocol, datagram),
            },
        }
    }

    /// Handles an input.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.on_input(self.clock.micros(now), input);
    }

    /// Handles a message that the shard `from` has sent to this one.
    pub fn handle_message(&mut self, now: Instant, from: u16, message: Message) {
        let now = self.clock.micros(now);
        match message.0 {
            Content::Datagrams(mut batch) => {
                batch.drain(|(path, protocol), datagram| {
                    self.on_forwarded(now, from, path, protocol, datagram);
                });
                self.links.send(from, Content::SpareDatagrams(batch));
            }
            Content::Owns(address) => self.links.set_owner(from, address),
            Content::Media(mut batch) => {
                batch.drain(|packet, extensions, payload| {
                    self.on_mirrored(now, from, packet, extensions, payload);
                });
                self.links.send(from, Content::SpareMedia(batch));
            }
            Content::Note(note) => self.on_note(now, from, note),
            Content::SpareDatagrams(spare) => self.links.keep_datagrams(spare),
            Content::SpareMedia(spare) => self.links.keep_media(spare),
        }
    }

    /// Sets whether the shard can keep up. While it cannot, offers of new publishers are refused.
    pub fn set_behind(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.micros(now);
        let mut is_due = false;
        while let Some(key) = self.connections.pop_due(now) {
            is_due = true;
            self.run_timer(now, key);
        }
        if is_due {
            self.tell_speakers(now);
            self.negotiate_pending(now);
        }
    }

    /// The latest time to call [`Shard::handle_timeout`] and drain the shard afterwards.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.connections.next_timer(), self.links.poll_timeout()];
        timers.into_iter().flatten().min().map(|at| self.clock.instant(at))
    }

    /// The next datagrams to send, up to about 256 KiB. Send them and call again, until there are none,
    /// before handling anything else.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmits<'_>> {
        let now = self.clock.micros(now);
        self.mirror_pending(now);
        self.fan_out(now);
        if self.egress.is_empty() {
            return None;
        }
        self.counted.datagrams_sent += self.egress.datagrams() as u64;
        self.counted.bytes_sent += self.egress.len() as u64;
        Some(Transmits(&mut self.egress))
    }

    /// The next message and the shard it is addressed to. Messages to one shard must be handled in this order.
    pub fn poll_message(&mut self, now: Instant) -> Option<(u16, Message)> {
        let now = self.clock.micros(now);
        self.mirror_pending(now);
        self.links.poll(now)
    }

    /// The next event for the rooms.
    pub fn poll_event(&mut self) -> Option<(RoomId, MediaEvent)> {
        self.events.pop_front()
    }

    /// Whether ICE has validated this address for a client of this shard.
    pub fn knows_address(&self, source: SocketAddr) -> bool {
        self.connections.at(Path::to(source).source()).is_some()
    }

    /// Whether ICE has validated this path for a client of this shard.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        self.connections.at(path.source()).is_some()
    }

    /// Whether the client on this path is sent an audio track with this SSRC.
    pub(crate) fn is_audio(&self, path: &Path, ssrc: u32) -> bool {
        let transport = self.connections.at(path.source()).and_then(|key| self.connections.get(key));
        transport.into_iter().flat_map(Transport::sends).any(|key| {
            let sent = self.tracks.subscription(key);
            sent.is_some_and(|sent| sent.kind == MediaKind::Audio && sent.ssrc == ssrc)
        })
    }

    /// The counters and the current numbers of rooms, peers, transports and tracks.
    pub fn metrics(&self) -> Metrics {
        let (rooms, peers) = self.rooms.population();
        Metrics {
            rooms: rooms as u64,
            peers: peers as u64,
            transports: self.connections.len() as u64,
            publications: self.tracks.publications.len() as u64,
            subscriptions: self.tracks.subscriptions.len() as u64,
            ..self.counted
        }
    }

    fn dtls_context(&mut self) -> (&mut Connections, DtlsContext<'_>) {
        let context =
            DtlsContext { clock: self.clock, egress: &mut self.egress, buf: &mut self.scratch.datagram };
        (&mut self.connections, context)
    }
}
