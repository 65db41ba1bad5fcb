//! The media server as a whole: workers for the caller to run, and a handle to speak to them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use datagrams::{Batch, Wake};
use signaling_core::{Engine, MediaDemand, MediaPlane, PeerId, RoomId};

use crate::config::Config;
use crate::driver::links::HandOver;
use crate::dtls::Identity;
use crate::error::SfuError;
use crate::metrics::{Metrics, Published};
use crate::path::Path;
use crate::shard::{Answer, HttpSession, Input, Reply, Shared, Worker, home_of};
use crate::tap::Tap;

/// Inputs that may wait for a worker.
const MAILBOX: usize = 16_384;

/// The media server.
pub struct Sfu;

impl Sfu {
    /// Makes the workers and the handle. Nothing runs until the caller runs the seats, each on a thread of its own
    /// ([`driver::run`](crate::driver::run)) or by hand.
    #[allow(clippy::new_ret_no_self, reason = "the server is its handle and its workers")]
    pub fn new(config: Config, epoch: Instant) -> Result<(SfuHandle, Vec<Seat>), SfuError> {
        if config.workers == 0 || config.workers > 1_024 {
            return Err(SfuError::Config("1 to 1,024 workers"));
        }
        let workers = config.workers;
        let shared = Arc::new(Shared { identity: Identity::generate()?, config });
        let wakes = (0..workers).map(|_| Wake::new().map(Arc::new)).collect::<std::io::Result<Vec<_>>>()?;
        let mut mailboxes = Vec::new();
        let mut seats = Vec::new();
        let relations = HandOver::between(&wakes).into_iter();
        for (index, (hand_over, wake)) in (0..).zip(relations.zip(wakes)) {
            let (sender, inputs) = sync_channel(MAILBOX);
            let inlet = Arc::new(datagrams::Mailbox::new(Arc::clone(&wake)));
            let published = Published::default();
            mailboxes.push(Mailbox {
                inputs: sender,
                inlet: Arc::clone(&inlet),
                published: published.clone(),
                wake: Arc::clone(&wake),
            });
            seats.push(Seat {
                worker: Worker::new(index, Arc::clone(&shared), epoch),
                inputs,
                hand_over,
                inlet,
                relayed: Batch::default(),
                counted: Metrics::default(),
                published,
                wake,
                engine: None,
            });
        }
        Ok((SfuHandle { mailboxes: mailboxes.into() }, seats))
    }
}

/// A worker with its mailbox.
pub struct Seat {
    /// The state machine.
    pub worker: Worker,
    inputs: Receiver<Input>,
    pub(crate) hand_over: HandOver,
    inlet: Arc<datagrams::Mailbox<Path>>,
    /// Memory for what the inlet gives.
    relayed: Batch<Path>,
    /// Datagrams in and out.
    counted: Metrics,
    published: Published,
    pub(crate) wake: Arc<Wake>,
    pub(crate) engine: Option<Engine>,
}

impl Seat {
    /// Has the driver tell a watch that this worker lives, and when it ends.
    #[must_use]
    pub fn watched(self, engine: Engine) -> Self {
        Self { engine: Some(engine), ..self }
    }

    /// Takes a datagram from this seat's socket, for this worker or for another one. It is opened in place.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        self.counted.datagrams_received += 1;
        self.counted.bytes_received += datagram.len() as u64;
        self.hand_over.dispatch(&mut self.worker, now, path, datagram);
    }

    /// Counts what the driver has sent, and empties the slab.
    pub fn sent(&mut self) {
        let egress = self.worker.egress_mut();
        self.counted.datagrams_sent += egress.datagrams() as u64;
        self.counted.bytes_sent += egress.len() as u64;
        egress.clear();
    }

    /// Lets others read what was counted up to now ([`SfuHandle::metrics`]).
    pub fn publish_metrics(&self) {
        self.published.set(self.worker.population(self.counted));
    }

    /// Ends a batch of datagrams: hands over what is for others, and sends on what is for this one. `false` when the slab
    /// is full: see [`Worker::fan_out`].
    #[must_use = "when the slab is full there is more to send"]
    pub fn end_batch(&mut self, now: Instant) -> bool {
        self.worker.hand_on(now);
        self.hand_over.flush(now, &mut self.worker);
        let is_done = self.worker.fan_out(now);
        if is_done {
            self.hand_over.flush(now, &mut self.worker);
        }
        is_done
    }

    /// When to call [`Seat::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.worker.poll_timeout().into_iter().chain(self.hand_over.poll_timeout()).min()
    }

    /// Does what is due. [`Seat::end_batch`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.worker.poll_timeout().is_some_and(|at| at <= now) {
            self.worker.handle_timeout(now);
        }
    }

    /// Takes everything that waits: what the rooms ask, what other workers hand over, and what came through relays; says
    /// whether there was something. [`Seat::end_batch`] afterwards.
    pub fn take_inputs(&mut self, now: Instant) -> bool {
        let Self { worker, hand_over, inlet, relayed, counted, .. } = self;
        let mut has_taken = false;
        inlet.take(relayed);
        relayed.drain(|path, datagram| {
            has_taken = true;
            counted.datagrams_received += 1;
            counted.bytes_received += datagram.len() as u64;
            hand_over.dispatch(worker, now, path, datagram);
        });
        has_taken |= hand_over.take(worker, now);
        while let Ok(input) = self.inputs.try_recv() {
            has_taken = true;
            self.worker.handle_input(now, input);
        }
        has_taken
    }
}

#[derive(Clone)]
struct Mailbox {
    inputs: SyncSender<Input>,
    inlet: Arc<datagrams::Mailbox<Path>>,
    published: Published,
    wake: Arc<Wake>,
}

/// The mailbox of a worker is full, or the worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media server is overloaded")]
pub struct Overloaded;

/// Speaks to the workers. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct SfuHandle {
    mailboxes: Arc<[Mailbox]>,
}

impl SfuHandle {
    /// Hands an input to the worker that has the room.
    pub fn send(&self, input: Input) -> Result<(), Overloaded> {
        let room = match &input {
            Input::Demand { room, .. }
            | Input::Offer { room, .. }
            | Input::Fragment { room, .. }
            | Input::Record { room, .. }
            | Input::Keyframe { room, .. } => room,
        };
        let workers = u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX);
        let mailbox = self.mailboxes.get(usize::from(home_of(room, workers))).ok_or(Overloaded)?;
        let result = mailbox.inputs.try_send(input);
        mailbox.wake.signal();
        result.map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Overloaded,
        })
    }

    /// What has happened up to now, over all workers.
    pub fn metrics(&self) -> Metrics {
        let mut sum = Metrics::default();
        for mailbox in self.mailboxes.iter() {
            sum.add(&mailbox.published.read());
        }
        sum
    }

    /// Takes a datagram that a client behind a relay of this process sent to `to`, one of the candidates. It is lost when its worker
    /// doesn't keep up. What is sent back goes to the [`Relay`](crate::Relay) of the driver.
    pub fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        // As the kernel does for sockets that share a port: any worker, but always the same one.
        let index = usize::from(from.port()) % self.mailboxes.len().max(1);
        if let Some(mailbox) = self.mailboxes.get(index) {
            mailbox.inlet.put(Path::relayed(from, to.ip()), datagram);
        }
    }

    /// A WHIP or WHEP client's offer. The peer must have joined before, by [`MediaDemand::Join`].
    pub fn offer(
        &self,
        room: RoomId,
        peer: PeerId,
        session: HttpSession,
        sdp: String,
        via: Option<IpAddr>,
        reply: Reply<Answer>,
    ) -> Result<(), Overloaded> {
        self.send(Input::Offer { room, peer, session, sdp, via, reply })
    }

    /// Lets a recorder have all that is published in a room, from now on; `None` ends that. While a room is recorded,
    /// codecs that fit into MP4 are preferred.
    pub fn record(&self, room: RoomId, tap: Option<Arc<dyn Tap>>) -> Result<(), Overloaded> {
        self.send(Input::Record { room, tap })
    }

    /// Asks the publisher of a track for a picture that a decoder can start with.
    pub fn request_keyframe(&self, room: RoomId, track: Arc<str>) -> Result<(), Overloaded> {
        self.send(Input::Keyframe { room, track })
    }
}

impl MediaPlane for SfuHandle {
    fn demand(&mut self, room: &RoomId, demand: MediaDemand) {
        if self.send(Input::Demand { room: room.clone(), demand }).is_err() {
            tracing::error!(%room, "the media server takes no more demands");
        }
    }
}
