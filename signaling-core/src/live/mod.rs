//! A live room: its state machine, its log, and the sessions of its peers.
//!
//! `messages` and `entry` put inputs to the room, `commit` applies and publishes what the room decides, and `connections`
//! serves the sessions from the log.

mod commit;
mod connections;
mod entry;
mod history;
mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rate_limit::Bucket;

use self::history::History;
use crate::log::Log;
use crate::message::Reply;
use crate::room::{Audience, Room, RoomInput};
use crate::session::Session;
use crate::{Environment, LogRecord, MediaEvent, PeerId, Refusal, SessionClaims, SessionId, Timestamp};

pub(crate) struct LiveRoom {
    pub(crate) room: Room,
    log: Log<Audience>,
    /// The latest chat, some of it from before this process.
    history: History,
    /// The greatest `seq` of sessions that have not returned since this process began.
    sequences: BTreeMap<SessionId, u64>,
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

/// The error text for a client that sends or guesses too fast.
const TOO_MANY: &str = "too many messages; slow down";

impl LiveRoom {
    /// A room that this process begins to serve, with what was kept of its chat.
    pub(crate) fn new(mut room: Room, now: Timestamp, env: &mut Environment, run: u64) -> Self {
        let kept = env.log.read(room.life());
        let limits = &env.rules.limits;
        let mut history = History::new(limits.chat_history);
        for LogRecord { line, .. } in kept.records {
            let frame = Arc::new(env.codec.encode_event(line.id, &line.event()));
            history.push(line.id, frame, line.audience());
        }
        room.continue_after(history.newest());
        Self {
            room,
            log: Log::new(limits.log_bytes, limits.log_age),
            history,
            sequences: kept.sequences,
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
            self.history.tidy();
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
}

/// Pings slightly more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
