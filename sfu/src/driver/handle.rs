//! The media server as a whole: the workers, which the caller runs, and the handle through which it controls them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use datagrams::{Mailbox, Wake};
use signaling_core::{HttpAnswer, HttpOffer, MediaDemand, MediaPlane, RoomId};

use super::load::Load;
use super::neighbours::Neighbours;
use super::stream::first_datagram;
use super::streams::{MediaConnection, Streams};
use super::worker::{Inbox, Worker};
use crate::config::Config;
use crate::demux::{Protocol, classify};
use crate::dtls::Identity;
use crate::error::SfuError;
use crate::ice::{local_ufrag, shard_of};
use crate::metrics::{Metrics, Published};
use crate::path::Path;
use crate::shard::{Input, Reply, Shard, home_of};
use crate::tap::Tap;

/// Maximum number of inputs that wait for a shard.
const MAX_INPUTS: usize = 16_384;
/// Maximum number of TCP connections that wait for a shard.
const MAX_ACCEPTED: usize = 256;

/// Creates a media server: its handle, and one worker per shard. Nothing runs until the caller runs the workers, each
/// on its own thread ([`Worker::run`]) or by hand.
pub fn open(config: Config, epoch: Instant) -> Result<(Handle, Vec<Worker>), SfuError> {
    if config.shards == 0 || config.shards > 1_024 {
        return Err(SfuError::Config("1 to 1,024 shards"));
    }
    let (config, identity) = (Arc::new(config), Identity::generate()?);
    let wakes = (0..config.shards).map(|_| Wake::new().map(Arc::new)).collect::<std::io::Result<Vec<_>>>()?;
    let neighbours = Neighbours::between(&wakes);
    let (mut entrances, mut workers) = (Vec::new(), Vec::new());
    for (index, (wake, neighbours)) in (0..).zip(wakes.into_iter().zip(neighbours)) {
        let (sender, inputs) = sync_channel(MAX_INPUTS);
        let (streams, accepted) = sync_channel(MAX_ACCEPTED);
        let relayed = Arc::new(Mailbox::new(Arc::clone(&wake)));
        let published = Published::default();
        let load = Load::new(epoch);
        entrances.push(Entrance {
            inputs: sender,
            streams,
            relayed: Arc::clone(&relayed),
            published: published.clone(),
            load: load.clone(),
            wake: Arc::clone(&wake),
        });
        let shard = Shard::new(index, Arc::clone(&config), identity.clone(), epoch);
        let inbox = Inbox { inputs, relayed, neighbours, wake };
        workers.push(Worker::new(shard, inbox, Streams::new(accepted)?, published, load));
    }
    Ok((Handle { entrances: entrances.into() }, workers))
}

/// The channels into a shard from other threads.
struct Entrance {
    inputs: SyncSender<Input>,
    streams: SyncSender<MediaConnection>,
    relayed: Arc<Mailbox<Path>>,
    published: Published,
    load: Load,
    wake: Arc<Wake>,
}

/// The input queue of the shard is full, or its worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media server is overloaded")]
pub struct Overloaded;

/// Why a TCP connection was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// It does not begin with a connectivity check of a client of this server.
    #[error("the connection does not begin with a connectivity check")]
    NoCheck,
    /// Too many connections wait for the shard, or its worker has ended.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}

/// Sends inputs to the shards. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Handle {
    entrances: Arc<[Entrance]>,
}

impl Handle {
    /// Sends an input to the home shard of its room.
    pub fn send(&self, input: Input) -> Result<(), Overloaded> {
        let entrance = self.entrance_of(input.room()).ok_or(Overloaded)?;
        let result = entrance.inputs.try_send(input);
        entrance.wake.signal();
        result.map_err(|_| Overloaded)
    }

    /// Sends an input to each shard that has room for it.
    pub(crate) fn send_to_all(&self, input: impl Fn() -> Input) {
        for entrance in self.entrances.iter() {
            if entrance.inputs.try_send(input()).is_ok() {
                entrance.wake.signal();
            }
        }
    }

    fn entrance_of(&self, room: &RoomId) -> Option<&Entrance> {
        let shards = u16::try_from(self.entrances.len()).unwrap_or(u16::MAX);
        self.entrances.get(usize::from(home_of(room, shards)))
    }

    /// Whether the worker of a room is behind, so that it should be given no new sessions.
    pub fn is_behind(&self, room: &RoomId) -> bool {
        self.entrance_of(room).is_none_or(|entrance| entrance.load.is_behind(clock::now()))
    }

    /// The current metrics, summed over all shards.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for entrance in self.entrances.iter() {
            sum.add(&entrance.published.read());
        }
        sum
    }

    /// Delivers a datagram that a client behind a relay of this process sent to the candidate `to`. It is dropped if
    /// the shard cannot keep up. Responses are sent to the [`Relay`](crate::Relay) of the socket.
    pub fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        // As with the kernel's choice between sockets that share a port, any shard may receive the datagram, as long as
        // it is always the same one.
        let index = usize::from(from.port()) % self.entrances.len().max(1);
        if let Some(entrance) = self.entrances.get(index) {
            entrance.relayed.put(Path::relayed(from, to.ip()), datagram);
        }
    }

    /// Takes over a TCP connection that a client has opened for media. The check in its first frame names the shard.
    pub fn accept(&self, connection: MediaConnection) -> Result<(), NotAccepted> {
        let check = first_datagram(&connection.received);
        let check = check.filter(|check| classify(check) == Some(Protocol::Stun));
        let shard = check.and_then(local_ufrag).and_then(shard_of).ok_or(NotAccepted::NoCheck)?;
        let entrance = self.entrances.get(usize::from(shard)).ok_or(NotAccepted::NoCheck)?;
        entrance.streams.try_send(connection).map_err(|_| Overloaded)?;
        entrance.wake.signal();
        Ok(())
    }

    /// Answers a WHIP or WHEP client's offer. The peer must have joined by [`MediaDemand::Join`].
    pub fn offer(&self, offer: HttpOffer, reply: Reply<HttpAnswer>) -> Result<(), Overloaded> {
        self.send(Input::Offer { offer, reply })
    }

    /// Attaches a recorder to everything that is published in a room from now on; `None` detaches it. While a room is
    /// recorded, codecs that MP4 supports are preferred.
    pub fn record(&self, room: RoomId, tap: Option<Arc<dyn Tap>>) -> Result<(), Overloaded> {
        self.send(Input::Record { room, tap })
    }

    /// Requests a key frame from the publisher of a track.
    pub fn request_keyframe(&self, room: RoomId, track: Arc<str>) -> Result<(), Overloaded> {
        self.send(Input::Keyframe { room, track })
    }
}

impl MediaPlane for Handle {
    fn demand(&self, room: &RoomId, demand: MediaDemand) {
        if self.send(Input::Demand { room: room.clone(), demand }).is_err() {
            tracing::error!(%room, "the media server takes no more demands");
        }
    }
}
