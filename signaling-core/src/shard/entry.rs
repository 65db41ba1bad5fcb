//! How rooms are made, and how peers enter and return.

use std::sync::Arc;

use super::Shard;
use crate::live::LiveRoom;
use crate::message::{Join, Name, TopologyChoice};
use crate::room::{Admission, Arrival, MediaTerms, Pass, Room, RoomRecord};
use crate::session::NewConnection;
use crate::{
    Code, Frame, Grant, HostClaims, LifeId, PeerId, Refusal, RequestId, RoomId, Seat, SessionClaims,
    SessionId, Timestamp, TokenDigests,
};

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

/// A room that was made without a peer in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeRoom {
    /// Its unguessable id.
    pub room: RoomId,
    /// The token that gives a host's powers.
    pub host_token: String,
}

/// Why a session gets no event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRefusal {
    /// Another transport has taken over the session, so the stream must not reconnect.
    Replaced,
    /// The request is refused.
    Refused(Refusal),
}

impl Shard {
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
        self.rooms.insert(record.room.clone(), LiveRoom::new(room, now, &mut self.env, self.run));
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
    /// reports that it is connected ([`MediaEvent::Connected`](crate::MediaEvent::Connected),
    /// [`MediaEvent::Failed`](crate::MediaEvent::Failed)), and for the resume window before and after.
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
        let pass = self.pass(now, join, grant)?;
        let was_there = self.rooms.contains_key(room);
        self.find_or_open(now, join, grant)?;
        let Some(live) = self.rooms.get_mut(room) else {
            return Err(Refusal::new(Code::Internal, "the room is not there"));
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
                .map(|client| key.digest("client", [live.room().life().as_str(), client])),
            token: grant.token.as_ref().map(|token| TokenDigests::new(key, live.room().life(), token)),
            password: join.password.clone(),
            arrival: Arrival::New(pass),
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

    /// Which admission checks the tokens of a join pass.
    fn pass(&self, now: Timestamp, join: &Join, grant: &Grant) -> Result<Pass, Refusal> {
        let room = join.room.id();
        let host_token = join.token.as_deref().and_then(|token| HostClaims::open(&self.env.rules.key, token));
        let host_token = host_token.filter(|claims| claims.room == *room);
        if join.token.is_some() && host_token.is_none() && !grant.token_known {
            return Err(Refusal::new(Code::Unauthorized, "the token opens nothing here"));
        }
        let arranged = grant.arranged.as_ref().filter(|arranged| arranged.record.room == *room);
        let present = self.rooms.get(room).map(|live| live.room().life());
        let present = present.or(arranged.map(|arranged| arranged.record.life));
        // A room that has ended is reported as such, whatever the token.
        let may_be = present.is_some() || !self.is_over(now, room);
        if may_be && host_token.as_ref().is_some_and(|claims| present != Some(claims.life)) {
            return Err(Refusal::new(Code::Unauthorized, "the token is one of an earlier room of that name"));
        }
        if grant.hosts_only && host_token.is_none() {
            return Err(Refusal::new(Code::Unauthorized, "the token opens nothing here"));
        }
        Ok(if host_token.is_some() { Pass::Host } else { grant.pass })
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
                if live.room().life() == claims.life
                    && live.room().created_at().as_millis() == claims.created_at_ms => {}
            // The name has a new life; the room of the secret has ended.
            Some(_) => return Err(Refusal::new(Code::RoomEnded, "the room is over")),
            // Rooms with ids of the server's making are kept while they live: a missing one has ended.
            None if self.resting.contains_key(room)
                || room.is_made_by(&self.env.rules.key) && self.env.peers.is_none() =>
            {
                return Err(Refusal::new(Code::RoomEnded, "the room is over"));
            }
            None => {
                let created_at = Timestamp::from_millis(claims.created_at_ms);
                let mut record = RoomRecord::new(room.clone(), claims.life, created_at, claims.topology);
                record.name = claims.room_name.as_deref().map(Into::into);
                (record.entered, record.had_host) = (true, true);
                if self.env.peers.is_some() {
                    // The log says who owns it, and the client asks again.
                    let known = Room::new(&record, now, Arc::clone(&self.env.rules));
                    self.rooms.insert(room.clone(), LiveRoom::seeking(known, now, &self.env, self.run));
                } else {
                    self.open(now, &record)?;
                }
            }
        }
        let Some(live) = self.rooms.get_mut(room) else {
            return Err(Refusal::new(Code::SessionUnknown, "the session is over"));
        };
        let resumed = live.resume(now, &mut self.env, claims, last_id, connection);
        self.after(now, room);
        resumed.map(|welcome| (Seat::from(claims), welcome))
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
        let live = self.rooms.get_mut(&claims.room).filter(|live| live.room().life() == claims.life);
        let live = live.ok_or_else(unknown)?;
        let session = live.session_of(claims).ok_or_else(unknown)?;
        if session.refuses_stream(claims.issued_by(run)) {
            return Err(StreamRefusal::Replaced);
        }
        live.attach(now, &mut self.env, claims, last_id, connection());
        self.after(now, &claims.room);
        Ok(Seat::from(claims))
    }
}
