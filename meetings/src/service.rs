//! The meetings of a server: what the HTTP interface, the rooms and the clock do to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use signaling_core::meeting::{Happening, MeetingCode, Presence, RoomHappening};
use signaling_core::message::{EndReason, LeaveReason};
use signaling_core::room::RoomRecord;
use signaling_core::{
    ApiKeys, Code, Entropy, HostClaims, MeetingDirectory, MeetingId, Refusal, Repeatable, Replies, RoomId,
    RoomObserver, Scope, ServerKey, Timestamp, TokenBucket, WallClock, Watch,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::api::Principal;
use crate::keys::{is_key, sha256_hex};
use crate::mail::{self, Letter, Mailer};
use crate::meeting::{Event, Meeting};
use crate::over::Over;
use crate::payer::Payer;
use crate::store::{KeyRecord, Outgoing, Presences, Present, Reply, Store, StoreError};
use crate::webhook;

/// Happenings that wait for the database. A room never waits: what comes on top is made up for by looking.
const WAITING: usize = 16_384;
/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request waits for what happened before it.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long an unreachable database is left alone.
const RETRY: Duration = Duration::from_millis(500);
/// How long a letter waits for a mail server at most: longer than it is tried.
const LETTERS: Duration = Duration::from_hours(4 * 24);
/// From this many milliseconds on the clock was set back.
const SET_BACK: i64 = 2_000;
/// How long a reply is given again.
const REPLIES: Duration = Duration::from_hours(24);

/// What meetings ask of the rooms.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Ends a room, if it is there.
    async fn end(&self, room: RoomId, reason: EndReason);
    /// Tells a room, if it is there, that its meeting has been changed.
    async fn arrange(&self, record: RoomRecord);
    /// Whether it is there; `None` when nobody can say.
    async fn is_there(&self, room: RoomId) -> Option<bool>;
}

/// What the meetings of a server are made of.
pub struct Config {
    /// The key behind host tokens and room ids: the signaling's own.
    pub key: ServerKey,
    /// Where they are kept.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy + Sync>,
    /// Under which URL the server is known outside, without a slash at its end; else that of each request.
    pub public_url: Option<String>,
    /// Whether somebody without a key may make meetings.
    pub anonymous: bool,
    /// How long a meeting is kept once it is over; for ever without.
    pub keep: Option<Duration>,
    /// Whether webhooks may go to addresses that are not public, and be redirected.
    pub private_webhooks: bool,
    /// Sends invitations.
    pub mailer: Option<Mailer>,
}

/// What waits to be carried out, in its order.
enum Note {
    /// Something happened in a room.
    Happening(Happening),
    /// Somebody waits until what happened before is carried out.
    Turn(oneshot::Sender<()>),
}

/// The meetings of a server. Cheap to clone.
#[derive(Clone)]
pub struct Meetings {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) key: ServerKey,
    pub(crate) store: Store,
    clock: Arc<dyn WallClock>,
    entropy: Mutex<Box<dyn Entropy + Sync>>,
    pub(crate) public_url: Option<String>,
    pub(crate) anonymous: bool,
    keep: Option<Duration>,
    pub(crate) private_webhooks: bool,
    pub(crate) mailer: Option<Mailer>,
    rooms: OnceLock<Arc<dyn Rooms>>,
    happenings: mpsc::Sender<Note>,
    waiting: Mutex<Option<mpsc::Receiver<Note>>>,
    over: Over,
    pub(crate) buckets: Mutex<HashMap<Payer, TokenBucket>>,
    /// Something is in the outbox.
    pub(crate) outbox: Notify,
    /// Something is in the postbox.
    pub(crate) postbox: Notify,
}

impl Meetings {
    /// Meetings that nobody uses yet. Nothing is started, and nothing connected to.
    pub fn new(config: Config) -> Self {
        let (happenings, waiting) = mpsc::channel(WAITING);
        let inner = Inner {
            key: config.key,
            store: config.store,
            clock: config.clock,
            entropy: Mutex::new(config.entropy),
            public_url: config.public_url,
            anonymous: config.anonymous,
            keep: config.keep,
            private_webhooks: config.private_webhooks,
            mailer: config.mailer,
            rooms: OnceLock::new(),
            happenings,
            waiting: Mutex::new(Some(waiting)),
            over: Over::new(),
            buckets: Mutex::default(),
            outbox: Notify::new(),
            postbox: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Begins to follow the rooms and the clock, on the current runtime. Called once, when there are rooms. The watch is told
    /// when one of the tasks ends.
    pub fn start(&self, rooms: Arc<dyn Rooms>, watch: &Watch) {
        let waiting = self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.inner.rooms.set(rooms).is_err() {
            return;
        }
        if let Some(waiting) = waiting {
            tokio::spawn(watch.engine("meetings' rooms").run(self.clone().follow(waiting)));
        }
        tokio::spawn(watch.engine("meetings' timer").run(self.clone().look()));
        tokio::spawn(watch.engine("webhooks").run(webhook::dispatch(self.clone())));
        if let Some(mailer) = self.inner.mailer.clone() {
            tokio::spawn(watch.engine("mail").run(mail::dispatch(self.clone(), mailer)));
        }
    }

    /// What tells these meetings what happens in their rooms.
    pub fn observer(&self) -> Box<dyn RoomObserver> {
        Box::new(Follower { inner: Arc::clone(&self.inner) })
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// What rates and waits go by.
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

    /// Changes a meeting, tells its webhooks what came of it, and gives it as it is then.
    pub(crate) async fn update<T>(
        &self,
        id: MeetingId,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        self.change(id, Present::All, None, change).await
    }

    /// The same; and those who are invited get a way in of their own, and are written to.
    pub(crate) async fn update_and_invite<T>(
        &self,
        id: MeetingId,
        origin: &str,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        self.change(id, Present::All, Some(origin), change).await
    }

    async fn change<T>(
        &self,
        id: MeetingId,
        whom: Present,
        origin: Option<&str>,
        change: impl FnOnce(&mut Meeting, Timestamp) -> Result<(T, Vec<Event>), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        let now = self.now();
        let changed = self
            .inner
            .store
            .patiently(self.inner.store.update(id, now, whom, |meeting, present| {
                meeting.take_back(now);
                let before = meeting.clone();
                let (result, events) = change(meeting, now)?;
                if origin.is_some() {
                    self.with_entropy(|entropy| meeting.invite(entropy));
                }
                let (events, presences) = with_presences(events, present);
                let messages = self.with_entropy(|entropy| webhook::messages(meeting, &events, now, entropy));
                let letters =
                    origin.map(|origin| self.letters(Some(&before), meeting, origin)).transpose()?;
                Ok((result, Outgoing { messages, letters: letters.unwrap_or_default(), presences }))
            }))
            .await?;
        self.told();
        Ok(changed)
    }

    /// What those who are invited to a meeting are to be sent, if there is a mail server.
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

    /// Wakes those who tell others.
    pub(crate) fn told(&self) {
        self.inner.outbox.notify_one();
        self.inner.postbox.notify_one();
    }

    /// A recording of a meeting's room can be watched: its webhooks are told.
    pub async fn recording_ready(&self, room: &RoomId, recording: &str) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(meeting) = store.patiently(store.by_room(room)).await? else { return Ok(()) };
        let event = Event::RecordingReady { recording: recording.to_owned() };
        self.update(meeting.id, |_, _| Ok(((), vec![event]))).await.map(drop)
    }

    /// Waits until everything is carried out that has happened in rooms by now, so that what follows is told behind it: not for
    /// ever, since nothing that is asked for hangs on a database that is behind.
    pub(crate) async fn catch_up(&self) {
        let (turn, mine) = oneshot::channel();
        let wait = async {
            if self.inner.happenings.send(Note::Turn(turn)).await.is_ok() {
                let _ = mine.await;
            }
        };
        let _ = tokio::time::timeout(CATCH_UP, wait).await;
    }

    /// Carries out what happened in rooms, one after the other, each when the database takes it.
    async fn follow(self, mut waiting: mpsc::Receiver<Note>) {
        while let Some(note) = waiting.recv().await {
            let happening = match note {
                Note::Happening(happening) => happening,
                Note::Turn(turn) => {
                    // Who has waited long enough is not there any more.
                    let _ = turn.send(());
                    continue;
                }
            };
            while let Err(error) = self.note(&happening).await {
                // What a full disk or a database that is away takes nothing of waits here.
                if !error.is_of_its_place() {
                    tracing::error!(
                        room = %happening.room,
                        error = crate::store::explain(&error),
                        "what happened in a room is not kept"
                    );
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
            if matches!(happening.what, RoomHappening::Ended { .. }) {
                self.inner.over.settle(&happening.room);
            }
        }
    }

    async fn note(&self, happening: &Happening) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(meeting) = store.patiently(store.by_room(&happening.room)).await? else { return Ok(()) };
        let whom = match &happening.what {
            RoomHappening::Joined(who) | RoomHappening::Left { who, .. } => Present::One(who.peer),
            RoomHappening::Recording { .. } | RoomHappening::Ended { .. } => Present::All,
        };
        let follow = |meeting: &mut Meeting, _| Ok(((), meeting.happened(&happening.what, happening.at)));
        self.change(meeting.id, whom, None, follow).await.map(drop)
    }

    /// Does what is due by itself, and looks whether rooms have ended without anybody saying so: a process that was
    /// killed, a queue that was full.
    async fn look(self) {
        let mut missed = 0_u32;
        let mut ahead = self.ahead();
        loop {
            self.inner.store.look_after().await;
            let before = std::mem::replace(&mut ahead, self.ahead());
            if ahead + SET_BACK < before {
                self.hurry().await;
            }
            // The first look comes at once: it finds what a former process has left behind.
            let looked = self.look_once(missed.is_multiple_of(30)).await;
            match looked {
                Ok(()) => missed = missed.wrapping_add(1),
                Err(error) => {
                    tracing::debug!(error = crate::store::explain(&error), "cannot look what is due");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look_once(&self, thoroughly: bool) -> Result<(), StoreError> {
        let store = &self.inner.store;
        // A clock that has not stood decides nothing.
        let settled = self.inner.clock.settled();
        if let Some(settled) = settled {
            for id in store.patiently(store.due(settled, 100)).await? {
                self.update_alone(id, |meeting| meeting.handle_due(settled)).await?;
            }
        }
        if !thoroughly {
            return Ok(());
        }
        if let Some(rooms) = self.rooms() {
            for (id, room) in store.patiently(store.live()).await? {
                if rooms.is_there(room.clone()).await == Some(false) {
                    let at = settled.unwrap_or_else(|| self.now());
                    self.update_alone(id, |meeting| meeting.vanished(at)).await?;
                    self.inner.over.settle(&room);
                }
            }
        }
        let Some(settled) = settled else { return Ok(()) };
        let ago = |span: Duration| {
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(settled.as_millis().saturating_sub(span))
        };
        if let Some(keep) = self.inner.keep {
            for id in store.over_since(ago(keep), 100).await? {
                store.erase(id).await?;
            }
        }
        store.forget_replies(ago(REPLIES)).await?;
        store.forget_letters(ago(LETTERS)).await?;
        store.forget_deliveries(ago(webhook::KEPT)).await
    }

    /// Changes one meeting of many: one that cannot be read is named, and set aside so that it is in nobody's way.
    async fn update_alone(
        &self,
        id: MeetingId,
        change: impl FnOnce(&mut Meeting) -> Vec<Event>,
    ) -> Result<(), StoreError> {
        match self.update(id, |meeting, _| Ok(((), change(meeting)))).await {
            Err(error @ StoreError::Broken { .. }) => {
                tracing::error!(meeting = %id, error = crate::store::explain(&error), "a meeting is broken, and left alone");
                let store = &self.inner.store;
                store.patiently(store.set_aside(id)).await
            }
            done => done.map(drop),
        }
    }

    /// By how many milliseconds the wall clock is ahead of the ticks.
    fn ahead(&self) -> i64 {
        let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        millis(self.now()).saturating_sub(millis(self.ticks()))
    }

    /// The clock was set back: what waits for a time of the clock of before would wait for that much longer.
    async fn hurry(&self) {
        let (store, now) = (&self.inner.store, self.now());
        let hurried =
            store.patiently(store.hurry(now)).await.and(store.patiently(store.hurry_letters(now)).await);
        if let Err(error) = hurried {
            tracing::warn!(
                error = crate::store::explain(&error),
                "what waits to be sent may wait for longer"
            );
        }
        self.told();
    }

    /// A meeting as it is now: what the clock decided ahead of its time is taken back, and what is due is done, as far as
    /// the clock is believed.
    pub(crate) fn present(&self, mut meeting: Meeting) -> Meeting {
        meeting.take_back(self.now());
        if let Some(settled) = self.inner.clock.settled() {
            meeting.handle_due(settled);
        }
        meeting
    }

    /// The room of a meeting as it is to be opened.
    fn opened(&self, meeting: Option<Meeting>) -> Result<Option<RoomRecord>, Refusal> {
        meeting.map(|meeting| self.present(meeting).room_record()).transpose()
    }

    /// A key that is good for the scope.
    pub(crate) async fn key(&self, bearer: &str, scope: Scope) -> Result<KeyRecord, Refusal> {
        let key = self.any_key(bearer).await?;
        if key.scopes.iter().any(|held| held.includes(scope)) {
            Ok(key)
        } else {
            Err(Refusal::new(Code::Forbidden, format!("the API key has not the scope `{}`", scope.as_str())))
        }
    }

    /// A key that is in force.
    async fn any_key(&self, bearer: &str) -> Result<KeyRecord, Refusal> {
        let unknown = || Refusal::new(Code::Unauthorized, "the API key is unknown, or was revoked");
        if !is_key(bearer) {
            let is_host_token = HostClaims::open(&self.inner.key, bearer).is_some();
            let what = if is_host_token { "this is a host token" } else { "this is no API key" };
            return Err(Refusal::new(
                Code::Unauthorized,
                format!("{what}; an API key is needed, which begins with `vsk_`"),
            ));
        }
        let store = &self.inner.store;
        let key = store.patiently(store.key(&sha256_hex(bearer.as_bytes()))).await?;
        let key = key.filter(|key| key.revoked_at.is_none()).ok_or_else(unknown)?;
        self.count(Payer::Key(key.id.clone()), 1_000, Duration::from_millis(10))?;
        Ok(key)
    }
}

#[async_trait]
impl MeetingDirectory for Meetings {
    async fn by_code(&self, code: MeetingCode) -> Result<Option<RoomRecord>, Refusal> {
        let store = &self.inner.store;
        self.opened(self.inner.over.current(|| store.patiently(store.by_code(code))).await?)
    }

    async fn room_of_code(&self, code: MeetingCode) -> Result<Option<RoomId>, Refusal> {
        let store = &self.inner.store;
        Ok(store.patiently(store.by_code(code)).await?.map(|meeting| meeting.room))
    }

    async fn by_room(&self, room: &RoomId) -> Result<Option<RoomRecord>, Refusal> {
        let store = &self.inner.store;
        self.opened(self.inner.over.current(|| store.patiently(store.by_room(room))).await?)
    }
}

#[async_trait]
impl Replies for Meetings {
    async fn former(&self, request: &Repeatable) -> Result<Option<String>, Refusal> {
        let store = &self.inner.store;
        Ok(store.patiently(store.replied(request)).await?.map(|reply| reply.body))
    }

    async fn keep(&self, request: &Repeatable, answer: &str) -> Result<Option<String>, Refusal> {
        let reply = Reply { body: answer.to_owned(), etag: String::new() };
        let store = &self.inner.store;
        let former = store.patiently(store.keep_reply(request, &reply, self.now())).await?;
        Ok(former.map(|reply| reply.body))
    }
}

#[async_trait]
impl ApiKeys for Meetings {
    fn is_key(&self, bearer: &str) -> bool {
        is_key(bearer)
    }

    async fn check(&self, bearer: &str, scope: Scope) -> Result<(), Refusal> {
        self.key(bearer, scope).await.map(drop)
    }

    async fn check_room(&self, bearer: &str, room: &RoomId, own: Scope) -> Result<(), Refusal> {
        let key = self.any_key(bearer).await?;
        let has = |scope| key.scopes.iter().any(|held| held.includes(scope));
        if has(Scope::Rooms) {
            return Ok(());
        }
        let store = &self.inner.store;
        if has(own)
            && let Some(meeting) = store.patiently(store.by_room(room)).await?
            && Principal::Key(key).may_see(&meeting)
        {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Forbidden,
            format!(
                "the API key has not the scope `rooms`, nor `{}` for a meeting in this room",
                own.as_str()
            ),
        ))
    }
}

/// The events as they are told: somebody's coming once, their going if their coming was told, and everybody's going before
/// the meeting's end.
fn with_presences(events: Vec<Event>, mut present: Vec<Presence>) -> (Vec<Event>, Presences) {
    let (mut told, mut presences) = (Vec::new(), Presences::default());
    for event in events {
        match event {
            Event::PeerJoined(who) => {
                if !present.iter().any(|other| other.peer == who.peer) {
                    presences.came.push(who.clone());
                    told.push(Event::PeerJoined(who));
                }
            }
            Event::PeerLeft { who, reason } => {
                if present.iter().any(|other| other.peer == who.peer) {
                    presences.went.push(who.peer);
                    told.push(Event::PeerLeft { who, reason });
                }
            }
            Event::Emptied => {
                for who in std::mem::take(&mut present) {
                    presences.went.push(who.peer);
                    told.push(Event::PeerLeft { who, reason: LeaveReason::Ended });
                }
            }
            other => told.push(other),
        }
    }
    (told, presences)
}

struct Follower {
    inner: Arc<Inner>,
}

impl RoomObserver for Follower {
    fn happened(&mut self, happening: Happening) {
        if matches!(happening.what, RoomHappening::Ended { .. }) {
            self.inner.over.insert(happening.room.clone());
        }
        let room = happening.room.clone();
        if self.inner.happenings.try_send(Note::Happening(happening)).is_err() {
            tracing::warn!(%room, "what happened in a meeting is not noted: the database is behind");
        }
    }
}
