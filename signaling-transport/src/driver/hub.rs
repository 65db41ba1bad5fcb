//! The handle by which transports reach the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use signaling_core::message::{Host, IceServers, Join, TopologyChoice};
use signaling_core::room::{Announcement, Caption, RoomRecord};
use signaling_core::{
    Census, Code, ConnectionId, EndReason, Environment, Grant, LifeId, MadeRoom, MediaEvent, MediaJoin,
    NewConnection, Person, Refusal, RequestId, RoomId, RoomSummary, Seat, ServerKey, SessionClaims, Shard,
    StreamRefusal, SystemEntropy, Timestamp, WallClock, Watch,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::entries::noted;
use super::shard::{self, Command, Incoming, Seated};
use super::{Inbox, SystemClock, mailbox};

/// Commands that a shard's queue holds before senders wait.
const QUEUE: usize = 4096;

/// A handle to the rooms of a server. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shards: Arc<[mpsc::Sender<Command>]>,
    clock: SystemClock,
    connections: Arc<AtomicU64>,
    key: ServerKey,
    runtime: tokio::runtime::Handle,
}

/// The hub has stopped, or the shard is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is going away")]
pub struct Stopped;

impl From<Stopped> for Refusal {
    fn from(_: Stopped) -> Self {
        Self::new(Code::Overloaded, "the server is going away")
    }
}

/// A connection that has a session.
pub(crate) struct Opened {
    pub(crate) seat: Arc<Seat>,
    pub(crate) connection: ConnectionId,
    pub(crate) inbox: Inbox,
    /// The shard of its room, which never changes. Finding it takes a hash, too much for every message.
    shard: usize,
}

impl Hub {
    /// Starts this many shards on the current runtime, and divides the stored rooms among them. Their tasks end when the
    /// last handle is dropped.
    pub fn start(environment: Environment, shards: usize, watch: &Watch, tasks: &mut JoinSet<()>) -> Self {
        let clock = SystemClock::new();
        let now = clock.ticks();
        let count = shards.max(1);
        let (records, key) = (environment.store.load(), environment.rules.key.clone());
        let environments = (1..count).map(|_| environment.for_another_shard()).collect::<Vec<_>>();
        let mut shards = Vec::with_capacity(count);
        for (index, mut environment) in std::iter::once(environment).chain(environments).enumerate() {
            let mine = |room: &RoomId| room.shard(count) == index;
            let records = records.iter().filter(|record| mine(&record.room)).cloned().collect();
            environment.wall = clock.wall(now);
            let (sender, commands) = mpsc::channel(QUEUE);
            let shard = Shard::new(environment, now, records);
            let engine = watch.engine(format!("shard {index}"));
            tasks.spawn(engine.run(shard::run(shard, clock, commands)));
            shards.push(sender);
        }
        Self {
            shards: shards.into(),
            clock,
            connections: Arc::new(AtomicU64::new(0)),
            key,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// The clock by which the shards run.
    pub fn clock(&self) -> SystemClock {
        self.clock
    }

    fn shard(&self, room: &RoomId) -> Result<&mpsc::Sender<Command>, Stopped> {
        self.shards.get(room.shard(self.shards.len())).ok_or(Stopped)
    }

    fn opened(&self, seat: Seat, connection: ConnectionId, inbox: Inbox) -> Opened {
        let shard = seat.room.shard(self.shards.len());
        Opened { seat: Arc::new(seat), connection, inbox, shard }
    }

    /// Calls the shard of a room.
    async fn ask<T: Send + 'static>(
        &self,
        room: &RoomId,
        call: impl FnOnce(&mut Shard, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        ask(self.shard(room)?, call).await
    }

    /// Makes a room with an unguessable name.
    pub async fn make_room(&self, topology: TopologyChoice) -> Result<MadeRoom, Refusal> {
        let room = RoomId::made_by_server(&self.key, &mut SystemEntropy);
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.make_room(now, room, topology)).await?
    }

    fn connection(&self) -> (NewConnection, Inbox) {
        let (outbound, inbox) = mailbox();
        let id = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed));
        (NewConnection { id, outbound }, inbox)
    }

    /// Joins over an existing connection. The welcome comes through the inbox.
    pub(crate) async fn join(
        &self,
        join: Join,
        grant: Grant,
        request: Option<RequestId>,
    ) -> Result<Opened, Refusal> {
        let (connection, inbox) = self.connection();
        let id = connection.id;
        let room = join.room.id().clone();
        let connection = Some((connection, request));
        let joined = self.ask(&room, move |shard, now| shard.join(now, &join, &grant, connection)).await?;
        let (seat, _) = noted("join", &room, joined, |(seat, _)| seat)?;
        Ok(self.opened(seat, id, inbox))
    }

    /// Resumes over an existing connection. The welcome comes through the inbox.
    pub(crate) async fn resume(
        &self,
        claims: SessionClaims,
        last_id: u64,
        request: Option<RequestId>,
    ) -> Result<Opened, Refusal> {
        let (connection, inbox) = self.connection();
        let id = connection.id;
        let asked = claims.room.clone();
        let connection = Some((connection, request));
        let resumed = self.ask(&asked, move |shard, now| shard.resume(now, &claims, last_id, connection));
        let (seat, _) = noted("resume", &asked, resumed.await?, |(seat, _)| seat)?;
        Ok(self.opened(seat, id, inbox))
    }

    /// Joins before there is a connection.
    pub(crate) async fn join_detached(&self, join: Join, grant: Grant) -> Seated {
        let room = join.room.id().clone();
        let joined = self.ask(&room, move |shard, now| shard.join(now, &join, &grant, None)).await?;
        noted("join", &room, joined, |(seat, _)| seat)
    }

    /// Admits a WHIP or WHEP client.
    pub(crate) async fn join_media(&self, asked: MediaJoin) -> Result<Seat, Refusal> {
        let room = asked.join.room.id().clone();
        let joined = self.ask(&room, move |shard, now| shard.join_media(now, &asked)).await?;
        noted("join by WHIP or WHEP", &room, joined, |seat| seat)
    }

    /// Resumes before there is a connection.
    pub(crate) async fn resume_detached(&self, claims: SessionClaims, last_id: u64) -> Seated {
        let room = claims.room.clone();
        let resumed = self.ask(&room, move |shard, now| shard.resume(now, &claims, last_id, None)).await?;
        noted("resume", &room, resumed, |(seat, _)| seat)
    }

    /// Opens the event stream of a session.
    pub(crate) async fn attach(
        &self,
        claims: SessionClaims,
        last_id: Option<u64>,
    ) -> Result<Opened, StreamRefusal> {
        let (connection, inbox) = self.connection();
        let id = connection.id;
        let room = claims.room.clone();
        let attached =
            self.ask(&room, move |shard, now| shard.attach(now, &claims, last_id, || connection)).await;
        let seat = attached.map_err(|stopped| StreamRefusal::Refused(stopped.into()))??;
        Ok(self.opened(seat, id, inbox))
    }

    /// Passes on a message from a connection.
    pub(crate) async fn receive(
        &self,
        opened: &Opened,
        message: Incoming,
        request: Option<RequestId>,
    ) -> Result<(), Stopped> {
        let (seat, connection) = (Arc::clone(&opened.seat), opened.connection);
        let command = Command::Receive { seat, connection, message: Box::new(message), request };
        let shard = self.shards.get(opened.shard).ok_or(Stopped)?;
        match shard.try_send(command) {
            Err(mpsc::error::TrySendError::Full(command)) => shard.send(command).await.map_err(|_| Stopped),
            result => result.map_err(|_| Stopped),
        }
    }

    /// Passes on messages sent by HTTP. Returns whether the session exists.
    pub(crate) async fn post(&self, seat: Seat, messages: Vec<Incoming>) -> Result<bool, Stopped> {
        let room = seat.room.clone();
        let post = move |shard: &mut Shard, now| {
            let known = shard.knows(&seat);
            for message in messages {
                shard.receive(now, &seat, None, message, None);
            }
            known
        };
        self.ask(&room, post).await
    }

    /// Tells the shard that a connection can take frames again.
    pub(crate) fn writable(&self, seat: &Arc<Seat>, connection: ConnectionId) {
        self.tell(&seat.room, Command::Writable { seat: Arc::clone(seat), connection });
    }

    /// Tells the shard that a connection is gone.
    pub(crate) fn detach(&self, seat: &Arc<Seat>, connection: ConnectionId) {
        let gone = Arc::clone(seat);
        let detach = move |shard: &mut Shard, now| shard.detach(now, &gone, connection);
        self.tell(&seat.room, Command::Call(Box::new(detach)));
    }

    /// Passes a report of the media plane to its room.
    pub fn media(&self, room: &RoomId, event: MediaEvent) {
        let of = room.clone();
        self.tell(room, Command::Call(Box::new(move |shard, now| shard.media(now, &of, event))));
    }

    /// Sends a command to a shard from a context that cannot wait.
    fn tell(&self, room: &RoomId, command: Command) {
        let Ok(shard) = self.shard(room) else { return };
        if let Err(mpsc::error::TrySendError::Full(command)) = shard.try_send(command) {
            let shard = shard.clone();
            self.runtime.spawn(async move { drop(shard.send(command).await) });
        }
    }

    /// Tells a room that its meeting has changed. Returns whether the room exists.
    pub async fn arrange(&self, record: RoomRecord) -> Result<bool, Stopped> {
        let room = record.room.clone();
        self.ask(&room, move |shard, now| shard.arrange(now, Box::new(record))).await
    }

    /// The peers in a room, viewers included.
    pub async fn people(&self, room: RoomId) -> Result<Option<Vec<Person>>, Stopped> {
        let asked = room.clone();
        self.ask(&asked, move |shard, _| shard.people(&room)).await
    }

    /// Starts or stops the recording of a room; if `life` is given, only of that life.
    pub async fn record(&self, room: RoomId, life: Option<LifeId>, on: bool) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.record(now, &room, life, on)).await?
    }

    /// Performs a host's action for a caller that is not a peer of the room, such as an application with an API key.
    pub async fn host(&self, room: RoomId, host: Host) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.host(now, &room, &host)).await?
    }

    /// Sends a line of captions to a room.
    pub async fn caption(&self, room: RoomId, caption: Caption) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.caption(now, &room, &caption)).await?
    }

    /// Sends a chat message to everybody in a room, from a program that is not in it.
    pub async fn announce(&self, room: RoomId, announcement: Announcement) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.announce(now, &room, &announcement)).await?
    }

    /// Ends a room. Returns whether it existed.
    pub async fn end_room(&self, room: RoomId, reason: EndReason) -> Result<bool, Stopped> {
        let asked = room.clone();
        self.ask(&asked, move |shard, now| shard.end_room(now, &room, reason)).await
    }

    /// A room as an administrator sees it.
    pub async fn summary(&self, room: RoomId) -> Result<Option<RoomSummary>, Stopped> {
        let asked = room.clone();
        self.ask(&asked, move |shard, _| shard.summary(&room)).await
    }

    /// At most `limit` rooms of all shards with ids after `after`, in the order of their ids.
    pub async fn rooms_after(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomSummary>, Stopped> {
        let mut rooms = Vec::new();
        for shard in self.shards.iter() {
            let after = after.cloned();
            rooms.extend(ask(shard, move |shard, _| shard.rooms_after(after.as_ref(), limit)).await?);
        }
        rooms.sort_unstable_by(|one, other| one.room.id.cmp(&other.room.id));
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// The STUN and TURN servers for a peer in a room.
    pub(crate) async fn ice_servers(
        &self,
        seat: Seat,
        reached_at: Option<String>,
    ) -> Result<Option<IceServers>, Stopped> {
        let room = seat.room.clone();
        self.ask(&room, move |shard, now| shard.ice_servers(now, &seat, reached_at.as_deref())).await
    }

    /// The numbers of rooms and peers over all shards.
    pub async fn census(&self) -> Census {
        let mut sum = Census::default();
        for shard in self.shards.iter() {
            if let Ok(Census { rooms, peers, viewers }) = ask(shard, |shard, _| shard.census()).await {
                sum.rooms += rooms;
                sum.peers += peers;
                sum.viewers += viewers;
            }
        }
        sum
    }

    /// Connections for sessions that clients have opened since the start.
    pub fn connections_opened(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Tells every client that the server is going away, and closes the connections.
    pub async fn go_away(&self, reconnect_after: Duration) {
        let reconnect_after_ms = u64::try_from(reconnect_after.as_millis()).unwrap_or(u64::MAX);
        for shard in self.shards.iter() {
            // A shard that is gone has no clients to tell.
            let _ = ask(shard, move |shard, now| shard.go_away(now, reconnect_after_ms)).await;
        }
    }
}

/// Calls a shard. A caller that has gone away does not need the answer.
async fn ask<T: Send + 'static>(
    shard: &mpsc::Sender<Command>,
    call: impl FnOnce(&mut Shard, Timestamp) -> T + Send + 'static,
) -> Result<T, Stopped> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Call(Box::new(move |shard, now| {
        let _ = reply.send(call(shard, now));
    }));
    shard.send(command).await.map_err(|_| Stopped)?;
    answer.await.map_err(|_| Stopped)
}
