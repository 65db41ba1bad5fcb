//! A room at work: its state machine, its log, and the sessions of its members.

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
    /// When this process began to serve the room. Secrets made before are honoured once; later ones are known.
    served_since: Timestamp,
    /// Marks the secrets of this process.
    run: u64,
    /// Sessions whose older secrets have been honoured.
    returned: BTreeSet<SessionId>,
    next_ping: Timestamp,
    /// No session needs a look before then.
    next_check: Option<Timestamp>,
    /// When the shard means to look at it.
    pub(crate) wakes_at: Option<Timestamp>,
}

/// A password guess is given back every so often, to all addresses together.
const GUESS_EVERY: Duration = Duration::from_millis(100);
/// What a client is told that sends or guesses too fast.
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

    /// Gives back what only sessions need, when there are none: a name that somebody tried and left lives on for minutes.
    pub(crate) fn tidy(&mut self) {
        if self.sessions.is_empty() {
            // An empty map keeps the node in which its last entry lay.
            self.sessions = BTreeMap::new();
            self.log.forget();
            self.room.tidy();
        }
    }

    pub(crate) fn session(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&peer)
    }

    /// The session that these claims open.
    pub(crate) fn session_of(&mut self, claims: &SessionClaims) -> Option<&mut Session> {
        self.sessions.get_mut(&claims.peer).filter(|session| session.id == claims.session)
    }
}

impl LiveRoom {
    /// Gives a session an event stream. The cursor is what the stream names, else that of the last resume or welcome.
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
                self.tell_who_waits(now, env, peer);
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
        if let Err(wait) = session.take_token(now, &env.rules.limits) {
            // The number is not used: the client may send the same again.
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
        // A room that is over has nothing to hear.
        let _ = self.input(now, env, RoomInput::Media(event));
    }

    /// What came from elsewhere than a peer: the media plane, the server itself.
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

    /// Whoever was away is back.
    pub(super) fn note_return(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        if self.sessions.get(&peer).is_some_and(|session| session.away) {
            self.enact(now, env, Fact::Presence { peer, away: false });
        }
    }

    /// Cuts off who is silent or does not read, tells who is away, and lets go who stayed away too long.
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
            // What the others hear of it may be the last that one of them failed to take: they are looked at again.
            for peer in away {
                self.enact(now, env, Fact::Presence { peer, away: true });
            }
            for peer in late {
                let _ = self.input(now, env, RoomInput::Gone(peer, LeaveReason::Timeout));
                self.sessions.remove(&peer);
            }
        }
    }

    /// Notes when the session is to be looked at next.
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

    /// How many are listed, and how many watch.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let viewers = self.room.viewers();
        (self.room.joined().filter(|member| member.role != Role::Viewer).count(), viewers)
    }
}

/// The answer to a number that was used before.
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

/// Somewhat more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
