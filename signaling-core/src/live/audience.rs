//! What every node that has somebody of a room keeps: a copy of the room, its log, and the sessions of peers who are
//! connected there.
//!
//! It decides nothing. Entries come to it in order once they have been decided ([`Authority`](super::Authority)), by a call
//! on the owner's node and by the link from it on the others; it applies them to the copy and tells its sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::History;
use super::ping_every;
use crate::log::Log;
use crate::message::{LeaveReason, LobbyVerdict, Reply, ServerEvent};
use crate::room::{Entry, Fact, FleetingEvent, Recipients, Room};
use crate::sequence::Sequence;
use crate::session::Session;
use crate::{
    CloseReason, Environment, Epochs, Limits, OwnershipRule, PeerId, RoomSnapshot, SessionClaims, SessionId,
    Step, Timestamp,
};

pub(crate) struct Audience {
    pub(crate) room: Room,
    pub(super) log: Log<Recipients>,
    /// The latest chat, some of it from before this process.
    pub(super) history: History,
    /// The ids that the log has, and had.
    pub(super) epochs: Epochs,
    /// The numbers of messages of sessions that are not here.
    pub(super) sequences: BTreeMap<SessionId, Sequence>,
    /// Boxed, since a map has places for eleven where it has two.
    pub(super) sessions: BTreeMap<PeerId, Box<Session>>,
    /// Identifies this process in the secrets that it makes.
    pub(super) run: u64,
    /// Other nodes may serve the room too. Then the log has what is meant for one peer as well, since that may connect
    /// to any of them.
    pub(super) is_shared: bool,
    next_ping: Timestamp,
    /// No session needs a check before this time.
    pub(super) next_check: Option<Timestamp>,
}

/// What an entry means to peers, and to which.
pub(super) type Told = Option<(Recipients, ServerEvent)>;

impl Audience {
    /// A copy of a room without sessions, from what is known of it. `room` is in the state of the snapshot.
    pub(super) fn new(
        room: Room,
        snapshot: RoomSnapshot,
        now: Timestamp,
        env: &Environment,
        run: u64,
    ) -> Self {
        let limits = &env.rules.limits;
        let sequences = snapshot.sequences.into_iter();
        Self {
            room,
            log: Log::new(limits.log_bytes, limits.log_age),
            history: History::new(limits.chat_history, &env.codec, &snapshot.chat),
            epochs: snapshot.epochs,
            sequences: sequences.map(|(session, last)| (session, Sequence::up_to(last))).collect(),
            sessions: BTreeMap::new(),
            run,
            is_shared: false,
            next_ping: now + ping_every(limits.heartbeat),
            next_check: None,
        }
    }

    /// Begins an epoch, whose ids leave a hole after the newest one known.
    pub(super) fn begin_epoch(&mut self, number: u64) {
        let newest = if self.epochs.is_empty() { self.history.newest() } else { self.room.last_id() };
        if OwnershipRule::Hole.holds() {
            self.room.continue_after(newest);
        }
        self.epochs.begin(number, self.room.last_id() + 1);
    }

    /// Frees what only sessions need, when there are none: the room of an abandoned name lives on for minutes.
    pub(super) fn tidy(&mut self) {
        if self.sessions.is_empty() {
            // An empty map keeps the node of its last entry.
            self.sessions = BTreeMap::new();
            self.log.forget();
            self.history.tidy();
            self.room.tidy();
        }
    }

    /// The session that the claims identify.
    pub(super) fn session_of(&mut self, claims: &SessionClaims) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&claims.peer).map(Box::as_mut);
        session.filter(|session| session.id == claims.session)
    }

    /// Makes the session of a member here, if there is none.
    pub(super) fn host(&mut self, now: Timestamp, limits: &Limits, peer: PeerId) -> Option<&mut Session> {
        let member = self.room.member(peer)?;
        if !self.sessions.contains_key(&peer) {
            let make = if member.media_only { Session::media_only } else { Session::new };
            let mut session = make(member.session, peer, now, limits);
            session.sequence = self.sequences.remove(&member.session).unwrap_or_default();
            self.sessions.insert(peer, Box::new(session));
            self.synchronise(peer);
        }
        self.sessions.get_mut(&peer).map(Box::as_mut)
    }

    /// Applies an entry. Returns what [`Self::tell`] is to say of it.
    pub(super) fn apply(&mut self, entry: &Entry) -> Told {
        // The departure of a peer is described by the state before it.
        let farewell = matches!(entry.fact, Fact::Left { .. }).then(|| entry.event(&self.room));
        if let Fact::Left { peer, .. } = entry.fact
            && let Some(member) = self.room.member(peer)
        {
            self.sequences.remove(&member.session);
        }
        self.room.apply(entry);
        self.epochs.extend(entry.id);
        farewell.unwrap_or_else(|| entry.event(&self.room))
    }

    /// Applies and tells what an owner has decided, except what is known already.
    pub(super) fn repeat(&mut self, now: Timestamp, env: &mut Environment, step: &Step) {
        for entry in &step.entries {
            if entry.id > self.room.last_id() {
                let told = self.apply(entry);
                self.tell(now, env, entry, told);
            }
        }
    }

    /// Tells the sessions of an applied entry.
    pub(super) fn tell(&mut self, now: Timestamp, env: &mut Environment, entry: &Entry, told: Told) {
        match &entry.fact {
            Fact::Joined(member) => self.synchronise(member.id),
            Fact::HostGranted { peer, .. } | Fact::HostWithdrawn { peer } | Fact::Presence { peer, .. } => {
                self.synchronise(*peer);
            }
            Fact::Admitted { peer } => self.admit(now, env, *peer),
            _ => {}
        }
        if let Some((recipients, event)) = told {
            self.publish(now, env, entry, recipients, &event);
        }
        match entry.fact {
            Fact::Left { peer, reason } => self.dismiss(now, env, peer, reason),
            Fact::Ended { .. } => {
                for session in self.sessions.values_mut() {
                    session.finish(now, &self.log, &env.rules.limits, CloseReason::Ended);
                }
                self.sessions.clear();
            }
            _ => {}
        }
    }

    fn publish(
        &mut self,
        now: Timestamp,
        env: &Environment,
        entry: &Entry,
        recipients: Recipients,
        event: &ServerEvent,
    ) {
        let id = entry.id;
        let frame = Arc::new(env.codec.encode_event(id, event));
        if let Recipients::One(peer) = recipients
            && !self.is_shared
        {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.queue_event(id, now, frame);
            }
            return self.deliver_to(now, env, peer);
        }
        if matches!(entry.fact, Fact::Chatted(_)) {
            self.history.push(recipients, Arc::clone(&frame));
        }
        self.log.append(id, now, frame, recipients);
        let limits = &env.rules.limits;
        let mut soonest = self.next_check;
        for session in self.sessions.values_mut() {
            session.deliver(now, &self.log, limits);
            if let Some(at) = session.next_look(limits) {
                soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
            }
        }
        self.next_check = soonest;
    }

    /// Sends an event of interest only at present to the connections of peers in the room.
    pub(super) fn send_fleeting(&mut self, now: Timestamp, env: &Environment, event: &FleetingEvent) {
        let frame = Arc::new(env.codec.encode_reply(&event.reply()));
        let to = event.to();
        let addressed = self
            .sessions
            .iter_mut()
            .filter(|(peer, session)| !session.waiting && to.is_none_or(|to| to == **peer));
        for (_, session) in addressed {
            session.send_fleeting(&frame);
            session.deliver(now, &self.log, &env.rules.limits);
        }
    }

    pub(super) fn synchronise_all(&mut self) {
        let peers: Vec<PeerId> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.synchronise(peer);
        }
    }

    pub(super) fn synchronise(&mut self, peer: PeerId) {
        if let (Some(session), Some(member)) = (self.sessions.get_mut(&peer), self.room.member(peer)) {
            session.host = member.is_host();
            session.waiting = !member.is_joined();
            session.away = member.away;
        }
    }

    /// Lets a peer in from the lobby: it is welcomed into the room now, or when it reconnects.
    fn admit(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        self.synchronise(peer);
        self.begin(now, peer);
        let lobby = ServerEvent::Lobby { state: Some(LobbyVerdict::Admitted), peer: None, name: None };
        let id = self.room.last_id();
        let frame = Arc::new(env.codec.encode_event(id, &lobby));
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.queue_history(id, now, frame);
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
        let close = if reason == LeaveReason::Replaced { CloseReason::Replaced } else { CloseReason::Ended };
        session.finish(now, &self.log, &env.rules.limits, close);
    }

    /// Sends pings that are due, and drops events that are older than the log keeps.
    pub(super) fn ping(&mut self, now: Timestamp, env: &Environment) {
        if self.next_ping > now {
            return;
        }
        let limits = &env.rules.limits;
        self.next_ping = now + ping_every(limits.heartbeat);
        self.log.expire(now);
        let ping = Arc::new(env.codec.encode_reply(&Reply::Ping));
        for session in self.sessions.values_mut() {
            session.expire_outbox(now);
            if session.stalls_at(limits).is_none() {
                session.answer(Arc::clone(&ping), None);
                session.deliver(now, &self.log, limits);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let ping = (!self.sessions.is_empty()).then_some(self.next_ping);
        [ping, self.next_check].into_iter().flatten().min()
    }
}
