//! The part of a node that does not own a room: it finds the owner and follows it, or takes the room over.
//!
//! The log says who owns the room. A seeker asks it, and asks that node to let it follow. When that node stays silent for
//! [`SUSPICION`], the seeker claims the room; whoever is slower is refused by the log. A wrong suspicion costs a hand-over
//! and no event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::audience::Audience;
use super::authority::Authority;
use super::{LiveRoom, Role};
use crate::room::Room;
use crate::{
    Claim, CloseReason, ConnectionId, Environment, Frame, LogEvent, LogItem, LoggedEvent, Ownership,
    OwnershipRule, PeerId, PeerMessage, RoomSnapshot, Timestamp,
};

/// How long a seeker waits for an answer before it asks again.
const RETRY: Duration = Duration::from_secs(1);
/// How long an owner may be silent.
pub(super) const SUSPICION: Duration = Duration::from_secs(3);
/// The interval at which a follower reports lost connections to the owner.
const REPORT: Duration = Duration::from_millis(500);
/// How long a node follows a room in which it serves no session.
const UNWANTED: Duration = Duration::from_secs(60);

/// A node with a copy of the room, to which the owner sends what it decides.
pub(super) struct Follower {
    pub(super) owner: Ownership,
    /// When the owner was heard last.
    pub(super) heard: Timestamp,
    /// A question to the log, whether it still is the owner.
    look: Option<u64>,
    next_report: Timestamp,
    /// The connections that the owner knows of.
    pub(super) reported: BTreeMap<PeerId, ConnectionId>,
}

/// A node that looks for the owner.
#[derive(Default)]
pub(super) struct Seeker {
    /// The question or the claim that the log has not answered.
    asked: Option<u64>,
    retry_at: Timestamp,
    /// The epoch that the newest claim is to begin.
    claiming: u64,
    /// The owner that was asked to let it follow, and when.
    pub(super) candidate: Option<(Ownership, Timestamp)>,
    /// The guard of an owner that does not answer, or 0 for an empty log, and since when.
    suspect: Option<(u64, Timestamp)>,
}

impl LiveRoom {
    /// Begins to look for the owner. The sessions stay, and their messages wait.
    pub(super) fn seek(&mut self, now: Timestamp) {
        self.role = Role::Seeker(Seeker { retry_at: now, ..Seeker::default() });
    }

    /// All that another node has to know, as it has been told.
    pub(super) fn snapshot(&self) -> RoomSnapshot {
        let audience = &self.audience;
        let here = audience.sessions.values().map(|session| (session.id, &session.sequence));
        let sequences = audience.sequences.iter().map(|(session, sequence)| (*session, sequence)).chain(here);
        RoomSnapshot {
            state: Some(Box::new(audience.room.snapshot())),
            chat: audience.history.lines().collect(),
            sequences: sequences.filter_map(|(session, it)| Some((session, it.newest()?))).collect(),
            epochs: audience.epochs.clone(),
        }
    }

    /// The log answers a node that does not own the room.
    pub(super) fn handle_seekers_log(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        attempt: u64,
        event: LogEvent,
    ) {
        match &mut self.role {
            Role::Owner(_) => {}
            Role::Follower(follower) => {
                if follower.look.take_if(|look| *look == attempt).is_some()
                    && let LogEvent::Owned(newest) = event
                    && newest.is_none_or(|newest| newest.guard != follower.owner.guard)
                {
                    self.seek(now);
                }
            }
            Role::Seeker(seeker) => {
                if seeker.asked.take_if(|asked| *asked == attempt).is_none() {
                    return;
                }
                match event {
                    LogEvent::Owned(newest) => self.found(now, env, newest),
                    LogEvent::Claimed { guard, snapshot, items } => {
                        self.take_over(now, env, guard, *snapshot, items);
                    }
                    LogEvent::Refused(_) | LogEvent::Appended => seeker.retry_at = now,
                }
            }
        }
    }

    /// The log has named the owner.
    fn found(&mut self, now: Timestamp, env: &mut Environment, newest: Option<Ownership>) {
        let Role::Seeker(seeker) = &mut self.role else { return };
        seeker.retry_at = now + RETRY;
        let guard = newest.map_or(0, |newest| newest.guard);
        let suspected = seeker.suspect.filter(|(suspect, _)| *suspect == guard);
        let is_over = suspected.is_some_and(|(_, since)| since + SUSPICION <= now);
        // An earlier life of this process does not answer.
        if is_over || newest.is_some_and(|newest| newest.node == env.node()) {
            return self.claim(now, env, newest);
        }
        seeker.suspect = suspected.or(Some((guard, now)));
        let Some(owner) = newest else { return };
        seeker.candidate = Some((owner, now));
        let sessions = self.audience.sessions.values();
        let connected = sessions.filter_map(|session| session.connected_client());
        let follow = PeerMessage::Follow { guard, connected: connected.collect() };
        env.send(owner.node, self.audience.room.id(), follow);
    }

    fn claim(&mut self, now: Timestamp, env: &mut Environment, newest: Option<Ownership>) {
        let attempt = self.next_attempt();
        if newest.is_none() {
            // Clients may have seen ids of an owner whose log is lost.
            self.audience.room.begin_at(now);
        }
        let base = newest.is_none().then(|| Box::new(self.snapshot().with(self.loose.iter().copied())));
        let Role::Seeker(seeker) = &mut self.role else { return };
        seeker.asked = Some(attempt);
        let epoch = newest.map_or(self.audience.epochs.newest(), |newest| newest.epoch) + 1;
        let (life, after, node) =
            (self.audience.room.life(), newest.map_or(0, |newest| newest.guard), env.node());
        let claim = Claim { life, after, epoch, node, base };
        seeker.claiming = epoch;
        if let Some(answer) = env.log.claim(self.audience.room.id(), attempt, claim) {
            self.handle_log(now, env, attempt, answer);
        }
    }

    /// Becomes the owner, with what the log has.
    fn take_over(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        guard: u64,
        snapshot: RoomSnapshot,
        items: Vec<LogItem>,
    ) {
        let mut audience = self.copy_of(now, env, snapshot);
        for item in items {
            match item {
                LogItem::Epoch(number) => audience.begin_epoch(number),
                LogItem::Steps(steps) => {
                    for step in steps {
                        audience.repeat(now, env, &step);
                        if let Some(input) = step.input {
                            audience.sequences.entry(input.session).or_default().accept(input.seq);
                        }
                    }
                }
            }
        }
        let Role::Seeker(Seeker { claiming: epoch, .. }) = self.role else { return };
        audience.begin_epoch(epoch);
        self.replace_copy(now, env, audience);
        self.loose.clear();
        self.role = Role::Owner(Box::new(Authority::new(now, guard, epoch)));
        let limits = &env.rules.limits.clone();
        let members: Vec<PeerId> = self.audience.room.members().map(|member| member.id).collect();
        for peer in members {
            self.audience.host(now, limits, peer);
        }
        self.audience.next_check = Some(now);
        self.say_again(now, env);
        self.settle(now, env);
    }

    /// A copy in the state of a snapshot.
    fn copy_of(&self, now: Timestamp, env: &Environment, mut snapshot: RoomSnapshot) -> Audience {
        let state = snapshot.state.take();
        let room = match state {
            Some(state) => Room::restore(*state, Arc::clone(&env.rules)),
            None => self.audience.room.clone(),
        };
        let last_id = room.last_id();
        let mut audience = Audience::new(room, snapshot, now, env, self.audience.run);
        audience.is_shared = true;
        audience.log.begin_after(last_id);
        audience
    }

    /// Follows an owner, with what it has sent.
    pub(super) fn follow(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        owner: Ownership,
        snapshot: RoomSnapshot,
        recent: Vec<LoggedEvent>,
        floor: u64,
    ) {
        let mut audience = self.copy_of(now, env, snapshot);
        audience.log.begin_after(floor);
        for LoggedEvent { id, recipients, frame } in recent {
            audience.log.append(id, now, frame, recipients);
        }
        self.replace_copy(now, env, audience);
        let sessions = self.audience.sessions.values();
        let reported =
            sessions.filter_map(|session| Some((session.peer, session.connection_id()?))).collect();
        let (heard, next_report) = (now, now + REPORT);
        self.role = Role::Follower(Follower { owner, heard, look: None, next_report, reported });
        self.say_again(now, env);
    }

    /// Puts another copy in the place of this node's. Sessions go on where the new one has all that they were told and
    /// nothing else, which is judged of every one before any is served; the others get a snapshot.
    fn replace_copy(&mut self, now: Timestamp, env: &mut Environment, copy: Audience) {
        let mut former = std::mem::replace(&mut self.audience, copy);
        let audience = &mut self.audience;
        let mut missed = Vec::new();
        for (peer, mut session) in std::mem::take(&mut former.sessions) {
            if audience.room.member(peer).is_none_or(|member| member.session != session.id) {
                session.disconnect(now, Some(CloseReason::GoingAway));
                continue;
            }
            if let Some(sequence) = audience.sequences.remove(&session.id)
                && sequence.newest() > session.sequence.newest()
            {
                session.sequence = sequence;
            }
            let cursor = session.cursor(&former.log);
            let is_good = audience.epochs.has(cursor) && audience.log.reaches_back_to(cursor);
            session.continue_at(&audience.log, cursor);
            if !is_good && OwnershipRule::Judge.holds() {
                if session.is_connected() {
                    missed.push((peer, cursor));
                } else {
                    session.forget_start();
                }
            }
            audience.sessions.insert(peer, session);
        }
        audience.synchronise_all();
        for (peer, cursor) in missed {
            audience.skip_to_present(now, env, peer, cursor);
        }
        let peers: Vec<PeerId> = audience.sessions.keys().copied().collect();
        for peer in peers {
            audience.deliver_to(now, env, peer);
        }
        audience.next_check = Some(now);
    }

    /// A client's cursor is ahead of this node: the log says whether the owner still is one.
    pub(super) fn look_up(&mut self, now: Timestamp, env: &mut Environment, cursor: u64) {
        if self.authority().is_some() {
            return self.look(now, env, cursor);
        }
        let attempt = self.next_attempt();
        let Role::Follower(follower) = &mut self.role else { return };
        follower.look = Some(attempt);
        if let Some(answer) = env.log.ownership(self.audience.room.id(), attempt) {
            self.handle_log(now, env, attempt, answer);
        }
    }

    /// The owner that was asked does not own the room, or cannot be reached.
    pub(super) fn suspect(&mut self, now: Timestamp) {
        if let Role::Seeker(seeker) = &mut self.role
            && let Some((owner, _)) = seeker.candidate.take()
        {
            let earlier = now.as_millis().saturating_sub(u64::try_from(SUSPICION.as_millis()).unwrap_or(0));
            seeker.suspect = Some((owner.guard, Timestamp::from_millis(earlier)));
        }
    }

    /// Handles the timeouts of a node that does not own the room.
    pub(super) fn handle_followers_timeout(&mut self, now: Timestamp, env: &mut Environment) {
        if self.audience.sessions.is_empty() && self.wanted_at + UNWANTED <= now {
            self.is_given_up = true;
            return;
        }
        match &mut self.role {
            Role::Follower(follower) if follower.heard + SUSPICION <= now => self.seek(now),
            Role::Follower(follower) => {
                if follower.next_report <= now {
                    follower.next_report = now + REPORT;
                    self.report_losses(env);
                }
            }
            Role::Owner(_) | Role::Seeker(_) => {}
        }
        let attempt = self.next_attempt();
        if let Role::Seeker(seeker) = &mut self.role
            && seeker.retry_at <= now
        {
            seeker.retry_at = now + RETRY;
            seeker.asked = Some(attempt);
            if let Some(answer) = env.log.ownership(self.audience.room.id(), attempt) {
                self.handle_log(now, env, attempt, answer);
            }
        }
    }

    /// Tells the owner which clients are no longer connected.
    fn report_losses(&mut self, env: &mut Environment) {
        let Role::Follower(follower) = &mut self.role else { return };
        let (room, sessions, owner) = (self.audience.room.id(), &self.audience.sessions, follower.owner.node);
        follower.reported.retain(|peer, by| {
            let connection = sessions.get(peer).and_then(|session| session.connection_id());
            if connection.is_none() {
                env.send(owner, room, PeerMessage::Disconnected { peer: *peer, by: *by });
            }
            connection.is_some()
        });
    }

    pub(super) fn poll_followers_timeout(&self) -> Option<Timestamp> {
        match &self.role {
            Role::Owner(_) => None,
            Role::Follower(follower) => Some(follower.next_report.min(follower.heard + SUSPICION)),
            Role::Seeker(seeker) => Some(seeker.retry_at),
        }
    }
}

/// The events that a log keeps, for a node that begins to follow.
pub(super) fn recent(audience: &Audience) -> Vec<LoggedEvent> {
    let kept = audience.log.kept();
    kept.map(|kept| LoggedEvent {
        id: kept.id,
        recipients: kept.recipients,
        frame: Arc::<Frame>::clone(&kept.frame),
    })
    .collect::<VecDeque<_>>()
    .into()
}
