//! The handle by which transports reach the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use signaling_core::message::{Host, IceServers, Join, TopologyChoice};
use signaling_core::room::{Announcement, Caption, RoomRecord};
use signaling_core::{
    Census, Code, ConnectionId, EndReason, Environment, Grant, IceProvider, JsonCodec, LifeId, MadeRoom,
    MediaEvent, MediaJoin, MediaPlane, NewConnection, Person, Refusal, RequestId, RoomId, RoomLog,
    RoomObserver, RoomStore, RoomSummary, Rules, Seat, ServerKey, SessionClaims, Shard, StreamRefusal,
    WallClock, Watch,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::shard::{self, Command, Incoming, Seated};
use super::{Inbox, SystemClock, SystemEntropy, mailbox};

/// Commands that a shard's queue holds before senders wait.
const QUEUE: usize = 4096;

/// The configuration of a hub.
pub struct HubConfig {
    /// Limits, keys, and the server's capabilities.
    pub rules: Arc<Rules>,
    /// The wire format of messages.
    pub codec: Arc<JsonCodec>,
    /// The STUN and TURN servers for peers that join.
    pub ice: Arc<dyn IceProvider>,
    /// The features that the server announces to clients.
    pub features: Arc<[String]>,
    /// The number of shards; one per core is enough.
    pub shards: usize,
    /// Makes the media plane of each shard's rooms.
    pub media: Box<dyn Fn() -> Box<dyn MediaPlane> + Send>,
    /// Makes the store of each shard's rooms. It may load rooms of any shard.
    pub store: Box<dyn Fn() -> Box<dyn RoomStore> + Send>,
    /// Makes the log of each shard's rooms.
    pub log: Box<dyn Fn() -> Box<dyn RoomLog> + Send>,
    /// Makes the observer of the rooms of meetings.
    pub observer: Box<dyn Fn() -> Box<dyn RoomObserver> + Send>,
    /// Learns when a shard ends.
    pub watch: Watch,
}

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
    /// Starts the shards' tasks on the current runtime. They end when the last handle is dropped.
    pub fn start(config: &HubConfig, tasks: &mut JoinSet<()>) -> Self {
        let clock = SystemClock::new();
        let now = clock.ticks();
        let count = config.shards.max(1);
        let records = (config.store)().load();
        let mut shards = Vec::with_capacity(count);
        for index in 0..count {
            let mine = |room: &RoomId| room.shard(count) == index;
            let records = records.iter().filter(|record| mine(&record.room)).cloned().collect();
            let environment = Environment {
                rules: Arc::clone(&config.rules),
                codec: Arc::clone(&config.codec),
                media: (config.media)(),
                store: (config.store)(),
                log: (config.log)(),
                peers: None,
                observer: (config.observer)(),
                entropy: Box::new(SystemEntropy),
                ice: Arc::clone(&config.ice),
                features: Arc::clone(&config.features),
                wall: clock.wall(now),
            };
            let (sender, commands) = mpsc::channel(QUEUE);
            let shard = Shard::new(environment, now, records);
            let engine = config.watch.engine(format!("shard {index}"));
            tasks.spawn(engine.run(shard::run(shard, Arc::clone(&config.ice), clock, commands)));
            shards.push(sender);
        }
        Self {
            shards: shards.into(),
            clock,
            connections: Arc::new(AtomicU64::new(0)),
            key: config.rules.key.clone(),
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

    async fn ask<T>(
        &self,
        room: &RoomId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.shard(room)?.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Makes a room with an unguessable name.
    pub async fn make_room(&self, topology: TopologyChoice) -> Result<MadeRoom, Refusal> {
        let room = RoomId::made_by_server(&self.key, &mut SystemEntropy);
        let asked = room.clone();
        self.ask(&asked, |reply| Command::MakeRoom { room, topology, reply }).await?
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
        let command = |reply| Command::Join {
            join: Box::new(join),
            grant,
            connection: Some((connection, request)),
            reply,
        };
        let (seat, _) = self.ask(&room, command).await??;
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
        let room = claims.room.clone();
        let (claims, connection) = (Box::new(claims), Some((connection, request)));
        let (seat, _) =
            self.ask(&room, |reply| Command::Resume { claims, last_id, connection, reply }).await??;
        Ok(self.opened(seat, id, inbox))
    }

    /// Joins before there is a connection.
    pub(crate) async fn join_detached(&self, join: Join, grant: Grant) -> Seated {
        let room = join.room.id().clone();
        self.ask(&room, |reply| Command::Join { join: Box::new(join), grant, connection: None, reply })
            .await?
    }

    /// Admits a WHIP or WHEP client.
    pub(crate) async fn join_media(&self, asked: MediaJoin) -> Result<Seat, Refusal> {
        let room = asked.join.room.id().clone();
        let asked = Box::new(asked);
        self.ask(&room, |reply| Command::JoinMedia { asked, reply }).await?
    }

    /// Resumes before there is a connection.
    pub(crate) async fn resume_detached(&self, claims: SessionClaims, last_id: u64) -> Seated {
        let room = claims.room.clone();
        let claims = Box::new(claims);
        self.ask(&room, |reply| Command::Resume { claims, last_id, connection: None, reply }).await?
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
        let claims = Box::new(claims);
        let asked = self.ask(&room, |reply| Command::Attach { claims, last_id, connection, reply }).await;
        let stopped = |stopped: Stopped| StreamRefusal::Refused(stopped.into());
        let seat = asked.map_err(stopped)??;
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
        self.ask(&room, |reply| Command::Post { seat, messages, reply }).await
    }

    /// Tells the shard that a connection can take frames again.
    pub(crate) fn writable(&self, seat: &Arc<Seat>, connection: ConnectionId) {
        self.tell(&seat.room, Command::Writable { seat: Arc::clone(seat), connection });
    }

    /// Tells the shard that a connection is gone.
    pub(crate) fn detach(&self, seat: &Arc<Seat>, connection: ConnectionId) {
        self.tell(&seat.room, Command::Detach { seat: Arc::clone(seat), connection });
    }

    /// Passes a report of the media plane to its room.
    pub fn media(&self, room: &RoomId, event: MediaEvent) {
        self.tell(room, Command::Media { room: room.clone(), event });
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
        self.ask(&room, |reply| Command::Arrange { record: Box::new(record), reply }).await
    }

    /// The peers in a room, viewers included.
    pub async fn people(&self, room: RoomId) -> Result<Option<Vec<Person>>, Stopped> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::People { room, reply }).await
    }

    /// Starts or stops the recording of a room; if `life` is given, only of that life.
    pub async fn record(&self, room: RoomId, life: Option<LifeId>, on: bool) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::Record { room, life, on, reply }).await?
    }

    /// Performs a host's action for a caller that is not a peer of the room, such as an application with an API key.
    pub async fn host(&self, room: RoomId, host: Host) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::Host { room, host: Box::new(host), reply }).await?
    }

    /// Sends a line of captions to a room.
    pub async fn caption(&self, room: RoomId, caption: Caption) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::Caption { room, caption: Box::new(caption), reply }).await?
    }

    /// Sends a chat message to everybody in a room, from a program that is not in it.
    pub async fn announce(&self, room: RoomId, announcement: Announcement) -> Result<(), Refusal> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::Announce { room, announcement: Box::new(announcement), reply })
            .await?
    }

    /// Ends a room. Returns whether it existed.
    pub async fn end_room(&self, room: RoomId, reason: EndReason) -> Result<bool, Stopped> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::EndRoom { room, reason, reply }).await
    }

    /// A room as an administrator sees it.
    pub async fn summary(&self, room: RoomId) -> Result<Option<RoomSummary>, Stopped> {
        let asked = room.clone();
        self.ask(&asked, |reply| Command::Summary { room, reply }).await
    }

    /// At most `limit` rooms of all shards with ids after `after`, in the order of their ids.
    pub async fn rooms_after(
        &self,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomSummary>, Stopped> {
        let mut rooms = Vec::new();
        for shard in self.shards.iter() {
            let (reply, answer) = oneshot::channel();
            let command = Command::RoomsAfter { after: after.cloned(), limit, reply };
            shard.send(command).await.map_err(|_| Stopped)?;
            rooms.extend(answer.await.map_err(|_| Stopped)?);
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
        self.ask(&room, |reply| Command::Ice { seat, reached_at, reply }).await
    }

    /// The numbers of rooms and peers over all shards.
    pub async fn census(&self) -> Census {
        let mut sum = Census::default();
        for shard in self.shards.iter() {
            let (reply, answer) = oneshot::channel();
            if shard.send(Command::Census { reply }).await.is_ok()
                && let Ok(Census { rooms, peers, viewers }) = answer.await
            {
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
        for shard in self.shards.iter() {
            let (reply, done) = oneshot::channel();
            if shard.send(Command::GoAway { reconnect_after, reply }).await.is_ok() {
                // A shard that is gone has no clients to tell.
                let _ = done.await;
            }
        }
    }
}
