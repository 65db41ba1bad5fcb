//! The part of a room's owner: it decides, in the name of all nodes.
//!
//! What it decides is first written to the room's log, then applied and told ([`Audience`](super::audience::Audience)), and
//! then acknowledged. A log that answers at once leaves nothing open. While another one is asked, further decisions go on
//! from a copy of the room that runs ahead, and go to the log together. When the log is silent for [`PATIENCE`] the room
//! goes on without it: what it decides is told at once, and acknowledged when the log has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rate_limit::{Bucket, Rate};

use super::{LiveRoom, Role, TOO_MANY};
use crate::room::{Caption, Effect, Entry, Fact, Room, RoomInput};
use crate::{
    Append, Code, ConnectedClient, ConnectionId, Environment, Input, LogEvent, NodeId, OwnershipRule, PeerId,
    PeerMessage, Refusal, RequestId, SessionId, Step, Timestamp,
};

/// How long decisions wait for the log before they are told without it.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);
/// An append that was not answered for so long is sent again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How often followers hear from the owner at least.
pub(super) const BEAT: Duration = Duration::from_millis(500);
/// How often an owner looks into the log for a newer ownership.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// The most decisions that the log does not have.
const OPEN: usize = 4096;

pub(super) struct Authority {
    pub(super) guesses: Bucket<Timestamp>,
    captions: Bucket<Timestamp>,
    /// When this process began to decide. An older secret is honoured once; the sessions of newer ones are known.
    pub(super) since: Timestamp,
    /// Sessions whose older secret has been honoured.
    pub(super) returned: BTreeSet<SessionId>,
    pub(super) guard: u64,
    pub(super) epoch: u64,
    /// Decisions that the log does not have yet.
    pub(super) open: VecDeque<Open>,
    /// How many of them were told.
    pub(super) told: usize,
    /// The room after all of them, if some were not told.
    pub(super) ahead: Option<Box<Room>>,
    pub(super) flight: Option<Flight>,
    /// When the room goes on without the log.
    pub(super) patient_until: Option<Timestamp>,
    /// The room goes on without the log.
    pub(super) is_loose: bool,
    /// A log that has lost the room was asked for it, under the present epoch.
    pub(super) is_reclaiming: bool,
    /// The other nodes with somebody of the room.
    pub(super) followers: BTreeSet<NodeId>,
    /// The peers who are connected to them.
    pub(super) elsewhere: BTreeMap<PeerId, (NodeId, ConnectedClient)>,
    pub(super) next_beat: Timestamp,
    pub(super) next_look: Timestamp,
    /// A question to the log, whether this node still is the owner, and the greatest cursor of a client before it.
    pub(super) look: Option<(u64, u64)>,
    /// The log has said after this cursor was seen that this node is the owner, so nobody gave the cursor.
    pub(super) unfounded: u64,
}

pub(super) struct Open {
    pub(super) step: Step,
    pub(super) asker: Option<Asker>,
}

/// An append or a claim that the log has not answered.
pub(super) struct Flight {
    pub(super) attempt: u64,
    /// How many open decisions it covers.
    pub(super) covers: usize,
    pub(super) sent_at: Timestamp,
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
            captions: Bucket::full(now),
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
            is_reclaiming: false,
            followers: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            next_beat: now,
            next_look: now + LOOK,
            look: None,
            unfounded: 0,
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

    pub(super) fn poll_timeout(&self, clustered: bool) -> Option<Timestamp> {
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

    /// Handles a line of captions, if the room takes another one at this time.
    pub(crate) fn caption(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        caption: &Caption,
    ) -> Result<(), Refusal> {
        let rate = u64::from(env.rules.limits.captions_per_second);
        let authority = self.authority_mut().ok_or_else(elsewhere)?;
        let taken = authority.captions.take(now, Rate::per_second(rate, rate), 1);
        taken.map_err(|wait| Refusal::rate_limited(wait, TOO_MANY))?;
        self.input(now, env, RoomInput::Caption(caption))
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

    /// Sends decisions to the nodes that follow, before they are carried out here.
    pub(super) fn share(&self, env: &mut Environment, steps: &[Step], kept: bool) {
        let Some(authority) = self.authority().filter(|authority| !authority.followers.is_empty()) else {
            return;
        };
        let (guard, after, steps) = (authority.guard, self.audience.room.last_id(), Arc::from(steps));
        self.send_to_followers(env, || PeerMessage::Told { guard, after, steps: Arc::clone(&steps), kept });
    }

    pub(super) fn send_to_followers(&self, env: &mut Environment, message: impl Fn() -> PeerMessage) {
        for node in self.authority().into_iter().flat_map(|authority| &authority.followers) {
            env.send(*node, self.audience.room.id(), message());
        }
    }

    /// The ownership has a new guard, by which the followers must know it.
    pub(super) fn refollow(&mut self, env: &mut Environment) {
        self.send_to_followers(env, || PeerMessage::NotMine);
        let Role::Owner(authority) = &mut self.role else { return };
        authority.followers.clear();
    }
}

/// The answer while this node cannot decide for a room.
pub(super) fn elsewhere() -> Refusal {
    Refusal::new(Code::Overloaded, "the room is not served here at present")
}
