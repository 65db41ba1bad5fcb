//! A room at work: its state machine, its log, and the sessions of its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Frame;
use crate::log::Log;
use crate::message::{
    ClientMessage, IceServers, LeaveReason, PeerView, Reply, Role, ServerEvent, Snapshot, Welcome,
    WelcomeState,
};
use crate::room::{Admission, Audience, Effect, Fact, LobbyVerdict, Pass, Room, RoomInput, RoomRecord};
use crate::session::{Gap, NewConnection, Sequence, Session};
use crate::shard::Environment;
use crate::{
    CloseReason, Code, ConnectionId, Envelope, HostClaims, PeerId, Refusal, RequestId, SessionClaims,
    SessionId, Timestamp, TokenBucket, Unreadable,
};

pub(crate) struct LiveRoom {
    pub(crate) room: Room,
    log: Log<Audience>,
    sessions: BTreeMap<PeerId, Session>,
    guesses: TokenBucket,
    /// When this process began to serve the room. Secrets made before are honoured once; later ones are known.
    served_since: Timestamp,
    /// Sessions whose older secrets have been honoured.
    returned: BTreeSet<SessionId>,
    next_ping: Timestamp,
    /// No session needs a look before then.
    next_check: Option<Timestamp>,
}

/// A password guess is given back every so often.
const GUESS_EVERY: Duration = Duration::from_secs(6);

impl LiveRoom {
    pub(crate) fn new(room: Room, now: Timestamp, env: &Environment) -> Self {
        let limits = &env.rules.limits;
        Self {
            room,
            log: Log::new(limits.log_bytes, limits.log_age),
            sessions: BTreeMap::new(),
            guesses: TokenBucket::full(now, limits.password_guesses),
            served_since: now,
            returned: BTreeSet::new(),
            next_ping: now + ping_every(limits.heartbeat),
            next_check: None,
        }
    }

    pub(crate) fn session(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&peer)
    }

    /// The session that these claims open.
    pub(crate) fn session_of(&mut self, claims: &SessionClaims) -> Option<&mut Session> {
        self.sessions.get_mut(&claims.peer).filter(|session| session.id == claims.session)
    }

    /// Takes somebody in. The welcome goes to the connection, if there is one already, and to the caller.
    pub(crate) fn join(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        admission: Admission,
        made_it: bool,
        reached_at: Option<&str>,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<Arc<Frame>, Refusal> {
        let (peer, session) = (admission.peer, admission.session);
        self.check_guesses(now, env, &admission)?;
        let guessed = admission.password.is_some();
        let effects = self.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy);
        if guessed && effects.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            let burst = env.rules.limits.password_guesses;
            let _ = self.guesses.take_slow(now, burst, GUESS_EVERY);
        }
        let effects = effects?;
        let mut session = Session::new(session, peer, now, &env.rules.limits);
        session.reached_at = reached_at.map(Into::into);
        self.sessions.insert(peer, session);
        self.commit(now, env, effects);
        self.begin(now, env, peer);
        let welcome = self.welcome(now, env, peer, made_it, None)?;
        if let Some(session) = self.sessions.get_mut(&peer)
            && let Some((connection, request)) = connection
        {
            session.connect(now, connection);
            session.answer(Arc::clone(&welcome), request);
        }
        self.settle(now, env);
        self.deliver_to(now, env, peer);
        self.look_after(now, env, peer);
        Ok(welcome)
    }

    fn check_guesses(
        &mut self,
        now: Timestamp,
        env: &Environment,
        admission: &Admission,
    ) -> Result<(), Refusal> {
        if admission.pass != Pass::None || admission.password.is_none() {
            return Ok(());
        }
        let mut looked_at = self.guesses;
        let burst = env.rules.limits.password_guesses;
        looked_at.take_slow(now, burst, GUESS_EVERY).map_err(Refusal::rate_limited)
    }

    /// A session begins at the present of the room, after the chat of before.
    fn begin(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.begin_at(&self.log, self.room.last_id());
        if session.waiting {
            return;
        }
        for line in self.room.chat() {
            let frame = Arc::new(env.codec.encode_event(line.id, &line.event()));
            session.lay_history(line.id, now, frame);
        }
    }

    fn view_for(&self, peer: PeerId) -> Vec<PeerView> {
        let host = self.room.member(peer).is_some_and(|member| member.host);
        let mut others: Vec<_> =
            self.room.joined().filter(|other| other.id != peer && (host || other.is_listed())).collect();
        others.sort_by_key(|other| other.order);
        others.into_iter().map(crate::room::Member::view).collect()
    }

    fn welcome(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        made_it: bool,
        resumed: Option<u64>,
    ) -> Result<Arc<Frame>, Refusal> {
        let internal = || Refusal::new(Code::Internal, "the peer is not in its room");
        let member = self.room.member(peer).ok_or_else(internal)?;
        let session = self.sessions.get(&peer).ok_or_else(internal)?;
        let limits = &env.rules.limits;
        let claims = SessionClaims {
            room: self.room.id().clone(),
            life: self.room.life(),
            created_at_ms: self.room.created_at().as_millis(),
            topology: self.room.choice(),
            session: session.id,
            peer,
            name: member.name.as_str().to_owned(),
            role: member.role,
            host: member.host,
            client: member.client,
            reached_at: session.reached_at.as_deref().map(str::to_owned),
            issued_at_ms: now.as_millis(),
            expires_at_ms: (now + limits.secret_lifetime).as_millis(),
        };
        let joined = member.is_joined();
        let host_claims = HostClaims { room: self.room.id().clone(), life: self.room.life() };
        let ice: Option<IceServers> =
            joined.then(|| env.ice.ice_servers(now, self.room.id(), peer, session.reached_at.as_deref()));
        let welcome = Welcome {
            me: member.view(),
            session: session.id,
            secret: claims.seal(&env.rules.key, &mut *env.entropy),
            state: if joined { WelcomeState::Joined } else { WelcomeState::Waiting },
            room: self.room.view(),
            peers: (joined && resumed.is_none()).then(|| self.view_for(peer)),
            host_token: made_it.then(|| host_claims.seal(&env.rules.key, &mut *env.entropy)),
            ice,
            heartbeat_ms: millis(limits.heartbeat),
            resume_window_ms: millis(limits.resume_window),
            last_id: resumed.unwrap_or(session.start),
            resumed: resumed.is_some(),
            last_seq: resumed.map(|_| session.last_seq()),
            features: Arc::clone(&env.features),
        };
        Ok(Arc::new(env.codec.encode_reply(&Reply::Welcome(Box::new(welcome)))))
    }

    /// Takes a session up again. Without a connection, one is to follow by [`Self::attach`].
    pub(crate) fn resume(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
        last_id: u64,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<Arc<Frame>, Refusal> {
        if self.session_of(claims).is_none() {
            self.bring_back(now, env, claims)?;
        }
        let welcome = self.welcome(now, env, claims.peer, false, Some(last_id))?;
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let session = self.sessions.get_mut(&claims.peer).ok_or_else(unknown)?;
        if let Some((connection, request)) = connection {
            session.connect(now, connection);
            session.answer(Arc::clone(&welcome), request);
            self.catch_up(now, env, claims.peer, last_id);
        } else {
            // The former connection is not the client's any more; the stream that follows gets the replay.
            session.disconnect(now, Some(CloseReason::Replaced));
            session.expect_stream(last_id);
        }
        self.settle(now, env);
        self.look_after(now, env, claims.peer);
        Ok(welcome)
    }

    /// Somebody who was here before the server forgot: the same peer again.
    fn bring_back(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let known =
            claims.issued_at_ms >= self.served_since.as_millis() || self.returned.contains(&claims.session);
        if known || self.room.member(claims.peer).is_some() {
            return Err(unknown());
        }
        let admission = Admission {
            peer: claims.peer,
            session: claims.session,
            name: crate::message::Name::parse(&claims.name)?,
            role: claims.role,
            metadata: None,
            client: claims.client,
            password: None,
            pass: Pass::Returning { host: claims.host },
        };
        let effects = self.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy)?;
        self.returned.insert(claims.session);
        let mut session = Session::new(claims.session, claims.peer, now, &env.rules.limits);
        session.reached_at = claims.reached_at.as_deref().map(Into::into);
        self.sessions.insert(claims.peer, session);
        self.commit(now, env, effects);
        self.begin(now, env, claims.peer);
        if let Some(session) = self.sessions.get_mut(&claims.peer) {
            session.snapshot_due = true;
        }
        Ok(())
    }
}

impl LiveRoom {
    /// Gives a session an event stream. The cursor is what the stream names, else that of the last resume or welcome.
    pub(crate) fn attach(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        last_id: Option<u64>,
        connection: NewConnection,
    ) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let last_id = last_id.unwrap_or_else(|| session.stream_cursor());
        session.connect(now, connection);
        self.catch_up(now, env, peer, last_id);
        self.look_after(now, env, peer);
    }

    /// Replays what came after `last_id`, or says that it is gone and how things are.
    fn catch_up(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId, last_id: u64) {
        let peers = self.view_for(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.seek(&self.log, last_id, self.room.last_id()) == Err(Gap) {
            session.snapshot_due = false;
            session.begin_at(&self.log, self.room.last_id());
            if !session.waiting {
                let room = self.room.view();
                let snapshot = Snapshot { room, peers, gap: true, last_id: self.room.last_id() };
                let frame = env.codec.encode_reply(&Reply::Snapshot(Box::new(snapshot)));
                session.answer(Arc::new(frame), None);
                if self.room.uses_sfu() {
                    env.media.demand(self.room.id(), crate::MediaDemand::Resend { peer });
                }
            }
        }
        self.deliver_to(now, env, peer);
    }

    /// A message of a peer. `connection` is the one it came over, or `None` when it came by itself (HTTP).
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        connection: Option<ConnectionId>,
        message: Result<Envelope, Unreadable>,
        request: Option<RequestId>,
    ) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if connection.is_some_and(|connection| !session.is_connected_by(connection)) {
            return;
        }
        session.heard(now);
        let seq = match &message {
            Ok(envelope) => envelope.seq,
            Err(unreadable) => unreadable.seq,
        };
        if let Err(wait_ms) = session.take_token(now, &env.rules.limits) {
            // The number is not used up: the client may send the same again.
            if let Some(seq) = seq {
                session.postpone(seq);
            }
            let refusal = Refusal::rate_limited(wait_ms);
            session.answer(Arc::new(env.codec.encode_reply(&Reply::error(&refusal, seq))), request);
            return self.deliver_to(now, env, peer);
        }
        if let Some(seq) = seq
            && let Sequence::Repeated(answer) = session.sequence(seq)
        {
            let ack = || Arc::new(env.codec.encode_reply(&Reply::Ack { seq: Some(seq) }));
            session.answer(answer.unwrap_or_else(ack), request);
            return self.deliver_to(now, env, peer);
        }
        let leaving = matches!(&message, Ok(Envelope { message: ClientMessage::Leave, .. }));
        let decided = message.map_err(|unreadable| unreadable.refusal).and_then(|envelope| {
            let effects =
                self.room.decide(now, RoomInput::Message(peer, &envelope.message), &mut *env.entropy)?;
            Ok((envelope, effects))
        });
        let (reply, effects) = match decided {
            Ok((Envelope { message: ClientMessage::Ping(t), .. }, _)) => {
                (Some(Reply::Pong { t, server_time: now }), Vec::new())
            }
            Ok((_, effects)) => ((seq.is_some() || request.is_some()).then_some(Reply::Ack { seq }), effects),
            Err(refusal) => (Some(Reply::error(&refusal, seq)), Vec::new()),
        };
        let answer = reply.map(|reply| Arc::new(env.codec.encode_reply(&reply)));
        let is_end = |effect: &Effect| matches!(effect, Effect::Fact(Fact::Ended { .. }));
        // Who leaves, or ends the room, must hear that it worked before the connection goes.
        if leaving || effects.iter().any(is_end) {
            self.answer(now, env, peer, seq, answer, request);
            self.commit(now, env, effects);
        } else {
            self.commit(now, env, effects);
            self.answer(now, env, peer, seq, answer, request);
        }
        self.settle(now, env);
    }

    fn answer(
        &mut self,
        now: Timestamp,
        env: &Environment,
        peer: PeerId,
        seq: Option<u64>,
        answer: Option<Arc<Frame>>,
        request: Option<RequestId>,
    ) {
        let (Some(session), Some(answer)) = (self.sessions.get_mut(&peer), answer) else { return };
        if let Some(seq) = seq {
            session.record(seq, &answer);
        }
        session.answer(answer, request);
        self.deliver_to(now, env, peer);
    }

    /// A connection has room again.
    pub(crate) fn writable(
        &mut self,
        now: Timestamp,
        env: &Environment,
        peer: PeerId,
        connection: ConnectionId,
    ) {
        if self.sessions.get(&peer).is_some_and(|session| session.is_connected_by(connection)) {
            self.deliver_to(now, env, peer);
        }
    }

    /// A connection is lost.
    pub(crate) fn detach(
        &mut self,
        now: Timestamp,
        env: &Environment,
        peer: PeerId,
        connection: ConnectionId,
    ) {
        if let Some(session) = self.sessions.get_mut(&peer)
            && session.is_connected_by(connection)
        {
            session.disconnect(now, None);
            self.look_after(now, env, peer);
        }
    }

    /// What came from elsewhere than a peer: the media plane, the server itself.
    pub(crate) fn input(&mut self, now: Timestamp, env: &mut Environment, input: RoomInput<'_>) {
        if let Ok(effects) = self.room.decide(now, input, &mut *env.entropy) {
            self.commit(now, env, effects);
            self.settle(now, env);
        }
    }

    /// Tells everybody who is connected that the server goes away, and lets the connections go.
    pub(crate) fn go_away(&mut self, now: Timestamp, env: &Environment, reconnect_after_ms: u64) {
        let frame = Arc::new(env.codec.encode_reply(&Reply::GoingAway { reconnect_after_ms }));
        for session in self.sessions.values_mut() {
            session.answer(Arc::clone(&frame), None);
            session.deliver(now, &self.log, &env.rules.limits);
            session.disconnect(now, Some(CloseReason::GoingAway));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, env: &mut Environment) {
        let limits = env.rules.limits.clone();
        if self.next_check.is_some_and(|at| at <= now) {
            self.next_check = None;
            let (mut late, mut next) = (Vec::new(), None::<Timestamp>);
            for session in self.sessions.values_mut() {
                let look = session.check_connection(now, &limits);
                let gone_at = session.detached_since.map(|since| since + limits.resume_window);
                if gone_at.is_some_and(|at| at <= now) {
                    late.push(session.peer);
                    continue;
                }
                next = [next, look, gone_at].into_iter().flatten().min();
            }
            self.next_check = next;
            for peer in late {
                self.input(now, env, RoomInput::Gone(peer, LeaveReason::Timeout));
            }
        }
        if self.next_ping <= now {
            self.next_ping = now + ping_every(limits.heartbeat);
            self.log.expire(now);
            let ping = Arc::new(env.codec.encode_reply(&Reply::Ping));
            for session in self.sessions.values_mut() {
                session.expire_outbox(now);
                if session.stalls_at(&limits).is_none() {
                    session.answer(Arc::clone(&ping), None);
                    session.deliver(now, &self.log, &limits);
                }
            }
        }
        self.settle(now, env);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let ping = (!self.sessions.is_empty()).then_some(self.next_ping);
        [ping, self.next_check, self.room.poll_timeout()].into_iter().flatten().min()
    }

    /// Notes when the session is to be looked at next.
    fn look_after(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let limits = &env.rules.limits;
        let Some(session) = self.sessions.get(&peer) else { return };
        let at = match session.detached_since {
            Some(since) => since + limits.resume_window,
            None => session.stalls_at(limits).unwrap_or(now + limits.heartbeat * 2),
        };
        self.next_check = Some(self.next_check.map_or(at, |next| next.min(at)));
    }

    fn deliver_to(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.deliver(now, &self.log, &env.rules.limits);
        if !session.is_connected() || session.stalls_at(&env.rules.limits).is_some() {
            self.look_after(now, env, peer);
        }
    }

    fn settle(&mut self, now: Timestamp, env: &mut Environment) {
        while let Some(fact) = self.room.settle(now) {
            self.enact(now, env, fact);
        }
    }

    fn commit(&mut self, now: Timestamp, env: &mut Environment, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Fact(fact) => self.enact(now, env, fact),
                Effect::Demand(demand) => env.media.demand(self.room.id(), demand),
                Effect::Fleeting(event) => {
                    let frame = Arc::new(env.codec.encode_reply(&event.reply()));
                    for session in self.sessions.values_mut().filter(|session| !session.waiting) {
                        session.say_now(&frame);
                        session.deliver(now, &self.log, &env.rules.limits);
                    }
                }
            }
        }
    }

    /// Makes a fact so, and tells whom it concerns.
    fn enact(&mut self, now: Timestamp, env: &mut Environment, fact: Fact) {
        let entry = crate::room::Entry { id: self.room.last_id() + 1, at: now, fact };
        // Who leaves is described by the room as it was.
        let farewell = matches!(entry.fact, Fact::Left { .. }).then(|| entry.event(&self.room));
        self.room.replay(&entry);
        let event = farewell.unwrap_or_else(|| entry.event(&self.room));
        for demand in entry.demands(&self.room) {
            env.media.demand(self.room.id(), demand);
        }
        // What must last is kept before anybody hears of it.
        if matches!(entry.fact, Fact::Ended { .. }) {
            self.keep_end(now, env);
        } else if entry.is_durable() {
            env.store.save(&self.room.record());
        }
        match &entry.fact {
            Fact::Joined(member) => self.synchronise(member.id),
            Fact::HostGranted { peer } => self.synchronise(*peer),
            Fact::Admitted { peer } => self.admit(now, env, *peer),
            _ => {}
        }
        if let Some((audience, event)) = event {
            self.publish(now, env, entry.id, audience, &event);
        }
        match entry.fact {
            Fact::Left { peer, reason } => self.dismiss(now, env, peer, reason),
            Fact::Ended { .. } => {
                for session in self.sessions.values_mut() {
                    session.disconnect(now, Some(CloseReason::Ended));
                }
                self.sessions.clear();
            }
            _ => {}
        }
    }

    fn keep_end(&self, now: Timestamp, env: &mut Environment) {
        let room = self.room.id();
        if room.is_made_by(&env.rules.key) {
            // Its name says that it was made here; that it is gone says that it is dead.
            env.store.forget(room);
        } else {
            env.store.save(&RoomRecord { ended_at: Some(now), ..self.room.record() });
        }
    }

    fn publish(
        &mut self,
        now: Timestamp,
        env: &Environment,
        id: u64,
        audience: Audience,
        event: &ServerEvent,
    ) {
        let frame = Arc::new(env.codec.encode_event(id, event));
        if let Audience::One(peer) = audience {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.lay_in_outbox(id, now, frame);
            }
            return self.deliver_to(now, env, peer);
        }
        self.log.append(id, now, frame, audience);
        let limits = &env.rules.limits;
        let mut soonest = self.next_check;
        for session in self.sessions.values_mut() {
            session.deliver(now, &self.log, limits);
            let gone_at = || session.detached_since.map(|since| since + limits.resume_window);
            if let Some(at) = session.stalls_at(limits).or_else(gone_at) {
                soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
            }
        }
        self.next_check = soonest;
    }

    fn synchronise(&mut self, peer: PeerId) {
        if let (Some(session), Some(member)) = (self.sessions.get_mut(&peer), self.room.member(peer)) {
            session.host = member.host;
            session.waiting = !member.is_joined();
        }
    }

    /// Out of the lobby: a welcome into the room, now or when the peer is back.
    fn admit(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        self.synchronise(peer);
        self.begin(now, env, peer);
        let lobby = ServerEvent::Lobby { state: Some(LobbyVerdict::Admitted), peer: None, name: None };
        let id = self.room.last_id();
        let frame = Arc::new(env.codec.encode_event(id, &lobby));
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.lay_history(id, now, frame);
            session.snapshot_due = !session.is_connected();
        }
        if let Ok(welcome) = self.welcome(now, env, peer, false, None)
            && let Some(session) = self.sessions.get_mut(&peer)
        {
            session.answer(welcome, None);
        }
        self.deliver_to(now, env, peer);
    }

    fn dismiss(&mut self, now: Timestamp, env: &Environment, peer: PeerId, reason: LeaveReason) {
        let Some(mut session) = self.sessions.remove(&peer) else { return };
        session.deliver(now, &self.log, &env.rules.limits);
        let close = if reason == LeaveReason::Replaced { CloseReason::Replaced } else { CloseReason::Ended };
        session.disconnect(now, Some(close));
    }

    /// How many are listed, and how many watch.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let viewers = self.room.viewers();
        (self.room.joined().filter(|member| member.role != Role::Viewer).count(), viewers)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Somewhat more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
