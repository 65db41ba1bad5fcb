//! Applies facts, and publishes them to their audience.

use std::sync::Arc;

use super::LiveRoom;
use crate::meeting::{Happening, RoomHappening};
use crate::message::{LeaveReason, LobbyVerdict, ServerEvent};
use crate::room::{Audience, ChatLine, Effect, Entry, Fact, RoomRecord};
use crate::{CloseReason, Environment, LogRecord, PeerId, Timestamp};

impl LiveRoom {
    pub(super) fn settle(&mut self, now: Timestamp, env: &mut Environment) {
        while let Some(fact) = self.room.settle(now) {
            self.enact(now, env, fact);
        }
    }

    pub(super) fn commit(&mut self, now: Timestamp, env: &mut Environment, effects: Vec<Effect>) {
        self.commit_for(now, env, effects, None);
    }

    /// As [`Self::commit`], for a client's message with this `seq`.
    pub(super) fn commit_for(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        effects: Vec<Effect>,
        seq: Option<u64>,
    ) {
        for effect in effects {
            match effect {
                Effect::Fact(fact @ Fact::Chatted(_)) => {
                    let entry = self.entry(now, env, fact);
                    self.keep_chat(env, &entry, seq);
                    self.enact_entry(now, env, &entry);
                }
                Effect::Fact(fact) => self.enact(now, env, fact),
                Effect::Demand(demand) => env.media.demand(self.room.id(), demand),
                Effect::Fleeting(event) => {
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
            }
        }
    }

    /// Applies a fact, and publishes it to its audience.
    pub(super) fn enact(&mut self, now: Timestamp, env: &mut Environment, fact: Fact) {
        let entry = self.entry(now, env, fact);
        self.enact_entry(now, env, &entry);
    }

    /// The next entry of the room.
    fn entry(&self, now: Timestamp, env: &Environment, mut fact: Fact) -> Entry {
        fact.tell_time(env.wall.at(now));
        Entry { id: self.room.last_id() + 1, at: now, fact }
    }

    /// Writes a chat message to the log, before any peer learns of it.
    fn keep_chat(&self, env: &mut Environment, entry: &Entry, seq: Option<u64>) {
        if let Fact::Chatted(line) = &entry.fact
            && let Some(sender) = self.room.member(line.from)
        {
            let line = ChatLine { id: entry.id, ..line.clone() };
            env.log.append(self.room.life(), &LogRecord { line, session: sender.session, seq });
        }
    }

    fn enact_entry(&mut self, now: Timestamp, env: &mut Environment, entry: &Entry) {
        // The departure of a peer is described by the state before it.
        let farewell = matches!(entry.fact, Fact::Left { .. }).then(|| entry.event(&self.room));
        self.keep_end_of_session(env, entry);
        let happening =
            if self.room.is_meeting() { RoomHappening::of(&entry.fact, &self.room) } else { None };
        let before = self.room.known_of();
        self.room.replay(entry);
        if let Some(what) = happening {
            let (room, life) = (self.room.id().clone(), self.room.life());
            env.observer.happened(Happening { room, life, at: env.wall.at(now), what });
        }
        let event = farewell.unwrap_or_else(|| entry.event(&self.room));
        for demand in entry.demands(&self.room) {
            env.media.demand(self.room.id(), demand);
        }
        // Durable changes are stored before any peer learns of them.
        if matches!(entry.fact, Fact::Ended { .. }) {
            self.keep_end(now, env);
        } else if entry.is_durable() || self.room.known_of() != before {
            env.store.save(&self.room.record());
        }
        match &entry.fact {
            Fact::Joined(member) => self.synchronise(member.id),
            Fact::HostGranted { peer, .. } | Fact::HostWithdrawn { peer } | Fact::Presence { peer, .. } => {
                self.synchronise(*peer);
            }
            Fact::Admitted { peer } => self.admit(now, env, *peer),
            _ => {}
        }
        if let Some((audience, event)) = event {
            self.publish(now, env, entry, audience, &event);
        }
        match entry.fact {
            // The room's view names one host only, perhaps another one; the peer's own view shows its powers.
            Fact::HostGranted { peer, .. } => {
                self.enact(now, env, Fact::Updated { peer, change: Box::default() });
                self.tell_who_waits(now, env, peer);
            }
            Fact::HostWithdrawn { peer } => {
                self.enact(now, env, Fact::Updated { peer, change: Box::default() });
            }
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

    /// Tells a host that has just arrived, returned or been appointed which peers wait in the lobby.
    pub(super) fn tell_who_waits(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        if !self.room.member(peer).is_some_and(|member| member.is_host() && member.is_joined()) {
            return;
        }
        let waiting = self.room.members().filter(|member| !member.is_joined());
        let waiting: Vec<PeerId> = waiting.map(|member| member.id).collect();
        for awaiting in waiting {
            self.enact(now, env, Fact::Awaits { peer: awaiting, host: peer });
        }
    }

    /// Stores the end of a session, so that even a process that has not seen it end refuses its secret.
    fn keep_end_of_session(&self, env: &mut Environment, entry: &Entry) {
        if let Fact::Left { peer, .. } = entry.fact
            && let Some(member) = self.room.member(peer).filter(|member| !member.media_only)
        {
            env.store.end_session(self.room.id(), member.session);
        }
    }

    fn keep_end(&self, now: Timestamp, env: &mut Environment) {
        let room = self.room.id();
        env.log.erase(self.room.life());
        if room.is_made_by(&env.rules.key) {
            // Its name proves that this server made it, and the missing record proves that it has ended.
            env.store.forget(room);
        } else {
            env.store.save(&RoomRecord { ended_at: Some(env.wall.at(now)), ..self.room.record() });
        }
    }

    fn publish(
        &mut self,
        now: Timestamp,
        env: &Environment,
        entry: &Entry,
        audience: Audience,
        event: &ServerEvent,
    ) {
        let id = entry.id;
        let frame = Arc::new(env.codec.encode_event(id, event));
        if let Audience::One(peer) = audience {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.queue_event(id, now, frame);
            }
            return self.deliver_to(now, env, peer);
        }
        if matches!(entry.fact, Fact::Chatted(_)) {
            self.history.push(id, Arc::clone(&frame), audience);
        }
        self.log.append(id, now, frame, audience);
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

    fn synchronise(&mut self, peer: PeerId) {
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
}
