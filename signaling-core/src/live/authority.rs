//! The part of a room's owner: it decides, in the name of all nodes.
//!
//! What it decides is first written to the room's log, then applied and told ([`Audience`](super::Audience)), and then
//! acknowledged.

use std::collections::BTreeSet;

use rate_limit::Bucket;

use super::LiveRoom;
use crate::meeting::{Happening, RoomHappening};
use crate::room::{Effect, Entry, Fact, RoomInput, RoomRecord};
use crate::{Append, Environment, Input, Refusal, SessionId, Step, Timestamp};

pub(super) struct Authority {
    pub(super) guesses: Bucket<Timestamp>,
    /// When this process began to decide. An older secret is honoured once; the sessions of newer ones are known.
    pub(super) since: Timestamp,
    /// Sessions whose older secret has been honoured.
    pub(super) returned: BTreeSet<SessionId>,
    /// What the log asks of an append.
    guard: u64,
}

impl Authority {
    pub(super) fn new(now: Timestamp, guard: u64) -> Self {
        Self { guesses: Bucket::full(now), since: now, returned: BTreeSet::new(), guard }
    }
}

impl LiveRoom {
    /// Handles an input that no client sent: from the media plane, or from the server itself.
    pub(crate) fn input(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        input: RoomInput<'_>,
    ) -> Result<(), Refusal> {
        let effects = self.audience.room.decide(now, input, &mut *env.entropy)?;
        self.commit(now, env, effects, None);
        self.settle(now, env);
        Ok(())
    }

    /// Commits what is due without an input.
    pub(super) fn settle(&mut self, now: Timestamp, env: &mut Environment) {
        while let Some(fact) = self.audience.room.settle(now) {
            self.commit(now, env, [Effect::Fact(fact)], None);
        }
    }

    /// Carries out what was decided. `input` is the client's message that led to it.
    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        effects: impl IntoIterator<Item = Effect>,
        input: Option<Input>,
    ) {
        let mut entries = Vec::new();
        for effect in effects {
            match effect {
                Effect::Fact(fact) => self.number(now, env, fact, &mut entries),
                Effect::Demand(demand) => env.media.demand(self.audience.room.id(), demand),
                Effect::Fleeting(event) => self.audience.send_fleeting(now, env, &event),
            }
        }
        if entries.is_empty() {
            return;
        }
        let step = Step { input, entries };
        let append = Append { guard: self.authority.guard, epoch: 1, steps: std::slice::from_ref(&step) };
        env.log.append(self.audience.room.id(), self.audience.room.life(), append);
        for entry in &step.entries {
            self.enact(now, env, entry);
        }
    }

    /// Adds a fact to the entries of a decision, and what follows from it.
    fn number(&self, now: Timestamp, env: &Environment, mut fact: Fact, entries: &mut Vec<Entry>) {
        let room = &self.audience.room;
        fact.tell_time(env.wall.at(now));
        let consequences = room.consequences(&fact);
        for fact in std::iter::once(fact).chain(consequences) {
            entries.push(room.number(now, fact, entries.len()));
        }
    }

    /// Makes an entry happen: in the room, in the world outside, and then for the sessions.
    fn enact(&mut self, now: Timestamp, env: &mut Environment, entry: &Entry) {
        self.keep_end_of_session(env, entry);
        let room = &self.audience.room;
        let happening = if room.is_meeting() { RoomHappening::of(&entry.fact, room) } else { None };
        let before = room.known_of();
        let told = self.audience.apply(entry);
        let room = &self.audience.room;
        if let Some(what) = happening {
            let (room, life) = (room.id().clone(), room.life());
            env.observer.happened(Happening { room, life, at: env.wall.at(now), what });
        }
        for demand in entry.demands(room) {
            env.media.demand(room.id(), demand);
        }
        // Durable changes are stored before any peer learns of them.
        if matches!(entry.fact, Fact::Ended { .. }) {
            self.keep_end(now, env);
        } else if entry.is_durable() || room.known_of() != before {
            env.store.save(&room.record());
        }
        self.audience.tell(now, env, entry, told);
    }

    /// Stores the end of a session, so that even a process that has not seen it end refuses its secret.
    fn keep_end_of_session(&self, env: &mut Environment, entry: &Entry) {
        let room = &self.audience.room;
        if let Fact::Left { peer, .. } = entry.fact
            && let Some(member) = room.member(peer).filter(|member| !member.media_only)
        {
            env.store.end_session(room.id(), member.session);
        }
    }

    fn keep_end(&self, now: Timestamp, env: &mut Environment) {
        let room = &self.audience.room;
        env.log.erase(room.id(), room.life());
        if room.id().is_made_by(&env.rules.key) {
            // Its name proves that this server made it, and the missing record proves that it has ended.
            env.store.forget(room.id());
        } else {
            env.store.save(&RoomRecord { ended_at: Some(env.wall.at(now)), ..room.record() });
        }
    }
}
