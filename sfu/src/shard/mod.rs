//! A worker: all rooms, peers and tracks of one core, as a state machine without I/O.

mod bandwidth;
mod connections;
mod fanout;
mod feedback;
mod ingress;
mod media_batch;
mod mirror;
mod negotiate;
mod offer;
mod record;
mod rooms;
mod sections;
mod speakers;
mod start;
mod tracks;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datagrams::Batch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
pub use signaling_core::{HttpAnswer as Answer, HttpSession};
use signaling_core::{MediaDemand, MediaEvent, Patched, PeerId, RoomId};
use slotmap::SlotMap;

use crate::config::Config;
use crate::dtls::Identity;
use crate::metrics::Metrics;
use crate::path::Path;
use crate::publication::Publication;
use crate::sdp::SdpError;
use crate::subscription::Subscription;
use crate::tap::Tap;
use crate::transport::Transport;
pub(crate) use media_batch::MediaBatch;
pub(crate) use mirror::{Note, home_of};
use rooms::{Peer, Room};

slotmap::new_key_type! {
    pub(crate) struct PeerKey;
    pub(crate) struct TransportKey;
    pub(crate) struct PublicationKey;
    pub(crate) struct SubscriptionKey;
}

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What a worker is told from outside, datagrams apart.
pub enum Input {
    /// A room's demand.
    Demand {
        /// The room.
        room: RoomId,
        /// What it asks.
        demand: MediaDemand,
    },
    /// A WHIP or WHEP client's first offer. The peer must have joined.
    Offer {
        /// The room.
        room: RoomId,
        /// Who.
        peer: PeerId,
        /// What for.
        session: HttpSession,
        /// The SDP.
        sdp: String,
        /// The server's address by which the client came, which becomes the first candidate.
        via: Option<IpAddr>,
        /// Takes the answer.
        reply: Reply<Answer>,
    },
    /// A WHIP or WHEP client's trickled candidates or ICE restart (RFC 9725 section 4.3).
    Fragment {
        /// The room.
        room: RoomId,
        /// Who.
        peer: PeerId,
        /// The ICE sessions that it may be about; `None` when any will do.
        ice_sessions: Option<Vec<String>>,
        /// The SDP fragment.
        sdp: String,
        /// Takes what became of it.
        reply: Reply<Patched>,
    },
    /// A recorder for all that is published in a room, or none any more.
    Record {
        /// The room.
        room: RoomId,
        /// What takes its media.
        tap: Option<Arc<dyn Tap>>,
    },
    /// A recorder needs a picture to start with.
    Keyframe {
        /// The room.
        room: RoomId,
        /// The track.
        track: Arc<str>,
    },
}

/// Takes the result of a negotiation, from the worker's thread.
pub type Reply<T> = Box<dyn FnOnce(Result<T, NegotiationError>) + Send>;

/// Why a negotiation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The client's description is at fault.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// The peer is not in the room, or has no such session.
    #[error("no such peer or session")]
    UnknownPeer,
    /// The server cannot take more.
    #[error("the media server is full")]
    Overloaded,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
}

/// A state machine that takes datagrams, inputs and the time, and fills an egress slab.
///
/// Call [`Worker::handle_datagram`] for each datagram of a batch, then [`Worker::fan_out`] until it says `true`, each time
/// sending what is in [`Worker::egress_mut`] and clearing it; call [`Worker::handle_timeout`] when [`Worker::poll_timeout`] says so, and drain
/// [`Worker::poll_event`].
pub struct Worker {
    index: u16,
    shared: Arc<Shared>,
    rng: StdRng,
    epoch: Instant,
    rooms: HashMap<RoomId, Room>,
    peers: SlotMap<PeerKey, Peer>,
    transports: SlotMap<TransportKey, Transport>,
    publications: SlotMap<PublicationKey, Publication>,
    subscriptions: SlotMap<SubscriptionKey, Subscription>,
    by_address: FastMap<SocketAddr, TransportKey>,
    by_ufrag: FastMap<String, TransportKey>,
    /// Publications with packets to fan out.
    dirty: Vec<PublicationKey>,
    served: fanout::Served,
    /// Sections that can send since the last fan-out.
    starting: Vec<SubscriptionKey>,
    /// Mirrors of tracks of rooms whose home is another worker, by what that one knows them by.
    mirrors: FastMap<(u16, PublicationKey), PublicationKey>,
    /// What other workers are to be told.
    pub(crate) notes: Vec<(u16, Note)>,
    /// Packets for other workers, by worker.
    pub(crate) batches: Vec<MediaBatch>,
    timers: BinaryHeap<Reverse<(u64, TransportKey)>>,
    /// Peers whose standing offer may have to be renewed.
    renegotiate: Vec<PeerKey>,
    next_speakers: u64,
    egress: Batch<Path>,
    events: VecDeque<(RoomId, MediaEvent)>,
    dtls_buf: Vec<u8>,
    sequence_buf: Vec<u16>,
    extension_buf: Vec<u8>,
}

impl Worker {
    pub(crate) fn new(index: u16, shared: Arc<Shared>, epoch: Instant) -> Self {
        let mut seed = shared.config.seed;
        for (byte, mask) in seed.iter_mut().zip(index.to_be_bytes()) {
            *byte ^= mask;
        }
        let workers = usize::from(shared.config.workers);
        Self {
            index,
            shared,
            rng: StdRng::from_seed(seed),
            epoch,
            rooms: HashMap::new(),
            peers: SlotMap::with_key(),
            transports: SlotMap::with_key(),
            publications: SlotMap::with_key(),
            subscriptions: SlotMap::with_key(),
            by_address: FastMap::default(),
            by_ufrag: FastMap::default(),
            dirty: Vec::new(),
            served: fanout::Served::default(),
            starting: Vec::new(),
            mirrors: FastMap::default(),
            notes: Vec::new(),
            batches: std::iter::repeat_with(MediaBatch::default).take(workers).collect(),
            timers: BinaryHeap::new(),
            renegotiate: Vec::new(),
            next_speakers: 0,
            egress: Batch::default(),
            events: VecDeque::new(),
            dtls_buf: vec![0; 2048],
            sequence_buf: Vec::new(),
            extension_buf: Vec::new(),
        }
    }

    /// Which worker this is, counted from 0.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// When [`Worker::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Reverse((at, _)) = self.timers.peek()?;
        Some(self.epoch + Duration::from_micros(*at))
    }

    /// What happened, for the rooms.
    pub fn poll_event(&mut self) -> Option<(RoomId, MediaEvent)> {
        self.events.pop_front()
    }

    /// What to send.
    pub fn egress_mut(&mut self) -> &mut Batch<Path> {
        &mut self.egress
    }

    /// Whether this client's address belongs to one of this worker's transports.
    pub fn knows_address(&self, source: SocketAddr) -> bool {
        self.by_address.contains_key(&source)
    }

    /// `counted`, with how much there is of everything now.
    pub(crate) fn population(&self, counted: Metrics) -> Metrics {
        Metrics {
            rooms: self.rooms.len() as u64,
            peers: self.peers.len() as u64,
            transports: self.transports.len() as u64,
            publications: self.publications.len() as u64,
            subscriptions: self.subscriptions.len() as u64,
            ..counted
        }
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.transports.is_empty() && self.publications.is_empty()
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    fn random_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// Makes sure that the transport's timer runs no later than this.
    fn schedule(&mut self, key: TransportKey, at: u64) {
        if let Some(transport) = self.transports.get_mut(key)
            && at < transport.scheduled
        {
            transport.scheduled = at;
            self.timers.push(Reverse((at, key)));
        }
    }
}
