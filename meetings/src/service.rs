//! The meetings of a server: operations for the HTTP interface, the rooms and the clock.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use signaling_core::meeting::Happening;
use signaling_core::message::EndReason;
use signaling_core::room::RoomRecord;
use signaling_core::{Entropy, MeetingId, Refusal, RoomId, ServerKey, Timestamp, WallClock, Watch};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};

use crate::keys::random_id;
use crate::mail::{Mailer, Postman};
use crate::meeting::{Event, Meeting};
use crate::outbox;
use crate::pending_ends::PendingEnds;
use crate::presence::with_presences;
use crate::rate_limits::RateLimits;
use crate::store::{Endpoint, Letter, Message, Outgoing, Present, Store, StoreError};
use crate::webhook::{self, Messenger, ServerWebhook};

/// Maximum number of events waiting for the database. A room never waits: events beyond it are recovered by a later
/// check.
const WAITING: usize = 16_384;

/// Operations on rooms that meetings require.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Ends a room, if it exists.
    async fn end(&self, room: RoomId, reason: EndReason);
    /// Tells a room, if it exists, that its meeting has changed.
    async fn arrange(&self, record: RoomRecord);
    /// Whether it exists; `None` if this is unknown.
    async fn is_there(&self, room: RoomId) -> Option<bool>;
}

/// The configuration of a server's meetings.
pub struct Config {
    /// The key of host tokens and room ids, shared with the signaling.
    pub key: ServerKey,
    /// The storage.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy + Sync>,
    /// The public URL of the server, without a trailing slash; if unset, that of each request.
    pub public_url: Option<String>,
    /// Whether meetings can be created without a key.
    pub anonymous: bool,
    /// How long a meeting is kept after it is over; for ever if unset.
    pub keep: Option<Duration>,
    /// Whether webhooks may be sent to non-public addresses, and redirects are followed.
    pub private_webhooks: bool,
    /// A receiver of the events of all meetings and rooms.
    pub server_webhook: Option<ServerWebhook>,
    /// Sends invitations.
    pub mailer: Option<Mailer>,
}

/// Work for the follower, in order.
pub(crate) enum Note {
    /// An event of a room.
    Happening(Happening),
    /// A request that waits until earlier events have been applied.
    Barrier(oneshot::Sender<()>),
}

/// The meetings of a server. Cheap to clone.
#[derive(Clone)]
pub struct Meetings {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) key: ServerKey,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn WallClock>,
    entropy: Mutex<Box<dyn Entropy + Sync>>,
    pub(crate) public_url: Option<String>,
    pub(crate) anonymous: bool,
    pub(crate) keep: Option<Duration>,
    pub(crate) private_webhooks: bool,
    pub(crate) server_webhook: Option<ServerWebhook>,
    /// The endpoint of that receiver.
    server_endpoint: OnceCell<String>,
    mailer: Option<Mailer>,
    rooms: OnceLock<Arc<dyn Rooms>>,
    pub(crate) happenings: mpsc::Sender<Note>,
    waiting: Mutex<Option<mpsc::Receiver<Note>>>,
    pub(crate) pending_ends: PendingEnds,
    pub(crate) limits: RateLimits,
    /// Signals a new entry in an outbox.
    outboxes: watch::Sender<()>,
}

impl Meetings {
    /// Creates the service. Starts no task and opens no connection.
    pub fn new(config: Config) -> Self {
        let (happenings, waiting) = mpsc::channel(WAITING);
        let inner = Inner {
            key: config.key,
            store: Arc::new(config.store),
            clock: config.clock,
            entropy: Mutex::new(config.entropy),
            public_url: config.public_url,
            anonymous: config.anonymous,
            keep: config.keep,
            private_webhooks: config.private_webhooks,
            server_webhook: config.server_webhook,
            server_endpoint: OnceCell::new(),
            mailer: config.mailer,
            rooms: OnceLock::new(),
            happenings,
            waiting: Mutex::new(Some(waiting)),
            pending_ends: PendingEnds::new(),
            limits: RateLimits::new(),
            outboxes: watch::Sender::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts following the rooms and the clock, on the current runtime. Called once, when the rooms exist. The watch
    /// is notified when one of the tasks ends.
    pub fn start(&self, rooms: Arc<dyn Rooms>, watch: &Watch) {
        let waiting = self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.inner.rooms.set(rooms).is_err() {
            return;
        }
        if let Some(waiting) = waiting {
            tokio::spawn(watch.engine("meetings' rooms").run(self.clone().follow(waiting)));
        }
        tokio::spawn(watch.engine("meetings' timer").run(self.clone().look()));
        let Inner { store, clock, private_webhooks, outboxes, .. } = &*self.inner;
        let (store, clock) = (Arc::clone(store), Arc::clone(clock));
        let messenger = Messenger::new(Arc::clone(&store), Arc::clone(&clock), *private_webhooks);
        let webhooks = outbox::run(messenger, Arc::clone(&store), Arc::clone(&clock), outboxes.subscribe());
        tokio::spawn(watch.engine("webhooks").run(webhooks));
        if let Some(mailer) = self.inner.mailer.clone() {
            let postman = Postman { mailer, store: Arc::clone(&store), clock: Arc::clone(&clock) };
            let mail = outbox::run(postman, store, clock, outboxes.subscribe());
            tokio::spawn(watch.engine("mail").run(mail));
        }
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The time source of rate limits and waits.
    pub(crate) fn ticks(&self) -> Timestamp {
        self.inner.clock.ticks()
    }

    pub(crate) fn with_entropy<T>(&self, take: impl FnOnce(&mut dyn Entropy) -> T) -> T {
        let mut entropy = self.inner.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut **entropy)
    }

    pub(crate) fn rooms(&self) -> Option<&Arc<dyn Rooms>> {
        self.inner.rooms.get()
    }

    /// Changes a meeting, sends the resulting webhooks, and returns the changed meeting.
    pub(crate) async fn update<T>(
        &self,
        id: MeetingId,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        self.change(id, Present::All, None, change).await
    }

    /// The same; invited addresses also get their own way in, and a mail.
    pub(crate) async fn update_and_invite<T>(
        &self,
        id: MeetingId,
        origin: &str,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        self.change(id, Present::All, Some(origin), change).await
    }

    pub(crate) async fn change<T>(
        &self,
        id: MeetingId,
        whom: Present,
        origin: Option<&str>,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        let now = self.now();
        let server = self.server_endpoint().await?;
        let changed = self
            .inner
            .store
            .update(id, now, whom, |meeting, present| {
                meeting.take_back(now);
                let before = meeting.clone();
                let (result, events) = change(meeting, now)?;
                if origin.is_some() {
                    self.with_entropy(|entropy| meeting.invite(entropy));
                }
                let (events, presences) = with_presences(events, present);
                let messages =
                    self.with_entropy(|entropy| webhook::messages(meeting, &events, now, server, entropy));
                let letters =
                    origin.map(|origin| self.letters(Some(&before), meeting, origin)).transpose()?;
                Ok((result, Outgoing { messages, letters: letters.unwrap_or_default(), presences }))
            })
            .await?;
        self.wake_outboxes();
        Ok(changed)
    }

    /// The letters to those invited to a meeting, if there is a mail server.
    pub(crate) fn letters(
        &self,
        before: Option<&Meeting>,
        meeting: &Meeting,
        origin: &str,
    ) -> Result<Vec<Letter>, StoreError> {
        let Some(mailer) = &self.inner.mailer else { return Ok(Vec::new()) };
        let now = self.now();
        self.with_entropy(|entropy| mailer.letters(before, meeting, origin, now, entropy))
    }

    /// Signals a new entry in an outbox.
    pub(crate) fn wake_outboxes(&self) {
        self.inner.outboxes.send_replace(());
    }

    /// Counts a request without a key.
    pub(crate) fn count_reader(&self, ip: Option<IpAddr>) -> Result<(), Refusal> {
        self.inner.limits.take_reader(self.ticks(), ip)
    }

    /// Counts a meeting created without a key.
    pub(crate) fn count_maker(&self, ip: Option<IpAddr>) -> Result<(), Refusal> {
        self.inner.limits.take_maker(self.ticks(), ip)
    }

    /// The endpoint of the server's own receiver, if there is one. It is looked up once.
    pub(crate) async fn server_endpoint(&self) -> Result<Option<&str>, StoreError> {
        let Some(ServerWebhook { url, secret }) = &self.inner.server_webhook else { return Ok(None) };
        let known = self.inner.server_endpoint.get_or_try_init(async || {
            self.endpoint(webhook::OWNER.to_owned(), url.clone(), Some(secret)).await.map(|known| known.id)
        });
        known.await.map(|id| Some(id.as_str()))
    }

    /// The endpoint of this owner and URL, with this secret if one is given.
    pub(crate) async fn endpoint(
        &self,
        owner: String,
        url: String,
        secret: Option<&str>,
    ) -> Result<Endpoint, StoreError> {
        let new = self.with_entropy(|entropy| Endpoint {
            id: random_id("ep_", entropy),
            owner,
            url,
            secret: secret.map_or_else(|| webhook::new_secret(entropy), str::to_owned),
            previous: None,
            disabled_at: None,
        });
        let (now, store) = (self.now(), &self.inner.store);
        let mut endpoint = store.endpoint_for(&new, now).await?;
        // The endpoint is already used with another secret: both are valid for a while, as in every change.
        if let Some(secret) = secret.filter(|secret| **secret != endpoint.secret) {
            store.rotate_secret(&endpoint.id, secret, now + webhook::OVERLAP).await?;
            secret.clone_into(&mut endpoint.secret);
        }
        Ok(endpoint)
    }

    /// Reports a finished recording to the webhooks of the room's meeting and of the server.
    pub async fn recording_ready(&self, room: &RoomId, recording: &str) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(meeting) = store.by_room(room).await? else {
            let Some(endpoint) = self.server_endpoint().await? else { return Ok(()) };
            let now = self.now();
            let message = self
                .with_entropy(|entropy| webhook::recording_message(room, recording, now, endpoint, entropy));
            return self.send(&[message]).await;
        };
        let event = Event::RecordingReady { recording: recording.to_owned() };
        self.update(meeting.id, |_, _| Ok(((), vec![event]))).await.map(drop)
    }

    /// Sends messages that belong to no change of a meeting.
    pub(crate) async fn send(&self, messages: &[Message]) -> Result<(), StoreError> {
        self.inner.store.enqueue(messages).await?;
        self.wake_outboxes();
        Ok(())
    }

    /// A meeting in its current state: decisions that the clock made ahead of time are reverted, and due work is done,
    /// as far as the clock is trusted.
    pub(crate) fn present(&self, mut meeting: Meeting) -> Meeting {
        meeting.take_back(self.now());
        if let Some(settled) = self.inner.clock.settled() {
            meeting.handle_due(settled);
        }
        meeting
    }
}
