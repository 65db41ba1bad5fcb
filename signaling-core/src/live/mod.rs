//! A live room: what its owner decides, and what every node of its people serves.
//!
//! `messages` and `entry` put inputs to the room, `authority` decides and commits, `audience` applies and tells, and
//! `welcome` and `connections` serve the sessions from the log.

mod audience;
mod authority;
mod connections;
mod entry;
mod history;
mod messages;
mod welcome;

use std::time::Duration;

use self::audience::Audience;
use self::authority::Authority;
use crate::room::{Room, RoomInput};
use crate::session::Session;
use crate::{
    Claim, ConnectionId, Environment, LogEvent, MediaEvent, NodeId, PeerId, SessionClaims, Timestamp,
};

/// A room on the node that owns it, both halves of it: what one node alone always has.
pub(crate) struct LiveRoom {
    audience: Audience,
    authority: Authority,
    /// When the shard will next wake the room.
    pub(crate) wakes_at: Option<Timestamp>,
}

/// The error text for a client that sends or guesses too fast.
const TOO_MANY: &str = "too many messages; slow down";

impl LiveRoom {
    /// A room that this process begins to serve, with what was kept of its chat.
    pub(crate) fn new(room: Room, now: Timestamp, env: &mut Environment, run: u64) -> Self {
        let claim = Claim { life: room.life(), after: 0, epoch: 1, node: NodeId::default(), base: None };
        let (guard, kept) = match env.log.claim(room.id(), claim) {
            Some(LogEvent::Claimed { guard, snapshot, .. }) => (guard, *snapshot),
            _ => Default::default(),
        };
        let mut audience = Audience::new(room, kept, now, &env.rules.limits, run);
        audience.begin_epoch(1);
        Self { audience, authority: Authority::new(now, guard), wakes_at: None }
    }

    pub(crate) fn room(&self) -> &Room {
        &self.audience.room
    }

    pub(crate) fn tidy(&mut self) {
        self.audience.tidy();
    }

    pub(crate) fn session(&self, peer: PeerId) -> Option<&Session> {
        self.audience.sessions.get(&peer)
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
            self.check_sessions(now, env, &limits);
        }
        self.audience.ping(now, env);
        self.settle(now, env);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        [self.audience.poll_timeout(), self.audience.room.poll_timeout()].into_iter().flatten().min()
    }
}

/// Pings slightly more often than promised, so that a late timer keeps the promise.
fn ping_every(heartbeat: Duration) -> Duration {
    heartbeat * 4 / 5
}
