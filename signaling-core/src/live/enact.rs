//! How a decision of the owner happens: in the room, in the world outside, and then for the sessions.

use std::sync::Arc;

use super::LiveRoom;
use super::authority::Asker;
use crate::meeting::{Happening, RoomHappening};
use crate::message::Reply;
use crate::room::{Entry, Fact, RoomRecord};
use crate::{Environment, Step, Timestamp};

impl LiveRoom {
    /// Makes a decision happen, and acknowledges the message that led to it: before the decision if that closes the
    /// connection.
    pub(super) fn carry_out(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        step: &Step,
        asker: Option<Asker>,
    ) {
        let closes = step.closes(asker.map(|asker| asker.peer));
        if let Some(asker) = asker.filter(|_| closes) {
            self.acknowledge(now, env, asker);
        }
        for entry in &step.entries {
            self.enact(now, env, entry);
        }
        if let Some(asker) = asker.filter(|_| !closes) {
            self.acknowledge(now, env, asker);
        }
    }

    /// Answers a message with `ack`, on the node of its session.
    pub(super) fn acknowledge(&mut self, now: Timestamp, env: &Environment, asker: Asker) {
        if let Some(seq) = asker.seq
            && !self.passed.is_empty()
        {
            self.passed.retain(|passed| passed.session != asker.session || passed.envelope.seq != Some(seq));
        }
        let session = self.audience.sessions.get_mut(&asker.peer);
        let Some(session) = session.filter(|session| session.id == asker.session) else {
            if let Some(seq) = asker.seq {
                self.audience.sequences.entry(asker.session).or_default().accept(seq);
            }
            return;
        };
        if let Some(seq) = asker.seq {
            session.sequence.accept(seq);
        }
        if asker.seq.is_some() || asker.request.is_some() {
            let request = asker.request.filter(|_| session.connection_id() == asker.connection);
            let frame = Arc::new(env.codec.encode_reply(&Reply::Ack { seq: asker.seq }));
            session.reply(frame, request);
            self.audience.deliver_to(now, env, asker.peer);
        }
    }

    /// Makes an entry happen: in the room, in the world outside, and then for the sessions.
    fn enact(&mut self, now: Timestamp, env: &mut Environment, entry: &Entry) {
        self.keep_end_of_session(env, entry);
        let room = &self.audience.room;
        let is_observed = room.is_meeting() || env.observer.wants_all();
        let happening = if is_observed { RoomHappening::of(&entry.fact, room) } else { None };
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
