//! What the owner of a room has decided and the log does not have yet.

use super::authority::Flight;
use super::authority::{AGAIN, Asker, BEAT, LOOK, Open, PATIENCE};
use super::{LiveRoom, Role};
use crate::{
    Append, Claim, Environment, Input, LogEvent, Ownership, OwnershipRule, PeerMessage, Step, Timestamp,
};

impl LiveRoom {
    /// Keeps a decision until the log has it.
    pub(super) fn leave_open(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        step: Step,
        asker: Option<Asker>,
    ) {
        let Role::Owner(authority) = &mut self.role else { return };
        let ahead = authority.ahead.get_or_insert_with(|| Box::new(self.audience.room.clone()));
        step.entries.iter().for_each(|entry| ahead.apply(entry));
        authority.open.push_back(Open { step, asker });
        authority.patient_until.get_or_insert(now + PATIENCE);
        if authority.is_loose {
            self.go_on(now, env);
        }
        self.flush(now, env);
    }

    /// Tells what the log does not have yet.
    fn go_on(&mut self, now: Timestamp, env: &mut Environment) {
        let Role::Owner(authority) = &mut self.role else { return };
        authority.is_loose = true;
        authority.patient_until = None;
        authority.ahead = None;
        let told = std::mem::replace(&mut authority.told, authority.open.len());
        let steps: Vec<Step> = authority.open.iter().skip(told).map(|open| open.step.clone()).collect();
        if steps.is_empty() {
            return;
        }
        self.share(env, &steps, false);
        for step in &steps {
            self.carry_out(now, env, step, None);
            if let Some(input) = step.input.filter(|_| !OwnershipRule::Ack.holds()) {
                self.acknowledge(now, env, Asker::of(input));
            }
        }
    }

    /// Appends everything that is open, unless the log is being asked.
    fn flush(&mut self, now: Timestamp, env: &mut Environment) {
        let attempt = self.next_attempt();
        let Role::Owner(authority) = &mut self.role else { return };
        if authority.flight.is_some() || authority.open.is_empty() {
            return;
        }
        let steps: Vec<Step> = authority.open.iter().map(|open| open.step.clone()).collect();
        authority.flight = Some(Flight { attempt, covers: steps.len(), sent_at: now });
        let room = &self.audience.room;
        let append =
            Append { life: room.life(), guard: authority.guard, epoch: authority.epoch, steps: &steps };
        if let Some(answer) = env.log.append(room.id(), attempt, append) {
            self.handle_log(now, env, attempt, answer);
        }
    }

    /// The log answers the owner.
    pub(super) fn handle_owners_log(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        attempt: u64,
        event: &LogEvent,
    ) {
        let Role::Owner(authority) = &mut self.role else { return };
        if let LogEvent::Owned(newest) = *event {
            if let Some((_, cursor)) = authority.look.take_if(|(look, _)| *look == attempt) {
                match newest {
                    Some(newest) if newest.guard == authority.guard => {
                        authority.unfounded = authority.unfounded.max(cursor);
                    }
                    // An append or a claim under way will say so itself.
                    _ if authority.flight.is_some() => {}
                    newest => self.contest(now, env, newest),
                }
            }
            return;
        }
        let Some(flight) = authority.flight.take_if(|flight| flight.attempt == attempt) else { return };
        match *event {
            LogEvent::Appended => self.keep(now, env, flight.covers),
            LogEvent::Claimed { guard, .. } => {
                authority.guard = guard;
                authority.is_reclaiming = false;
                self.refollow(env);
                self.keep(now, env, flight.covers);
            }
            LogEvent::Refused(newest) => self.contest(now, env, newest),
            LogEvent::Owned(_) => {}
        }
    }

    /// The log has the first `count` open decisions.
    fn keep(&mut self, now: Timestamp, env: &mut Environment, count: usize) {
        let Role::Owner(authority) = &mut self.role else { return };
        authority.is_loose = false;
        let kept: Vec<Open> = authority.open.drain(..count.min(authority.open.len())).collect();
        let told = authority.told.min(kept.len());
        authority.told -= told;
        authority.patient_until = (authority.told < authority.open.len()).then(|| now + PATIENCE);
        let (told, fresh) = kept.split_at(told);
        let inputs: Vec<Input> = told.iter().filter_map(|open| open.step.input).collect();
        let guard = authority.guard;
        if !inputs.is_empty() {
            self.send_to_followers(env, || PeerMessage::Kept { guard, inputs: inputs.clone() });
        }
        for open in told {
            let asker = open.asker.or(open.step.input.map(Asker::of));
            if let Some(asker) = asker {
                self.acknowledge(now, env, asker);
            }
        }
        if !fresh.is_empty() {
            let steps: Vec<Step> = fresh.iter().map(|open| open.step.clone()).collect();
            self.share(env, &steps, true);
            for open in fresh {
                self.carry_out(now, env, &open.step, open.asker);
            }
        }
        if let Role::Owner(authority) = &mut self.role
            && authority.told == authority.open.len()
        {
            authority.ahead = None;
        }
        self.flush(now, env);
    }

    /// The log does not name this node's ownership as the newest.
    fn contest(&mut self, now: Timestamp, env: &mut Environment, newest: Option<Ownership>) {
        let node = env.node();
        let Role::Owner(authority) = &mut self.role else { return };
        match newest {
            // It is one of this node's own, whose answer was lost.
            Some(newest) if newest.node == node && newest.epoch == authority.epoch => {
                authority.guard = newest.guard;
                authority.is_reclaiming = false;
                self.refollow(env);
                self.flush(now, env);
            }
            Some(_) => self.stand_down(now, env),
            None => self.reclaim(now, env),
        }
    }

    /// The log has lost the room, so it is claimed anew, with all that was decided. Another node may have owned the room
    /// since, and the log would not know: ids begin after all that it may have given.
    fn reclaim(&mut self, now: Timestamp, env: &mut Environment) {
        self.go_on(now, env);
        let attempt = self.next_attempt();
        let Role::Owner(authority) = &mut self.role else { return };
        if !std::mem::replace(&mut authority.is_reclaiming, true) {
            authority.epoch += 1;
            self.audience.room.begin_at(now);
            self.audience.begin_epoch(authority.epoch);
        }
        let base = self.snapshot();
        let Role::Owner(authority) = &mut self.role else { return };
        let base = Box::new(base.with(authority.told_inputs()));
        authority.flight = Some(Flight { attempt, covers: authority.told, sent_at: now });
        let room = &self.audience.room;
        let (epoch, life, node) = (authority.epoch, room.life(), env.node());
        let claim = Claim { life, after: 0, epoch, node, base: Some(base) };
        if let Some(answer) = env.log.claim(room.id(), attempt, claim) {
            self.handle_log(now, env, attempt, answer);
        }
    }

    /// Another node owns the room: the clients reconnect and follow it.
    fn stand_down(&mut self, now: Timestamp, env: &mut Environment) {
        self.send_to_followers(env, || PeerMessage::NotMine);
        self.audience.go_away(now, env, &mut std::iter::repeat(0));
        self.is_given_up = true;
        self.seek(now);
    }

    /// Asks the log whether this node still is the owner, after a client has shown a cursor.
    pub(super) fn look(&mut self, now: Timestamp, env: &mut Environment, cursor: u64) {
        let attempt = self.next_attempt();
        let Role::Owner(authority) = &mut self.role else { return };
        authority.next_look = now + LOOK;
        let cursor = authority.look.map_or(cursor, |(_, earlier)| earlier.max(cursor));
        authority.look = Some((attempt, cursor));
        if let Some(answer) = env.log.ownership(self.audience.room.id(), attempt) {
            self.handle_log(now, env, attempt, answer);
        }
    }

    pub(super) fn handle_owners_timeout(&mut self, now: Timestamp, env: &mut Environment) {
        if env.peers.is_none() {
            return;
        }
        let Role::Owner(authority) = &mut self.role else { return };
        if authority.flight.as_ref().is_some_and(|flight| flight.sent_at + AGAIN <= now)
            && OwnershipRule::Repeat.holds()
        {
            authority.flight = None;
            self.flush(now, env);
        }
        let Role::Owner(authority) = &mut self.role else { return };
        if authority.patient_until.is_some_and(|until| until <= now) {
            self.go_on(now, env);
        }
        let Role::Owner(authority) = &mut self.role else { return };
        if authority.next_beat <= now {
            authority.next_beat = now + BEAT;
            self.share(env, &[], true);
        }
        if self.authority().is_some_and(|authority| authority.next_look <= now) {
            self.look(now, env, 0);
        }
    }

    pub(super) fn poll_owners_timeout(&self) -> Option<Timestamp> {
        self.authority().and_then(|authority| authority.poll_timeout(self.audience.is_shared))
    }
}
