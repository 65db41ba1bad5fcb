//! The connections of the sessions: they come, catch up, fall behind and go.

use std::sync::Arc;

use super::LiveRoom;
use crate::message::{LeaveReason, Reply, Snapshot};
use crate::room::{Fact, RoomInput};
use crate::session::{Gap, NewConnection};
use crate::{CloseReason, ConnectionId, Environment, Limits, MediaDemand, PeerId, SessionClaims, Timestamp};

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
        session.open_stream(now, connection, claims.issued_by(self.run));
        self.catch_up(now, env, peer, last_id);
        self.look_after(now, env, peer);
    }

    /// Replays the events after `last_id`, or sends a snapshot if they are gone.
    pub(super) fn catch_up(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId, last_id: u64) {
        let peers = self.view_for(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.seek(&self.log, last_id, self.room.last_id()) == Err(Gap) {
            session.snapshot_due = false;
            session.begin_at(&self.log, self.room.last_id());
            if !session.waiting {
                for (id, frame) in self.history.after(last_id, peer) {
                    session.queue_history(id, now, frame);
                }
                let room = self.room.view();
                let snapshot = Snapshot { room, peers, gap: true, last_id: session.start };
                let frame = env.codec.encode_reply(&Reply::Snapshot(Box::new(snapshot)));
                session.answer(Arc::new(frame), None);
                if self.room.uses_sfu() {
                    env.media.demand(self.room.id(), MediaDemand::Resend { peer });
                }
                self.tell_who_waits(now, env, peer);
            }
        }
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

    /// Tells every connected client that the server is going away, and closes the connections.
    pub(crate) fn go_away(&mut self, now: Timestamp, env: &Environment, reconnect_after_ms: u64) {
        let frame = Arc::new(env.codec.encode_reply(&Reply::GoingAway { reconnect_after_ms }));
        for session in self.sessions.values_mut() {
            session.answer(Arc::clone(&frame), None);
            session.deliver(now, &self.log, &env.rules.limits);
            session.disconnect(now, Some(CloseReason::GoingAway));
        }
    }

    /// Publishes that a peer is back, if it was away.
    pub(super) fn note_return(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        if self.sessions.get(&peer).is_some_and(|session| session.away) {
            self.enact(now, env, Fact::Presence { peer, away: false });
        }
    }

    /// Closes silent and stalled connections, publishes which peers are away, and removes those that were away too
    /// long.
    pub(super) fn check_sessions(&mut self, now: Timestamp, env: &mut Environment, limits: &Limits) {
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
    pub(super) fn look_after(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let limits = &env.rules.limits;
        let Some(session) = self.sessions.get(&peer) else { return };
        let at = session.next_look(limits).unwrap_or(now + limits.heartbeat * 2);
        self.next_check = Some(self.next_check.map_or(at, |next| next.min(at)));
    }

    pub(super) fn deliver_to(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.deliver(now, &self.log, &env.rules.limits);
        if !session.is_connected() || session.stalls_at(&env.rules.limits).is_some() {
            self.look_after(now, env, peer);
        }
    }
}
