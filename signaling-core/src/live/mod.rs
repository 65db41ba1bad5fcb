//! A live room: its state machine, its log, and the sessions of its peers.

mod commit;
mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rate_limit::Bucket;

use crate::codec::Frame;
use crate::log::Log;
use crate::message::{ClientMessage, LeaveReason, Reply, Role, Snapshot};
use crate::room::{Audience, Effect, Fact, Room, RoomInput};
use crate::sequence::Fate;
use crate::session::{Gap, NewConnection, Session};
use crate::shard::Environment;
use crate::{
    CloseReason, Code, ConnectionId, Envelope, Limits, MediaEvent, PeerId, Refusal, RequestId, SessionClaims,
    SessionId, Timestamp, Unreadable,
};

pub(crate) struct LiveRoom {
    pub(crate) room: Room,
    log: Log<Audience>,
    sessions: BTreeMap<PeerId, Session>,
    guesses: Bucket<Timestamp>,
    /// When this process began to serve the room. An older secret is honoured once; the sessions of newer ones are
    /// known.
    served_since: Timestamp,
    /// Identifies this process in the secrets that it makes.
    run: u64,
    /// Sessions whose older secret has been honoured.
    returned: BTreeSet<SessionId>,
    next_ping: Timestamp,
    /// No session needs a check before this time.
    next_check: Option<Timestamp>,
    /// When the shard will next wake the room.
    pub(crate) wakes_at: Option<Timestamp>,
}

/// One password guess is restored after this time, for all addresses together.
const GUESS_EVERY: Duration = Duration::from_millis(100);
/// The error text for a client that sends or guesses too fast.
const TOO_MANY: &str = "too many messages; slow down";

impl LiveRoom {
    pub(crate) fn new(room: Room, now: Timestamp, env: &Environment, run: u64) -> Self {
        let limits = &env.rules.limits;
        Self {
            room,
            log: Log::new(limits.log_bytes, limits.log_age).with_history(limits.chat_history),
            sessions: BTreeMap::new(),
            guesses: Bucket::full(now),
            served_since: now,
            run,
            returned: BTreeSet::new(),
            next_ping: now + ping_every(limits.heartbeat),
            next_check: None,
            wakes_at: None,
        }
    }

    /// Frees what only sessions need, when there are none: the room of an abandoned name lives on for minutes.
    pub(crate) fn tidy(&mut self) {
        if self.sessions.is_empty() {
            // An empty map keeps the node of its last entry.
            self.sessions = BTreeMap::new();
            self.log.forget();
            self.room.tidy();
        }
    }

    pub(crate) fn session(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&peer)
    }

    /// The session that the claims identify.
    pub(crate) fn session_of(&mut self, claims: &SessionClaims) -> Option<&mut Session> {
        self.sessions.get_mut(&claims.peer).filter(|session| session.id == claims.session)
    }
}

impl LiveRoom {
    /// Gives a session an event stream. It starts at `last_id`, or else at the cursor of the last resume or welcome.
    pub(crate) fn attach(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
        last_id: Option<u64>,
        connection: NewConnection,
    ) {
        let peer = claims.peer;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let last_id = last_id.unwrap_or_else(|| session.stream_cursor());
        self.note_return(now, env, peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.connect(now, connection);
        session.note_stream(claims.issued_by(self.run));
        self.catch_up(now, env, peer, last_id);
        self.look_after(now, env, peer);
    }

    /// Replays the events after `last_id`, or sends a snapshot if they are gone.
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
                self.tell_who_waits(now, env, peer);
            }
        }
        self.deliver_to(now, env, peer);
    }

    /// Handles a message of a peer. `connection` is the one that carried it, or `None` for a message by HTTP.
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
        if let Err(wait) = session.take_token(now, &env.rules.limits) {
            // The number stays unused, so the client may send the message again.
            let refusal = Refusal::rate_limited(wait, TOO_MANY);
            session.reply(Arc::new(env.codec.encode_reply(&Reply::error(&refusal, seq))), request);
            return self.deliver_to(now, env, peer);
        }
        if let Some(seq) = seq
            && let Some(answer) = repeated(session.sequence.fate(seq), seq, env)
        {
            session.reply(answer, request);
            return self.deliver_to(now, env, peer);
        }
        let leaving = matches!(&message, Ok(Envelope { message: ClientMessage::Leave(_), .. }));
        let decided = message.map_err(|unreadable| unreadable.refusal).and_then(|envelope| {
            let effects =
                self.room.decide(now, RoomInput::Message(peer, &envelope.message), &mut *env.entropy)?;
            Ok((envelope, effects))
        });
        let (reply, effects) = match decided {
            Ok((Envelope { message: ClientMessage::Ping(t), .. }, _)) => {
                (Some(Reply::Pong { t, server_time: env.wall.at(now) }), Vec::new())
            }
            Ok((_, effects)) => ((seq.is_some() || request.is_some()).then_some(Reply::Ack { seq }), effects),
            Err(refusal) => (Some(Reply::error(&refusal, seq)), Vec::new()),
        };
        let answer = reply.map(|reply| (Arc::new(env.codec.encode_reply(&reply)), reply));
        let is_end = |effect: &Effect| matches!(effect, Effect::Fact(Fact::Ended { .. }));
        // The effects close the connection, so the answer goes first.
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
        answer: Option<(Arc<Frame>, Reply)>,
        request: Option<RequestId>,
    ) {
        let (Some(session), Some((frame, reply))) = (self.sessions.get_mut(&peer), answer) else { return };
        match (seq, reply) {
            (None, _) => {}
            (Some(seq), Reply::Ack { .. }) => session.sequence.accept(seq),
            (Some(seq), Reply::Error { .. }) => session.sequence.refuse(seq, &frame),
            (Some(seq), _) => session.sequence.answer(seq, &frame),
        }
        session.reply(frame, request);
        self.deliver_to(now, env, peer);
    }

    /// A connection can take frames again.
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

    /// The media plane reports.
    pub(crate) fn media(&mut self, now: Timestamp, env: &mut Environment, event: MediaEvent) {
        let connection = match event {
            MediaEvent::Connected { peer } => Some((peer, true)),
            MediaEvent::Failed { peer } => Some((peer, false)),
            _ => None,
        };
        if let Some((peer, connected)) = connection
            && let Some(session) = self.sessions.get_mut(&peer)
        {
            session.note_media(now, connected);
            if session.detached_since.is_none() {
                self.note_return(now, env, peer);
            }
            self.look_after(now, env, peer);
        }
        // A room that has ended ignores the media plane.
        let _ = self.input(now, env, RoomInput::Media(event));
    }

    /// Handles an input that no client sent: from the media plane, or from the server itself.
    pub(crate) fn input(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        input: RoomInput<'_>,
    ) -> Result<(), Refusal> {
        let effects = self.room.decide(now, input, &mut *env.entropy)?;
        self.commit(now, env, effects);
        self.settle(now, env);
        Ok(())
    }

    /// Tells every connected client that the server is going away, and closes the connections.
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
            self.check_sessions(now, env, &limits);
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

    /// Publishes that a peer is back, if it was away.
    pub(super) fn note_return(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        if self.sessions.get(&peer).is_some_and(|session| session.away) {
            self.enact(now, env, Fact::Presence { peer, away: false });
        }
    }

    /// Closes silent and stalled connections, publishes which peers are away, and removes those that were away too
    /// long.
    fn check_sessions(&mut self, now: Timestamp, env: &mut Environment, limits: &Limits) {
        loop {
            let (mut away, mut late, mut next) = (Vec::new(), Vec::new(), None::<Timestamp>);
            for session in self.sessions.values_mut() {
                let look = session.check_connection(now, limits);
                if session.gone_at(limits).is_some_and(|at| at <= now) {
                    late.push(session.peer);
                } else if session.away_at(limits).is_some_and(|at| at <= now) {
                    session.away = true;
                    away.push(session.peer);
                }
                next = [next, look, session.next_look(limits)].into_iter().flatten().min();
            }
            if late.is_empty() && away.is_empty() {
                self.next_check = next;
                return;
            }
            // Publishing these facts may be what stalls another connection, so the loop checks all sessions again.
            for peer in away {
                self.enact(now, env, Fact::Presence { peer, away: true });
            }
            for peer in late {
                let _ = self.input(now, env, RoomInput::Gone(peer, LeaveReason::Timeout));
                self.sessions.remove(&peer);
            }
        }
    }

    /// Schedules the next check of a session.
    fn look_after(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let limits = &env.rules.limits;
        let Some(session) = self.sessions.get(&peer) else { return };
        let at = session.next_look(limits).unwrap_or(now + limits.heartbeat * 2);
        self.next_check = Some(self.next_check.map_or(at, |next| next.min(at)));
    }

    fn deliver_to(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.deliver(now, &self.log, &env.rules.limits);
        if !session.is_connected() || session.stalls_at(&env.rules.limits).is_some() {
            self.look_after(now, env, peer);
        }
    }

    /// The numbers of listed peers and of viewers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let viewers = self.room.viewers();
        (self.room.joined().filter(|member| member.role != Role::Viewer).count(), viewers)
    }
}

/// The answer to a message whose number was used before.
fn repeated(fate: Fate, seq: u64, env: &Environment) -> Option<Arc<Frame>> {
    let reply = match fate {
        Fate::Unused => return None,
        Fate::Answered(frame) => return Some(frame),
        Fate::Accepted => Reply::Ack { seq: Some(seq) },
        Fate::Lost => {
            let lost =
                "this number was used too long ago to say what for; its message may have had no effect";
            Reply::error(&Refusal::new(Code::InvalidState, lost), Some(seq))
        }
    };
    Some(Arc::new(env.codec.encode_reply(&reply)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Pings slightly more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
