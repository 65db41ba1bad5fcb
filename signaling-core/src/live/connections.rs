//! The connections of the sessions: they come, catch up, fall behind and go.

use std::sync::Arc;
use std::time::Duration;

use super::audience::Audience;
use super::{LiveRoom, Role};
use crate::message::{LeaveReason, Reply, Snapshot};
use crate::room::{Effect, Fact, RoomInput};
use crate::session::{Gap, NewConnection};
use crate::{
    CloseReason, ConnectionId, Environment, Limits, MediaDemand, OwnershipRule, PeerId, PeerMessage,
    SessionClaims, Timestamp,
};

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
        let Some(session) = self.audience.sessions.get_mut(&peer) else { return };
        let last_id = last_id.unwrap_or_else(|| session.stream_cursor());
        session.note_resumes(claims.resumes);
        self.note_return(now, env, peer);
        let Some(session) = self.audience.sessions.get_mut(&peer) else { return };
        session.open_stream(now, connection, claims.issued_by(self.audience.run));
        self.catch_up(now, env, peer, last_id);
        let room = &self.audience.room;
        if self.is_owner() && room.uses_sfu() {
            env.media.demand(room.id(), MediaDemand::Returned { peer });
        }
        self.audience.look_after(now, env, peer);
    }

    /// Replays the events after `last_id`, or sends a snapshot if they are gone.
    pub(super) fn catch_up(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId, last_id: u64) {
        let gap = self.audience.catch_up(now, env, peer, last_id) == Err(Gap);
        if self.is_owner() {
            self.take_from_elsewhere(env, peer);
            if gap {
                self.after_gap(now, env, peer);
            }
        } else {
            self.report_connection(env, peer, gap);
        }
    }

    /// Tells a host that has just arrived or returned which peers wait in the lobby.
    pub(super) fn tell_who_waits(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        let room = &self.audience.room;
        if room.member(peer).is_some_and(|member| member.is_host() && member.is_joined()) {
            let waiting: Vec<_> = room.waiting_for(peer).map(Effect::Fact).collect();
            self.commit(now, env, waiting, None);
        }
    }

    /// Takes over the connection of a peer that another node has.
    fn take_from_elsewhere(&mut self, env: &mut Environment, peer: PeerId) {
        let Some(authority) = self.authority_mut() else { return };
        if let Some((node, former)) = authority.elsewhere.remove(&peer) {
            env.send(node, self.audience.room.id(), PeerMessage::Replaced { peer, by: former.by });
        }
    }

    /// Tells the owner that a client is connected here.
    fn report_connection(&mut self, env: &mut Environment, peer: PeerId, gap: bool) {
        let Role::Follower(follower) = &mut self.role else { return };
        let session = self.audience.sessions.get(&peer);
        let Some(client) = session.and_then(|session| session.connected_client()) else { return };
        follower.reported.insert(peer, client.by);
        let connected = PeerMessage::Connected { client, gap };
        env.send(follower.owner.node, self.audience.room.id(), connected);
    }

    /// Publishes that a peer is back, if it was away.
    pub(super) fn note_return(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        if self.audience.sessions.get(&peer).is_some_and(|session| session.away) {
            self.commit(now, env, [Effect::Fact(Fact::Presence { peer, away: false })], None);
        }
    }

    /// Closes silent and stalled connections, publishes which peers are away, and removes those that were away too
    /// long.
    pub(super) fn check_sessions(&mut self, now: Timestamp, env: &mut Environment, limits: &Limits) {
        loop {
            let (mut away, mut late, mut next) = (Vec::new(), Vec::new(), None::<Timestamp>);
            for session in self.audience.sessions.values_mut() {
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
                self.audience.next_check = next;
                return;
            }
            // Publishing these facts may be what stalls another connection, so the loop checks all sessions again.
            for peer in away {
                self.commit(now, env, [Effect::Fact(Fact::Presence { peer, away: true })], None);
            }
            for peer in late {
                let _ = self.input(now, env, RoomInput::Gone(peer, LeaveReason::Timeout));
                self.audience.sessions.remove(&peer);
            }
        }
    }
}

impl Audience {
    /// Closes silent and stalled connections, and forgets sessions that have long been elsewhere: only the owner knows
    /// where they are.
    pub(super) fn check_sessions(&mut self, now: Timestamp, env: &mut Environment, limits: &Limits) {
        let (mut away, mut late, mut next) = (Vec::new(), Vec::new(), None::<Timestamp>);
        for session in self.sessions.values_mut() {
            let look = session.check_connection(now, limits);
            if session.away_at(limits).is_some_and(|at| at <= now) {
                session.away = true;
                away.push(session.peer);
            }
            if session.gone_at(limits).is_some_and(|at| at <= now) {
                late.push(session.peer);
            }
            next = [next, look, session.next_look(limits)].into_iter().flatten().min();
        }
        for peer in away.into_iter().filter(|_| !OwnershipRule::Author.holds()) {
            let entry = self.room.number(now, Fact::Presence { peer, away: true }, 0);
            let told = self.apply(&entry);
            self.tell(now, env, &entry, told);
        }
        for peer in late {
            if let Some(session) = self.sessions.remove(&peer) {
                self.sequences.insert(session.id, session.sequence);
            }
        }
        self.next_check = next.map(|next| next.max(now + Duration::from_millis(1)));
    }

    /// Replays the events after `last_id`. If they are gone, a snapshot takes their place, and the result is an error.
    pub(super) fn catch_up(
        &mut self,
        now: Timestamp,
        env: &Environment,
        peer: PeerId,
        last_id: u64,
    ) -> Result<(), Gap> {
        let Some(session) = self.sessions.get_mut(&peer) else { return Ok(()) };
        let mut done = session.seek(&self.log, last_id, &self.epochs);
        if done.is_err() {
            if session.waiting {
                done = Ok(());
            }
            self.skip_to_present(now, env, peer, last_id);
        }
        self.deliver_to(now, env, peer);
        done
    }

    /// Sends the present state in place of events after `last_id`, and the chat among them.
    pub(super) fn skip_to_present(&mut self, now: Timestamp, env: &Environment, peer: PeerId, last_id: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.snapshot_due = false;
        session.begin_at(&self.log, self.room.last_id());
        if session.waiting {
            return;
        }
        self.queue_chat(now, peer, last_id);
        let (room, peers) = (self.room.view(), self.view_for(peer));
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let snapshot = Snapshot { room, peers, gap: true, last_id: session.start };
        session.answer(Arc::new(env.codec.encode_reply(&Reply::Snapshot(Box::new(snapshot)))), None);
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

    /// Tells every connected client that the server is going away, and closes the connections. Each client is told the
    /// next of the delays, in milliseconds.
    pub(crate) fn go_away(
        &mut self,
        now: Timestamp,
        env: &Environment,
        delays: &mut impl Iterator<Item = u64>,
    ) {
        for session in self.sessions.values_mut() {
            let Some(reconnect_after_ms) = delays.next() else { return };
            let frame = Arc::new(env.codec.encode_reply(&Reply::GoingAway { reconnect_after_ms }));
            session.answer(frame, None);
            session.deliver(now, &self.log, &env.rules.limits);
            session.disconnect(now, Some(CloseReason::GoingAway));
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
