//! What the nodes of a room say to each other.

use std::sync::Arc;

use super::authority::{Asker, elsewhere};
use super::following::recent;
use super::messages::repeated;
use super::{LiveRoom, Role};
use crate::message::{ClientMessage, Reply};
use crate::room::{Effect, Fact, RoomInput};
use crate::sequence::Fate;
use crate::{
    CloseReason, ConnectedClient, Envelope, Environment, Frame, Input, MediaDemand, NodeId, OwnershipRule,
    PeerId, PeerMessage, Refusal, SessionId, Step, Timestamp,
};

/// The most messages of one session that wait for the owner's answer.
const PASSED: usize = 64;

/// A message of a client that was passed on to the owner, or waits for one.
pub(super) struct Passed {
    pub(super) peer: PeerId,
    pub(super) session: SessionId,
    pub(super) envelope: Envelope,
}

impl LiveRoom {
    /// Another node says something.
    pub(crate) fn handle_peer(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        from: NodeId,
        message: PeerMessage,
    ) {
        match message {
            PeerMessage::Follow { .. }
            | PeerMessage::Said { .. }
            | PeerMessage::Connected { .. }
            | PeerMessage::Disconnected { .. }
            | PeerMessage::Return(_) => self.handle_follower(now, env, from, message),
            PeerMessage::NotMine => self.handle_refusal(now, env, from),
            PeerMessage::Followed { guard, snapshot, loose, recent, floor } => {
                if let Role::Seeker(seeker) = &self.role
                    && let Some((owner, _)) = seeker.candidate
                    && (owner.node, owner.guard) == (from, guard)
                {
                    self.loose = loose.into_iter().collect();
                    self.follow(now, env, owner, *snapshot, recent, floor);
                }
            }
            PeerMessage::Told { .. }
            | PeerMessage::Kept { .. }
            | PeerMessage::Fleeting(_)
            | PeerMessage::Answer { .. }
            | PeerMessage::Replaced { .. } => self.handle_owner(now, env, from, message),
        }
    }

    /// A follower says something.
    fn handle_follower(&mut self, now: Timestamp, env: &mut Environment, from: NodeId, message: PeerMessage) {
        let room = self.audience.room.id().clone();
        let Some(authority) = self.authority_mut() else {
            return env.send(from, &room, PeerMessage::NotMine);
        };
        if let PeerMessage::Follow { guard, connected } = message {
            if guard != authority.guard() {
                env.send(from, &room, PeerMessage::NotMine);
                return self.look(now, env, 0);
            }
            authority.add_follower(from);
            let loose = authority.told_inputs().collect();
            let (snapshot, floor) = (Box::new(self.snapshot()), self.audience.log.floor());
            let recent = recent(&self.audience);
            let followed = PeerMessage::Followed { guard, snapshot, loose, recent, floor };
            env.send(from, &room, followed);
            for client in connected {
                self.connected_elsewhere(now, env, from, client, false);
            }
            return self.settle(now, env);
        }
        if !authority.follows(from) {
            return env.send(from, &room, PeerMessage::NotMine);
        }
        match message {
            PeerMessage::Said { peer, session, envelope } => {
                self.said_elsewhere(now, env, from, peer, session, &envelope);
            }
            PeerMessage::Connected { client, gap } => self.connected_elsewhere(now, env, from, client, gap),
            PeerMessage::Disconnected { peer, by } => {
                let at = authority.elsewhere.get(&peer);
                if at.is_some_and(|(node, client)| *node == from && client.by == by) {
                    self.connected_nowhere(now, env, peer);
                }
            }
            PeerMessage::Return(claims) if self.audience.room.member(claims.peer).is_none() => {
                // The client asks again, and is told then.
                let _ = self.bring_back(now, env, &claims);
            }
            _ => {}
        }
        self.settle(now, env);
    }

    /// A client is connected to another node.
    fn connected_elsewhere(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        node: NodeId,
        client: ConnectedClient,
        gap: bool,
    ) {
        let ConnectedClient { peer, session, by, resumes } = client;
        let room = &self.audience.room;
        let Some(member) = room.member(peer).filter(|member| member.session == session) else { return };
        let (away, id) = (member.away, room.id().clone());
        let Some(authority) = self.authority() else { return };
        let here = self.audience.sessions.get(&peer).map(|here| here.resumes);
        let former = authority.elsewhere.get(&peer).copied();
        if here.max(former.map(|(_, former)| former.resumes)) > Some(resumes) {
            // It is an older connection, whose end the node has not noticed.
            return env.send(node, &id, PeerMessage::Replaced { peer, by });
        }
        if let Some(mut here) = self.audience.sessions.remove(&peer) {
            here.disconnect(now, Some(CloseReason::Replaced));
            self.audience.sequences.insert(session, here.sequence);
        }
        if let Some((at, former)) = former.filter(|(at, former)| (*at, former.by) != (node, by)) {
            env.send(at, &id, PeerMessage::Replaced { peer, by: former.by });
        }
        if let Some(authority) = self.authority_mut() {
            authority.elsewhere.insert(peer, (node, client));
        }
        if away {
            self.commit(now, env, [Effect::Fact(Fact::Presence { peer, away: false })], None);
        }
        if gap {
            self.after_gap(now, env, peer);
        }
    }

    /// A client is connected to no node; it may return to any.
    fn connected_nowhere(&mut self, now: Timestamp, env: &Environment, peer: PeerId) {
        let Some(authority) = self.authority_mut() else { return };
        let former = authority.elsewhere.remove(&peer);
        if let (Some(session), Some((_, former))) = (self.audience.host(now, &env.rules.limits, peer), former)
        {
            session.resumes = session.resumes.max(former.resumes);
        }
        self.audience.look_after(now, env, peer);
    }

    /// What a client that has got a snapshot needs beside it.
    pub(super) fn after_gap(&mut self, now: Timestamp, env: &mut Environment, peer: PeerId) {
        let room = &self.audience.room;
        if room.uses_sfu() {
            env.media.demand(room.id(), MediaDemand::Resend { peer });
        }
        self.tell_who_waits(now, env, peer);
    }

    /// A client of another node says something.
    fn said_elsewhere(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        node: NodeId,
        peer: PeerId,
        session: SessionId,
        envelope: &Envelope,
    ) {
        let room = self.audience.room.id().clone();
        let asker = Asker { peer, session, seq: envelope.seq, connection: None, request: None };
        if let Some(seq) = envelope.seq {
            if self.authority().is_some_and(|authority| authority.is_open(session, seq)) {
                return;
            }
            let here = self.audience.sessions.get(&peer).filter(|here| here.id == session);
            let sequence = here.map(|here| &here.sequence).or_else(|| self.audience.sequences.get(&session));
            let fate = sequence.map_or(Fate::Unused, |sequence| sequence.fate(seq));
            let is_accepted = matches!(fate, Fate::Accepted);
            if let Some(frame) = repeated(fate, seq, env) {
                let refusal = (!is_accepted).then_some(frame);
                let input = Input { peer, session, seq };
                return env.send(node, &room, PeerMessage::Answer { input, refusal, is_used: true });
            }
        }
        let is_used = self.authority().is_some_and(|authority| !authority.is_full());
        let refusal = match self.decide_message(now, env, peer, session, &envelope.message) {
            Ok(effects) => {
                if self.commit(now, env, effects, Some(asker)) {
                    return;
                }
                self.acknowledge(now, env, asker);
                None
            }
            Err(refusal) => Some(Arc::new(env.codec.encode_reply(&Reply::error(&refusal, envelope.seq)))),
        };
        let Some(seq) = envelope.seq else { return };
        if let Some(frame) = refusal.as_ref().filter(|_| is_used)
            && !self.audience.sessions.contains_key(&peer)
        {
            self.audience.sequences.entry(session).or_default().refuse(seq, frame);
        }
        let input = Input { peer, session, seq };
        env.send(node, &room, PeerMessage::Answer { input, refusal, is_used });
    }

    fn decide_message(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        session: SessionId,
        message: &ClientMessage,
    ) -> Result<Vec<Effect>, Refusal> {
        if self.authority().is_some_and(super::authority::Authority::is_full) {
            return Err(elsewhere());
        }
        if self.decided().member(peer).is_none_or(|member| member.session != session) {
            return Err(Refusal::new(crate::Code::SessionUnknown, "the session is over"));
        }
        self.decided().decide(now, RoomInput::Message(peer, message), &mut *env.entropy)
    }

    /// The owner says something.
    fn handle_owner(&mut self, now: Timestamp, env: &mut Environment, from: NodeId, message: PeerMessage) {
        let Role::Follower(follower) = &mut self.role else { return };
        let guard = follower.owner.guard;
        if follower.owner.node != from {
            return;
        }
        follower.heard = now;
        match message {
            PeerMessage::Told { guard: of, after, steps, kept } if of == guard => {
                if after > self.audience.room.last_id() {
                    return self.seek(now);
                }
                for step in &*steps {
                    self.repeat_step(now, env, step, kept);
                }
            }
            PeerMessage::Kept { guard: of, inputs } if of == guard => {
                for input in inputs {
                    self.loose.remove(&input);
                    self.acknowledge(now, env, Asker::of(input));
                }
            }
            PeerMessage::Fleeting(event) => self.audience.send_fleeting(now, env, &event),
            PeerMessage::Answer { input, refusal: None, .. } => self.acknowledge(now, env, Asker::of(input)),
            PeerMessage::Answer { input, refusal: Some(frame), is_used } => {
                self.refuse(now, env, input, frame, is_used);
            }
            PeerMessage::Replaced { peer, by } => {
                let session = self.audience.sessions.get_mut(&peer);
                if let Some(session) = session.filter(|session| session.is_connected_by(by)) {
                    session.disconnect(now, Some(CloseReason::Replaced));
                    self.audience.look_after(now, env, peer);
                }
            }
            _ => {}
        }
    }

    /// Repeats what the owner has decided.
    fn repeat_step(&mut self, now: Timestamp, env: &mut Environment, step: &Step, kept: bool) {
        let asker = step.input.filter(|_| kept || !OwnershipRule::Ack.holds()).map(Asker::of);
        if !kept {
            self.loose.extend(step.input);
        }
        let closes = step.closes(asker.map(|asker| asker.peer));
        if let Some(asker) = asker.filter(|_| closes) {
            self.acknowledge(now, env, asker);
        }
        self.audience.repeat(now, env, step);
        if let Some(asker) = asker.filter(|_| !closes) {
            self.acknowledge(now, env, asker);
        }
    }

    /// The owner has refused a message.
    fn refuse(&mut self, now: Timestamp, env: &Environment, input: Input, frame: Arc<Frame>, is_used: bool) {
        let Input { peer, session, seq } = input;
        self.passed.retain(|passed| passed.session != session || passed.envelope.seq != Some(seq));
        let here = self.audience.sessions.get_mut(&peer);
        if let Some(here) = here.filter(|here| here.id == session) {
            if is_used {
                here.sequence.refuse(seq, &frame);
            }
            here.reply(frame, None);
            self.audience.deliver_to(now, env, peer);
        }
    }

    /// A node does not own the room, or follows it no longer.
    fn handle_refusal(&mut self, now: Timestamp, env: &Environment, from: NodeId) {
        match &self.role {
            Role::Owner(_) => self.lose_follower(now, env, from),
            Role::Follower(follower) if follower.owner.node == from => self.seek(now),
            Role::Seeker(seeker) if seeker.candidate.is_some_and(|(owner, _)| owner.node == from) => {
                self.suspect(now);
            }
            Role::Follower(_) | Role::Seeker(_) => {}
        }
    }

    /// The link to a node is broken.
    pub(crate) fn peer_lost(&mut self, now: Timestamp, env: &Environment, node: NodeId) {
        match &self.role {
            Role::Owner(_) => self.lose_follower(now, env, node),
            Role::Follower(follower) if follower.owner.node == node => self.seek(now),
            Role::Follower(_) | Role::Seeker(_) => {}
        }
    }

    fn lose_follower(&mut self, now: Timestamp, env: &Environment, node: NodeId) {
        let Some(authority) = self.authority_mut() else { return };
        authority.remove_follower(node);
        let elsewhere = authority.elsewhere.iter().filter(|(_, (at, _))| *at == node);
        let peers: Vec<PeerId> = elsewhere.map(|(peer, _)| *peer).collect();
        for peer in peers {
            self.connected_nowhere(now, env, peer);
        }
    }

    /// Passes a client's message on to the owner, or keeps it for the next one.
    pub(super) fn pass_on(
        &mut self,
        env: &mut Environment,
        peer: PeerId,
        session: SessionId,
        envelope: Envelope,
    ) -> Result<(), Refusal> {
        let waits = self.passed.iter().filter(|passed| passed.session == session);
        if waits.clone().count() >= PASSED {
            return Err(elsewhere());
        }
        if waits.into_iter().any(|passed| passed.envelope.seq == envelope.seq && envelope.seq.is_some()) {
            return Ok(());
        }
        if let Role::Follower(follower) = &self.role {
            let said = PeerMessage::Said { peer, session, envelope: envelope.clone() };
            env.send(follower.owner.node, self.audience.room.id(), said);
        }
        if envelope.seq.is_some() {
            self.passed.push_back(Passed { peer, session, envelope });
        }
        Ok(())
    }

    /// Gives the new owner what the former one has not answered, ahead of anything newer.
    pub(super) fn say_again(&mut self, now: Timestamp, env: &mut Environment) {
        let passed = std::mem::take(&mut self.passed);
        if !OwnershipRule::PassOn.holds() {
            return;
        }
        for Passed { peer, session, envelope } in passed {
            let Some(seq) = envelope.seq else { continue };
            let here = self.audience.sessions.get(&peer).filter(|here| here.id == session);
            let Some(here) = here else { continue };
            let asker = Asker::of(Input { peer, session, seq });
            if !matches!(here.sequence.fate(seq), Fate::Unused) {
                self.acknowledge(now, env, asker);
            } else if seq < here.sequence.last() {
                // The client has gone on elsewhere without it: it was refused there, or acknowledged by a log that was lost.
                self.answer_unused(now, env, asker, &elsewhere());
            } else if self.authority().is_some() {
                self.take(now, env, asker, Ok(envelope));
            } else {
                let _ = self.pass_on(env, peer, session, envelope);
            }
        }
    }
}
