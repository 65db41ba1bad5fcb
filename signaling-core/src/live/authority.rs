//! The part of a room's owner: it decides, in the name of all nodes.
//!
//! What it decides is first written to the room's log, then applied and told ([`Audience`](super::audience::Audience)), and
//! then acknowledged. A log that answers at once leaves nothing open. While another one is asked, further decisions go on
//! from a copy of the room that runs ahead, and go to the log together. When the log is silent for [`PATIENCE`] the room
//! goes on without it: what it decides is told at once, and acknowledged when the log has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rate_limit::Bucket;

use super::{LiveRoom, Role};
use crate::meeting::{Happening, RoomHappening};
use crate::message::Reply;
use crate::room::{Effect, Entry, Fact, Room, RoomInput, RoomRecord};
use crate::{
    Append, Claim, Code, ConnectedClient, ConnectionId, Environment, Input, LogEvent, NodeId, Ownership,
    OwnershipRule, PeerId, PeerMessage, Refusal, RequestId, SessionId, Step, Timestamp,
};

/// How long decisions wait for the log before they are told without it.
const PATIENCE: Duration = Duration::from_millis(200);
/// An append that was not answered for so long is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often followers hear from the owner at least.
const BEAT: Duration = Duration::from_millis(500);
/// How often an owner looks into the log for a newer ownership.
const LOOK: Duration = Duration::from_secs(2);
/// The most decisions that the log does not have.
const OPEN: usize = 4096;

pub(super) struct Authority {
    pub(super) guesses: Bucket<Timestamp>,
    /// When this process began to decide. An older secret is honoured once; the sessions of newer ones are known.
    pub(super) since: Timestamp,
    /// Sessions whose older secret has been honoured.
    pub(super) returned: BTreeSet<SessionId>,
    guard: u64,
    epoch: u64,
    /// Decisions that the log does not have yet.
    open: VecDeque<Open>,
    /// How many of them were told.
    told: usize,
    /// The room after all of them, if some were not told.
    ahead: Option<Box<Room>>,
    flight: Option<Flight>,
    /// When the room goes on without the log.
    patient_until: Option<Timestamp>,
    /// The room goes on without the log.
    is_loose: bool,
    /// The other nodes with somebody of the room.
    followers: BTreeSet<NodeId>,
    /// The peers who are connected to them.
    pub(super) elsewhere: BTreeMap<PeerId, (NodeId, ConnectedClient)>,
    next_beat: Timestamp,
    next_look: Timestamp,
    look: Option<u64>,
    /// When the log said last that this node is the owner.
    confirmed_at: Option<Timestamp>,
}

struct Open {
    step: Step,
    asker: Option<Asker>,
}

/// An append or a claim that the log has not answered.
struct Flight {
    attempt: u64,
    /// How many open decisions it covers.
    covers: usize,
    sent_at: Timestamp,
}

/// The message of a client that waits for its `ack`.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) session: SessionId,
    pub(super) seq: Option<u64>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) request: Option<RequestId>,
}

impl Asker {
    /// A message that came from elsewhere, or whose connection is not known any more.
    pub(super) fn of(input: Input) -> Self {
        let Input { peer, session, seq } = input;
        Self { peer, session, seq: Some(seq), connection: None, request: None }
    }

    fn input(self) -> Option<Input> {
        self.seq.map(|seq| Input { peer: self.peer, session: self.session, seq })
    }
}

impl Authority {
    pub(super) fn new(now: Timestamp, guard: u64, epoch: u64) -> Self {
        Self {
            guesses: Bucket::full(now),
            since: now,
            returned: BTreeSet::new(),
            guard,
            epoch,
            open: VecDeque::new(),
            told: 0,
            ahead: None,
            flight: None,
            patient_until: None,
            is_loose: false,
            followers: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            next_beat: now,
            next_look: now + LOOK,
            look: None,
            confirmed_at: None,
        }
    }

    pub(super) fn guard(&self) -> u64 {
        self.guard
    }

    /// Whether a message of this number waits for the log.
    pub(super) fn is_open(&self, session: SessionId, seq: u64) -> bool {
        let mut inputs = self.open.iter().filter_map(|open| open.step.input);
        inputs.any(|input| input.session == session && input.seq == seq)
    }

    /// Messages whose effects were told and are not in the log.
    pub(super) fn told_inputs(&self) -> impl Iterator<Item = Input> {
        self.open.iter().take(self.told).filter_map(|open| open.step.input)
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= OPEN
    }

    pub(super) fn follows(&self, node: NodeId) -> bool {
        self.followers.contains(&node)
    }

    pub(super) fn add_follower(&mut self, node: NodeId) {
        self.followers.insert(node);
    }

    pub(super) fn remove_follower(&mut self, node: NodeId) {
        self.followers.remove(&node);
    }

    /// Whether the log has said lately that this node is the owner.
    pub(super) fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed_at.is_some_and(|at| now < at + AGAIN)
    }

    fn poll_timeout(&self, clustered: bool) -> Option<Timestamp> {
        if !clustered {
            return None;
        }
        let again = self.flight.as_ref().map(|flight| flight.sent_at + AGAIN);
        let again = again.filter(|_| OwnershipRule::Repeat.holds());
        [again, self.patient_until, Some(self.next_beat), Some(self.next_look)].into_iter().flatten().min()
    }
}

impl LiveRoom {
    pub(super) fn authority(&self) -> Option<&Authority> {
        match &self.role {
            Role::Owner(authority) => Some(authority),
            Role::Follower(_) | Role::Seeker(_) => None,
        }
    }

    pub(super) fn authority_mut(&mut self) -> Option<&mut Authority> {
        match &mut self.role {
            Role::Owner(authority) => Some(authority),
            Role::Follower(_) | Role::Seeker(_) => None,
        }
    }

    /// The room from which the owner decides.
    pub(super) fn decided(&self) -> &Room {
        self.authority().and_then(|authority| authority.ahead.as_deref()).unwrap_or(&self.audience.room)
    }

    /// Handles an input that no client sent: from the media plane, or from the server itself.
    pub(crate) fn input(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        input: RoomInput<'_>,
    ) -> Result<(), Refusal> {
        if self.authority().is_none() {
            return Err(elsewhere());
        }
        let effects = self.decided().decide(now, input, &mut *env.entropy)?;
        self.commit(now, env, effects, None);
        self.settle(now, env);
        Ok(())
    }

    /// Commits what is due without an input.
    pub(super) fn settle(&mut self, now: Timestamp, env: &mut Environment) {
        while self.authority().is_some_and(|authority| !authority.is_full())
            && let Some(fact) = self.decided().settle(now)
        {
            self.commit(now, env, [Effect::Fact(fact)], None);
        }
    }

    /// Carries out what was decided, and acknowledges the client's message that led to it, at once or when the log has
    /// it. Returns whether there is anything that the log has to have.
    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        effects: impl IntoIterator<Item = Effect>,
        asker: Option<Asker>,
    ) -> bool {
        let mut entries = Vec::new();
        for effect in effects {
            match effect {
                Effect::Fact(fact) => self.number(now, env, fact, &mut entries),
                Effect::Demand(demand) => env.media.demand(self.audience.room.id(), demand),
                Effect::Fleeting(event) => {
                    self.audience.send_fleeting(now, env, &event);
                    self.send_to_followers(env, || PeerMessage::Fleeting(event.clone()));
                }
            }
        }
        if entries.is_empty() {
            return false;
        }
        let step = Step { input: asker.and_then(Asker::input), entries };
        let attempt = self.next_attempt();
        let Role::Owner(authority) = &mut self.role else { return false };
        let mut answer = None;
        if authority.open.is_empty() && authority.flight.is_none() {
            let room = &self.audience.room;
            let (guard, epoch, steps) = (authority.guard, authority.epoch, std::slice::from_ref(&step));
            let append = Append { life: room.life(), guard, epoch, steps };
            answer = env.log.append(room.id(), attempt, append);
            if answer == Some(LogEvent::Appended) {
                self.share(env, std::slice::from_ref(&step), true);
                self.carry_out(now, env, &step, asker);
                return true;
            }
            authority.flight = Some(Flight { attempt, covers: 1, sent_at: now });
        }
        self.leave_open(now, env, step, asker);
        if let Some(answer) = answer {
            self.handle_log(now, env, attempt, answer);
        }
        true
    }

    /// Adds a fact to the entries of a decision, and what follows from it.
    fn number(&self, now: Timestamp, env: &Environment, mut fact: Fact, entries: &mut Vec<Entry>) {
        let room = self.decided();
        fact.tell_time(env.wall.at(now));
        let consequences = room.consequences(&fact);
        for fact in std::iter::once(fact).chain(consequences) {
            entries.push(room.number(now, fact, entries.len()));
        }
    }

    /// Keeps a decision until the log has it.
    fn leave_open(&mut self, now: Timestamp, env: &mut Environment, step: Step, asker: Option<Asker>) {
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
        event: LogEvent,
    ) {
        let Role::Owner(authority) = &mut self.role else { return };
        if let LogEvent::Owned(newest) = event {
            if authority.look == Some(attempt) {
                authority.look = None;
                match newest {
                    Some(newest) if newest.guard == authority.guard => authority.confirmed_at = Some(now),
                    // An append or a claim under way will say so itself.
                    _ if authority.flight.is_some() => {}
                    newest => self.contest(now, env, newest),
                }
            }
            return;
        }
        let Some(flight) = authority.flight.take_if(|flight| flight.attempt == attempt) else { return };
        match event {
            LogEvent::Appended => self.keep(now, env, flight.covers),
            LogEvent::Claimed { guard, .. } => {
                authority.guard = guard;
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
        authority.confirmed_at = Some(now);
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
                self.refollow(env);
                self.flush(now, env);
            }
            Some(_) => self.stand_down(now, env),
            None => self.reclaim(now, env),
        }
    }

    /// The log has lost the room, so it is claimed anew, with all that was told.
    fn reclaim(&mut self, now: Timestamp, env: &mut Environment) {
        let attempt = self.next_attempt();
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

    /// Asks the log whether this node still is the owner.
    pub(super) fn look(&mut self, now: Timestamp, env: &mut Environment) {
        let attempt = self.next_attempt();
        let Role::Owner(authority) = &mut self.role else { return };
        authority.next_look = now + LOOK;
        authority.look = Some(attempt);
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
            self.look(now, env);
        }
    }

    pub(super) fn poll_owners_timeout(&self) -> Option<Timestamp> {
        self.authority().and_then(|authority| authority.poll_timeout(self.audience.is_shared))
    }

    /// Sends decisions to the nodes that follow, before they are carried out here.
    fn share(&self, env: &mut Environment, steps: &[Step], kept: bool) {
        let Some(authority) = self.authority().filter(|authority| !authority.followers.is_empty()) else {
            return;
        };
        let (guard, after, steps) = (authority.guard, self.audience.room.last_id(), Arc::from(steps));
        self.send_to_followers(env, || PeerMessage::Told { guard, after, steps: Arc::clone(&steps), kept });
    }

    fn send_to_followers(&self, env: &mut Environment, message: impl Fn() -> PeerMessage) {
        for node in self.authority().into_iter().flat_map(|authority| &authority.followers) {
            env.send(*node, self.audience.room.id(), message());
        }
    }

    /// The ownership has a new guard, by which the followers must know it.
    fn refollow(&mut self, env: &mut Environment) {
        self.send_to_followers(env, || PeerMessage::NotMine);
        let Role::Owner(authority) = &mut self.role else { return };
        authority.followers.clear();
    }

    /// Makes a decision happen, and acknowledges the message that led to it: before the decision if that closes the
    /// connection.
    fn carry_out(&mut self, now: Timestamp, env: &mut Environment, step: &Step, asker: Option<Asker>) {
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

/// The answer while this node cannot decide for a room.
pub(super) fn elsewhere() -> Refusal {
    Refusal::new(Code::Overloaded, "the room is not served here at present")
}
