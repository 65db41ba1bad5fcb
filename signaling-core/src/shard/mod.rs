//! Many rooms, owned by one task.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::live::LiveRoom;
use crate::message::{EndReason, Join, Name, PeerView, RoomView, TopologyChoice};
use crate::room::{Admission, MediaTerms, Member, Pass, Room, RoomInput, RoomRecord, Rules};
use crate::session::NewConnection;
use crate::{
    Code, ConnectionId, Entropy, Envelope, Frame, Grant, HostClaims, IceProvider, LifeId, MediaEvent,
    MediaPlane, MessageCodec, PeerId, Refusal, RequestId, RoomId, RoomObserver, RoomStore, ServerKey,
    SessionClaims, SessionId, Timestamp, TokenDigests, Unreadable, Wall,
};

/// The configuration of a shard, and its interfaces to everything outside the core.
pub struct Environment {
    /// Limits, keys, and the server's capabilities.
    pub rules: Arc<Rules>,
    /// The wire format of messages.
    pub codec: Arc<dyn MessageCodec>,
    /// Carries media that peers do not exchange directly.
    pub media: Box<dyn MediaPlane>,
    /// Stores what must outlive the process.
    pub store: Box<dyn RoomStore>,
    /// Learns what happens in the rooms of meetings.
    pub observer: Box<dyn RoomObserver>,
    /// The source of ids and nonces.
    pub entropy: Box<dyn Entropy>,
    /// The STUN and TURN servers for peers that join.
    pub ice: Arc<dyn IceProvider>,
    /// The features that the server announces to clients.
    pub features: Arc<[String]>,
    /// The offset of the wall clock from the ticks, until [`Shard::set_wall`] changes it.
    pub wall: Wall,
}

/// The room, peer and session that a connection speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The room.
    pub room: RoomId,
    /// The peer in it.
    pub peer: PeerId,
    /// The session of the peer.
    pub session: SessionId,
}

impl Seat {
    /// The last segment of a WHIP or WHEP session's URL. It is unguessable, and authorizes its bearer to act for the
    /// session.
    pub fn to_resource(&self, key: &ServerKey) -> String {
        let (peer, session) = (self.peer.as_str(), self.session.as_str());
        let mark: [u8; RESOURCE_MARK] =
            key.mark(format!("media session {} {peer} {session}", self.room).as_bytes());
        format!("{peer}{session}{}", std::str::from_utf8(&mark).unwrap_or_default())
    }

    /// The seat that a URL's last segment names, if this key made the segment.
    pub fn from_resource(key: &ServerKey, room: &RoomId, resource: &str) -> Option<Self> {
        let (peer, rest) = resource.split_at_checked(16)?;
        let (session, _) = rest.split_at_checked(16)?;
        let seat = Self { room: room.clone(), peer: peer.parse().ok()?, session: session.parse().ok()? };
        (seat.to_resource(key) == resource).then_some(seat)
    }
}

/// A WHIP or WHEP client's request to enter a room.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaJoin {
    /// The equivalent `join` message.
    pub join: Join,
    /// What the authenticator granted.
    pub grant: Grant,
    /// The terms of the session.
    pub terms: MediaTerms,
}

/// Characters of a resource's mark, of five bits each.
const RESOURCE_MARK: usize = 16;
/// The delay before a room is woken again whose timer does not advance.
const STUCK: Duration = Duration::from_secs(1);

/// A room that was made without a peer in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeRoom {
    /// Its unguessable id.
    pub room: RoomId,
    /// The token that gives a host's powers.
    pub host_token: String,
}

/// A room as an administrator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// The room as its peers see it.
    pub room: RoomView,
    /// The id of this life of the room.
    pub life: LifeId,
    /// The number of listed peers.
    pub peers: usize,
    /// The number of viewers.
    pub viewers: usize,
}

/// A peer in a room, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Person {
    /// The peer as other peers see it.
    #[serde(flatten)]
    pub view: PeerView,
    /// The peer's identity for the signer of its join token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

/// The numbers of rooms and peers that are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Existing rooms.
    pub rooms: usize,
    /// Listed peers in the rooms.
    pub peers: usize,
    /// Viewers in the rooms.
    pub viewers: usize,
}

/// Why a session gets no event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRefusal {
    /// Another transport has taken over the session, so the stream must not reconnect.
    Replaced,
    /// The request is refused.
    Refused(Refusal),
}

/// The rooms of one shard, as one deterministic state machine.
///
/// It has no clock, socket or thread. Its driver passes the time with each call, and calls [`Self::handle_timeout`]
/// when [`Self::poll_timeout`] says so.
pub struct Shard {
    env: Environment,
    rooms: HashMap<RoomId, LiveRoom>,
    /// Ended rooms whose names must not be reused yet.
    resting: HashMap<RoomId, Rest>,
    wakeups: BTreeSet<(Timestamp, RoomId)>,
    /// The time in `wakeups` for each room.
    woken_at: HashMap<RoomId, Timestamp>,
    draining: bool,
    /// Distinguishes the secrets of this process from those of others.
    run: u64,
}

/// The longest time between the look-up of a meeting and the join that follows.
const LOOK_UP: Duration = Duration::from_secs(10);

/// A period in which an ended room is not made again.
#[derive(Clone, Copy, Debug)]
struct Rest {
    since: Timestamp,
    until: Timestamp,
}

impl Shard {
    /// A shard that serves the rooms of these records.
    pub fn new(mut env: Environment, now: Timestamp, records: Vec<RoomRecord>) -> Self {
        let mut run = [0; 8];
        env.entropy.fill(&mut run);
        let mut shard = Self {
            env,
            rooms: HashMap::new(),
            resting: HashMap::new(),
            wakeups: BTreeSet::new(),
            woken_at: HashMap::new(),
            draining: false,
            run: u64::from_ne_bytes(run),
        };
        for record in records {
            shard.restore(now, &record);
        }
        shard
    }

    /// The offset of the wall clock from the ticks.
    pub fn wall(&self) -> Wall {
        self.env.wall
    }

    /// Sets the offset of the wall clock from the ticks.
    pub fn set_wall(&mut self, wall: Wall) {
        self.env.wall = wall;
    }

    fn restore(&mut self, now: Timestamp, record: &RoomRecord) {
        if let Some(ended_at) = record.ended_at {
            // A clock that was or is wrong may place the end in the future, which must not prolong the rest.
            let rest = self.env.rules.limits.name_rest;
            let left = (ended_at + rest).since(self.env.wall.at(now)).min(rest);
            if left.is_zero() {
                self.env.store.forget(&record.room);
            } else {
                self.resting.insert(record.room.clone(), Rest { since: now, until: now + left });
                self.schedule(&record.room);
            }
            return;
        }
        let room = Room::new(record, now, Arc::clone(&self.env.rules));
        self.rooms.insert(record.room.clone(), LiveRoom::new(room, now, &self.env, self.run));
        self.schedule(&record.room);
    }

    /// Makes a room with an id from [`RoomId::made_by_server`]. If no peer enters it, it ends after a day by default.
    pub fn make_room(
        &mut self,
        now: Timestamp,
        room: RoomId,
        topology: TopologyChoice,
    ) -> Result<MadeRoom, Refusal> {
        let life = LifeId::random(&mut *self.env.entropy);
        self.open(now, &RoomRecord::new(room.clone(), life, self.env.wall.at(now), topology))?;
        let claims = HostClaims { room: room.clone(), life };
        let host_token = claims.seal(&self.env.rules.key, &mut *self.env.entropy);
        self.schedule(&room);
        Ok(MadeRoom { room, host_token })
    }

    fn open(&mut self, now: Timestamp, record: &RoomRecord) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::new(Code::Overloaded, "the server is going away"));
        }
        if self.rooms.len() >= self.env.rules.limits.rooms {
            return Err(Refusal::new(Code::Overloaded, "the server has as many rooms as it takes"));
        }
        if record.topology == TopologyChoice::Sfu && !self.env.rules.sfu {
            return Err(Refusal::new(Code::InvalidState, "this server has no SFU"));
        }
        let room = Room::new(record, now, Arc::clone(&self.env.rules));
        self.env.store.save(record);
        self.resting.remove(&record.room);
        self.rooms.insert(record.room.clone(), LiveRoom::new(room, now, &self.env, self.run));
        Ok(())
    }

    /// Admits a peer to a room, which is made if necessary. The welcome answers the request over the connection, if
    /// there is one, and is returned in any case.
    pub fn join(
        &mut self,
        now: Timestamp,
        join: &Join,
        grant: &Grant,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<(Seat, Arc<Frame>), Refusal> {
        self.enter(now, join, grant, None, connection)
    }

    /// Admits a WHIP or WHEP client to a room. Its session has no connection for events: it lives while the media plane
    /// reports that it is connected ([`MediaEvent::Connected`], [`MediaEvent::Failed`]), and for the resume window
    /// before and after.
    pub fn join_media(&mut self, now: Timestamp, asked: &MediaJoin) -> Result<Seat, Refusal> {
        let terms = Some(asked.terms.clone());
        let (seat, _) = self.enter(now, &asked.join, &asked.grant, terms, None)?;
        Ok(seat)
    }

    fn enter(
        &mut self,
        now: Timestamp,
        join: &Join,
        grant: &Grant,
        media: Option<MediaTerms>,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<(Seat, Arc<Frame>), Refusal> {
        let name = Name::parse(grant.name.as_deref().unwrap_or(&join.name))?;
        let room = join.room.id();
        let host_token = join.token.as_deref().and_then(|token| HostClaims::open(&self.env.rules.key, token));
        let host_token = host_token.filter(|claims| claims.room == *room);
        if join.token.is_some() && host_token.is_none() && !grant.token_known {
            return Err(Refusal::new(Code::Unauthorized, "the token opens nothing here"));
        }
        let arranged = grant.arranged.as_ref().filter(|arranged| arranged.record.room == *room);
        let present = self.rooms.get(room).map(|live| live.room.life());
        let present = present.or(arranged.map(|arranged| arranged.record.life));
        // A room that has ended is reported as such, whatever the token.
        let may_be = present.is_some() || !self.is_over(now, room);
        if may_be && host_token.as_ref().is_some_and(|claims| present != Some(claims.life)) {
            return Err(Refusal::new(Code::Unauthorized, "the token is one of an earlier room of that name"));
        }
        if grant.hosts_only && host_token.is_none() {
            return Err(Refusal::new(Code::Unauthorized, "the token opens nothing here"));
        }
        let was_there = self.rooms.contains_key(room);
        self.find_or_open(now, join, grant)?;
        let Some(live) = self.rooms.get_mut(room) else {
            return Err(Refusal::new(Code::Internal, "the room is not there"));
        };
        let pass = match () {
            () if host_token.is_some() || grant.host => Pass::Host,
            () if grant.admitted => Pass::Admitted,
            () => Pass::None,
        };
        let peer = PeerId::random(&mut *self.env.entropy);
        let session = SessionId::random(&mut *self.env.entropy);
        let key = &self.env.rules.key;
        let admission = Admission {
            at: self.env.wall.at(now),
            peer,
            session,
            name,
            role: grant.role.unwrap_or(join.role),
            metadata: join.metadata.clone(),
            signed: grant.signed.clone(),
            client: join
                .client_id
                .as_deref()
                .map(|client| key.digest("client", [live.room.life().as_str(), client])),
            token: grant.token.as_ref().map(|token| TokenDigests::new(key, live.room.life(), token)),
            password: join.password.clone(),
            pass,
            media,
        };
        let joined = live.join(now, &mut self.env, admission, join.reached_at.as_deref(), connection);
        if joined.is_err() && !was_there {
            // A refused join makes no room.
            self.rooms.remove(room);
            self.env.store.forget(room);
        }
        self.after(now, room);
        let seat = Seat { room: room.clone(), peer, session };
        joined.map(|welcome| (seat, welcome))
    }

    /// Whether a room that does not exist must not be made again.
    fn is_over(&self, now: Timestamp, room: &RoomId) -> bool {
        let rests = self.resting.get(room).is_some_and(|rest| rest.until > now);
        rests || room.is_made_by(&self.env.rules.key)
    }

    /// Opens the room if it does not exist.
    fn find_or_open(&mut self, now: Timestamp, join: &Join, grant: &Grant) -> Result<(), Refusal> {
        let room = join.room.id();
        if self.rooms.contains_key(room) {
            return Ok(());
        }
        let ended = || Refusal::new(Code::RoomEnded, "the room is over");
        let rest = self.resting.get(room);
        if let Some(arranged) = grant.arranged.as_ref().filter(|arranged| arranged.record.room == *room) {
            if rest.is_some_and(|rest| arranged.as_of <= rest.since) {
                return Err(ended());
            }
            let created_at = self.env.wall.at(now);
            return self.open(now, &RoomRecord { created_at, ..(*arranged.record).clone() });
        }
        if self.is_over(now, room) {
            return Err(ended());
        }
        if !join.create {
            return Err(Refusal::new(Code::NotFound, "there is no such room"));
        }
        if !grant.may_create {
            return Err(Refusal::new(Code::Forbidden, "you may not make rooms here"));
        }
        if join
            .metadata
            .as_ref()
            .is_some_and(|metadata| metadata.as_str().len() > self.env.rules.limits.metadata_bytes)
        {
            return Err(Refusal::bad_request("`metadata` is too large"));
        }
        let life = LifeId::random(&mut *self.env.entropy);
        let created_at = self.env.wall.at(now);
        let mut record = RoomRecord::new(room.clone(), life, created_at, join.topology.unwrap_or_default());
        record.name = join.room.beyond_id();
        (record.entered, record.first_is_host) = (true, true);
        self.open(now, &record)
    }

    /// Resumes a session, and restores its room if this process knows neither.
    pub fn resume(
        &mut self,
        now: Timestamp,
        claims: &SessionClaims,
        last_id: u64,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<(Seat, Arc<Frame>), Refusal> {
        if self.env.wall.is_over(Timestamp::from_millis(claims.expires_at_ms), now) {
            return Err(Refusal::new(Code::Unauthorized, "the secret has expired"));
        }
        let room = &claims.room;
        match self.rooms.get(room) {
            Some(live)
                if live.room.life() == claims.life
                    && live.room.created_at().as_millis() == claims.created_at_ms => {}
            // The name has a new life; the room of the secret has ended.
            Some(_) => return Err(Refusal::new(Code::RoomEnded, "the room is over")),
            // Rooms with ids of the server's making are kept while they live: a missing one has ended.
            None if self.resting.contains_key(room) || room.is_made_by(&self.env.rules.key) => {
                return Err(Refusal::new(Code::RoomEnded, "the room is over"));
            }
            None => {
                let created_at = Timestamp::from_millis(claims.created_at_ms);
                let mut record = RoomRecord::new(room.clone(), claims.life, created_at, claims.topology);
                record.name = claims.room_name.as_deref().map(Into::into);
                (record.entered, record.had_host) = (true, true);
                self.open(now, &record)?;
            }
        }
        let Some(live) = self.rooms.get_mut(room) else {
            return Err(Refusal::new(Code::SessionUnknown, "the session is over"));
        };
        let resumed = live.resume(now, &mut self.env, claims, last_id, connection);
        self.after(now, room);
        let seat = Seat { room: room.clone(), peer: claims.peer, session: claims.session };
        resumed.map(|welcome| (seat, welcome))
    }

    /// Gives a session an event stream, which `connection` makes.
    pub fn attach(
        &mut self,
        now: Timestamp,
        claims: &SessionClaims,
        last_id: Option<u64>,
        connection: impl FnOnce() -> NewConnection,
    ) -> Result<Seat, StreamRefusal> {
        let unknown = || StreamRefusal::Refused(Refusal::new(Code::SessionUnknown, "the session is over"));
        let run = self.run;
        let live = self.rooms.get_mut(&claims.room).filter(|live| live.room.life() == claims.life);
        let live = live.ok_or_else(unknown)?;
        let session = live.session_of(claims).ok_or_else(unknown)?;
        if session.refuses_stream(claims.issued_by(run)) {
            return Err(StreamRefusal::Replaced);
        }
        live.attach(now, &mut self.env, claims, last_id, connection());
        self.after(now, &claims.room);
        Ok(Seat { room: claims.room.clone(), peer: claims.peer, session: claims.session })
    }

    /// Whether the session exists.
    pub fn knows(&self, seat: &Seat) -> bool {
        let session = self.rooms.get(&seat.room).and_then(|live| live.session(seat.peer));
        session.is_some_and(|session| session.id == seat.session)
    }

    /// Whether the session exists and is past the lobby.
    pub fn is_joined(&self, seat: &Seat) -> bool {
        self.knows(seat)
            && self
                .rooms
                .get(&seat.room)
                .and_then(|live| live.session(seat.peer))
                .is_some_and(|session| !session.waiting)
    }

    /// Handles a message of a peer, sent over a connection or by HTTP. Answers go to the session's connection.
    pub fn receive(
        &mut self,
        now: Timestamp,
        seat: &Seat,
        connection: Option<ConnectionId>,
        message: Result<Envelope, Unreadable>,
        request: Option<RequestId>,
    ) {
        let Some(live) = self.rooms.get_mut(&seat.room) else { return };
        if live.session(seat.peer).is_some_and(|session| session.id == seat.session) {
            live.receive(now, &mut self.env, seat.peer, connection, message, request);
            // Most messages neither end the room nor change its next timeout.
            if live.room.ended().is_some() || live.poll_timeout() != live.wakes_at {
                self.after(now, &seat.room);
            }
        }
    }

    /// A connection that answered [`Offer::Full`](crate::Offer::Full) can take frames again.
    pub fn writable(&mut self, now: Timestamp, seat: &Seat, connection: ConnectionId) {
        if let Some(live) = self.rooms.get_mut(&seat.room) {
            live.writable(now, &self.env, seat.peer, connection);
            self.after(now, &seat.room);
        }
    }

    /// A connection is lost. Its session lives on for the resume window.
    pub fn detach(&mut self, now: Timestamp, seat: &Seat, connection: ConnectionId) {
        if let Some(live) = self.rooms.get_mut(&seat.room) {
            live.detach(now, &self.env, seat.peer, connection);
            self.after(now, &seat.room);
        }
    }

    /// The media plane reports an event.
    pub fn media(&mut self, now: Timestamp, room: &RoomId, event: MediaEvent) {
        if let Some(live) = self.rooms.get_mut(room) {
            live.media(now, &mut self.env, event);
            self.after(now, room);
        }
    }

    /// Applies a change of a room's meeting. Returns whether the room exists.
    pub fn arrange(&mut self, now: Timestamp, record: Box<RoomRecord>) -> bool {
        let room = record.room.clone();
        let Some(live) = self.rooms.get_mut(&room) else { return false };
        // A room that has ended does not change.
        let _ = live.input(now, &mut self.env, RoomInput::Arrange(record));
        self.after(now, &room);
        true
    }

    /// Starts or stops the recording of a room; if `life` is given, only of that life.
    pub fn record(
        &mut self,
        now: Timestamp,
        room: &RoomId,
        life: Option<LifeId>,
        on: bool,
    ) -> Result<(), Refusal> {
        let at_present = self
            .rooms
            .get_mut(room)
            .filter(|at_present| life.is_none_or(|life| at_present.room.life() == life));
        let at_present =
            at_present.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such room at present"))?;
        at_present.input(now, &mut self.env, RoomInput::Record(on))?;
        self.after(now, room);
        Ok(())
    }

    /// Ends a room. Returns whether it existed.
    pub fn end_room(&mut self, now: Timestamp, room: &RoomId, reason: EndReason) -> bool {
        let Some(live) = self.rooms.get_mut(room) else { return false };
        let _ = live.input(now, &mut self.env, RoomInput::End(reason));
        self.after(now, room);
        true
    }

    /// A room as an administrator sees it.
    pub fn summary(&self, room: &RoomId) -> Option<RoomSummary> {
        let live = self.rooms.get(room)?;
        let (peers, viewers) = live.counts();
        Some(RoomSummary { room: live.room.view(), life: live.room.life(), peers, viewers })
    }

    /// At most `limit` rooms with ids after `after`, in the order of their ids.
    pub fn rooms_after(&self, after: Option<&RoomId>, limit: usize) -> Vec<RoomSummary> {
        let mut names: Vec<&RoomId> =
            self.rooms.keys().filter(|room| after.is_none_or(|after| *room > after)).collect();
        if names.len() > limit {
            names.select_nth_unstable(limit);
            names.truncate(limit);
        }
        names.sort_unstable();
        names.into_iter().filter_map(|room| self.summary(room)).collect()
    }

    /// The peers in a room, viewers included.
    pub fn people(&self, room: &RoomId) -> Option<Vec<Person>> {
        let live = self.rooms.get(room)?;
        let person = |member: &Member| Person {
            view: member.view(),
            sub: member.signed.as_ref().and_then(|signed| signed.sub.clone()),
        };
        Some(live.room.joined().map(person).collect())
    }

    /// The number of rooms.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// The numbers of rooms, listed peers and viewers.
    pub fn census(&self) -> Census {
        self.rooms.values().fold(Census::default(), |sum, live| {
            let (peers, viewers) = live.counts();
            Census { rooms: sum.rooms + 1, peers: sum.peers + peers, viewers: sum.viewers + viewers }
        })
    }

    /// Tells every client that the server is going away, and makes no more rooms.
    pub fn go_away(&mut self, now: Timestamp, reconnect_after_ms: u64) {
        self.draining = true;
        for live in self.rooms.values_mut() {
            live.go_away(now, &self.env, reconnect_after_ms);
        }
    }

    /// Handles the due timeouts, once for each room.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        while self.wakeups.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.wakeups.pop_first().map(|(_, room)| room));
        }
        for room in due {
            self.woken_at.remove(&room);
            if let Some(live) = self.rooms.get_mut(&room) {
                live.handle_timeout(now, &mut self.env);
            }
            self.after(now, &room);
            // A room whose timer does not advance must not delay the others.
            let again = self.woken_at.get(&room).copied();
            debug_assert!(again.is_none_or(|at| at > now), "what is due is done: {room}");
            if again.is_some_and(|at| at <= now) {
                self.wake(&room, Some(now + STUCK));
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.wakeups.first().map(|(at, _)| *at)
    }

    /// Removes the room if it has ended, and schedules its next timeout.
    fn after(&mut self, now: Timestamp, room: &RoomId) {
        if let Some(live) = self.rooms.get(room)
            && let Some(reason) = live.room.ended()
        {
            let span = if !room.is_made_by(&self.env.rules.key) {
                Some(self.env.rules.limits.name_rest)
            } else if live.room.is_meeting() && reason == EndReason::HostEnded {
                Some(LOOK_UP)
            } else {
                None
            };
            self.rooms.remove(room);
            if let Some(span) = span {
                self.resting.insert(room.clone(), Rest { since: now, until: now + span });
            }
        }
        if self.resting.get(room).is_some_and(|rest| rest.until <= now) {
            self.resting.remove(room);
            self.env.store.forget(room);
        }
        if let Some(live) = self.rooms.get_mut(room) {
            live.tidy();
        }
        self.schedule(room);
    }

    fn schedule(&mut self, room: &RoomId) {
        let due = match self.rooms.get_mut(room) {
            Some(live) => {
                live.wakes_at = live.poll_timeout();
                live.wakes_at
            }
            None => self.resting.get(room).map(|rest| rest.until),
        };
        self.wake(room, due);
    }

    /// Replaces the time at which the room is woken.
    fn wake(&mut self, room: &RoomId, due: Option<Timestamp>) {
        if self.woken_at.get(room).copied() == due {
            return;
        }
        if let Some(former) = self.woken_at.remove(room) {
            self.wakeups.remove(&(former, room.clone()));
        }
        if let Some(due) = due {
            self.wakeups.insert((due, room.clone()));
            self.woken_at.insert(room.clone(), due);
        }
    }
}
