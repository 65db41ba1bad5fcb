//! A live room: what its owner decides, and what every node of its people serves.
//!
//! `messages` and `entry` put inputs to the room, `authority` decides and commits, `open` is what waits for the log, `enact`
//! makes decisions happen, `audience` applies and tells, and
//! `welcome` and `connections` serve the sessions from the log. Where several nodes serve a room, `following` is the part
//! of those that do not own it, and `links` what all of them say to each other.

mod audience;
mod authority;
mod connections;
mod enact;
mod entry;
mod following;
mod history;
mod links;
mod messages;
mod open;
mod welcome;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use self::audience::Audience;
use self::authority::Authority;
use self::following::{Follower, Seeker};
use self::links::Passed;
use crate::room::{Room, RoomInput};
use crate::session::Session;
use crate::{
    Claim, ConnectionId, Environment, Input, LogEvent, MediaEvent, PeerId, RoomSnapshot, SessionClaims,
    Timestamp,
};

/// A room on a node that has somebody of it. A node without others owns all its rooms.
pub(crate) struct LiveRoom {
    audience: Audience,
    role: Role,
    /// Messages of this node's clients that no owner has answered.
    passed: VecDeque<Passed>,
    /// Messages of clients whose effects the owner has told and the log may not have.
    loose: BTreeSet<Input>,
    /// The number of the last question to the log.
    attempts: u64,
    /// When a client of this node needed the room last.
    wanted_at: Timestamp,
    /// This node serves the room no longer.
    pub(crate) is_given_up: bool,
    /// When the shard will next wake the room.
    pub(crate) wakes_at: Option<Timestamp>,
}

/// What a node is to a room.
enum Role {
    Owner(Box<Authority>),
    Follower(Follower),
    Seeker(Seeker),
}

/// The error text for a client that sends or guesses too fast.
const TOO_MANY: &str = "too many messages; slow down";

impl LiveRoom {
    /// A room that this process begins to own, with what was kept of its chat. If the log grants that later or not at
    /// all, the node looks for the owner.
    pub(crate) fn new(room: Room, now: Timestamp, env: &mut Environment, run: u64) -> Self {
        let mut live = Self::seeking(room, now, env, run);
        let base = live.audience.is_shared.then(|| Box::new(live.snapshot()));
        let (attempt, room) = (live.next_attempt(), &live.audience.room);
        let claim = Claim { life: room.life(), after: 0, epoch: 1, node: env.node(), base };
        if let Some(LogEvent::Claimed { guard, snapshot, .. }) = env.log.claim(room.id(), attempt, claim) {
            let is_shared = live.audience.is_shared;
            let room = live.audience.room;
            live.audience = Audience::new(room, RoomSnapshot { state: None, ..*snapshot }, now, env, run);
            live.audience.is_shared = is_shared;
            live.audience.begin_epoch(1);
            live.role = Role::Owner(Box::new(Authority::new(now, guard, 1)));
        }
        live
    }

    /// A room of which this node has somebody, and whose owner it looks for.
    pub(crate) fn seeking(room: Room, now: Timestamp, env: &Environment, run: u64) -> Self {
        let mut audience = Audience::new(room, RoomSnapshot::default(), now, env, run);
        audience.is_shared = env.peers.is_some();
        let role = Role::Seeker(Seeker::default());
        // An answer to an earlier copy of the room must not be taken for one to this.
        let attempts = now.as_millis() << 16;
        let (passed, loose, is_given_up, wakes_at) = (VecDeque::new(), BTreeSet::new(), false, None);
        Self { audience, role, passed, loose, attempts, wanted_at: now, is_given_up, wakes_at }
    }

    fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    /// Whether this node decides for the room.
    pub(crate) fn is_owner(&self) -> bool {
        self.authority().is_some()
    }

    /// The log answers.
    pub(crate) fn handle_log(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        attempt: u64,
        event: LogEvent,
    ) {
        if self.is_owner() {
            self.handle_owners_log(now, env, attempt, &event);
            self.settle(now, env);
        } else {
            self.handle_seekers_log(now, env, attempt, event);
        }
    }

    pub(crate) fn room(&self) -> &Room {
        &self.audience.room
    }

    pub(crate) fn tidy(&mut self) {
        self.audience.tidy();
    }

    pub(crate) fn session(&self, peer: PeerId) -> Option<&Session> {
        self.audience.sessions.get(&peer).map(Box::as_ref)
    }

    /// The session that the claims identify.
    pub(crate) fn session_of(&mut self, claims: &SessionClaims) -> Option<&mut Session> {
        self.audience.session_of(claims)
    }

    /// A connection can take frames again.
    pub(crate) fn writable(&mut self, now: Timestamp, env: &Environment, peer: PeerId, by: ConnectionId) {
        self.audience.writable(now, env, peer, by);
    }

    /// A connection is lost.
    pub(crate) fn detach(&mut self, now: Timestamp, env: &Environment, peer: PeerId, by: ConnectionId) {
        self.audience.detach(now, env, peer, by);
    }

    /// Tells every connected client that the server is going away, and closes the connections.
    pub(crate) fn go_away(
        &mut self,
        now: Timestamp,
        env: &Environment,
        delays: &mut impl Iterator<Item = u64>,
    ) {
        self.audience.go_away(now, env, delays);
    }

    /// The media plane reports.
    pub(crate) fn media(&mut self, now: Timestamp, env: &mut Environment, event: MediaEvent) {
        let connection = match event {
            MediaEvent::Connected { peer } => Some((peer, true)),
            MediaEvent::Failed { peer } => Some((peer, false)),
            _ => None,
        };
        if let Some((peer, connected)) = connection
            && let Some(session) = self.audience.sessions.get_mut(&peer)
        {
            session.note_media(now, connected);
            if session.detached_since.is_none() {
                self.note_return(now, env, peer);
            }
            self.audience.look_after(now, env, peer);
        }
        // A room that has ended ignores the media plane.
        let _ = self.input(now, env, RoomInput::Media(event));
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, env: &mut Environment) {
        if self.audience.next_check.is_some_and(|at| at <= now) {
            let limits = env.rules.limits.clone();
            if self.is_owner() {
                self.check_sessions(now, env, &limits);
            } else {
                self.audience.check_sessions(now, env, &limits);
            }
        }
        self.audience.ping(now, env);
        if self.is_owner() {
            self.handle_owners_timeout(now, env);
            self.settle(now, env);
        } else {
            self.handle_followers_timeout(now, env);
        }
        if self.audience.is_shared {
            // What has been told late may ask for a check that is past.
            let soon = now + Duration::from_millis(1);
            self.audience.next_check = self.audience.next_check.map(|at| at.max(soon));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let decides = self.authority().is_some_and(|authority| !authority.is_full());
        let room = decides.then(|| self.decided().poll_timeout()).flatten();
        [self.audience.poll_timeout(), room, self.poll_owners_timeout(), self.poll_followers_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Pings slightly more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
