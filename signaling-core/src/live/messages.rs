//! The messages of peers, and their answers.

use std::sync::Arc;

use super::authority::{Asker, elsewhere};
use super::{LiveRoom, TOO_MANY};
use crate::message::{ClientMessage, Reply};
use crate::room::RoomInput;
use crate::sequence::Fate;
use crate::{
    Code, ConnectionId, Envelope, Environment, Frame, PeerId, Refusal, RequestId, Timestamp, Unreadable,
};

impl LiveRoom {
    /// Handles a message of a peer. `connection` is the one that carried it, or `None` for a message by HTTP.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        connection: Option<ConnectionId>,
        message: Result<Envelope, Unreadable>,
        request: Option<RequestId>,
    ) {
        let Some(session) = self.audience.sessions.get_mut(&peer) else { return };
        if connection.is_some_and(|connection| !session.is_connected_by(connection)) {
            return;
        }
        session.heard(now);
        let seq = match &message {
            Ok(envelope) => envelope.seq,
            Err(unreadable) => unreadable.seq,
        };
        if let Err(wait) = session.take_token(now, &env.rules.limits) {
            // The number stays unused, so the client may send the message again.
            let refusal = Refusal::rate_limited(wait, TOO_MANY);
            session.reply(Arc::new(env.codec.encode_reply(&Reply::error(&refusal, seq))), request);
            return self.audience.deliver_to(now, env, peer);
        }
        if let Some(seq) = seq
            && let Some(answer) = repeated(session.sequence.fate(seq), seq, env)
        {
            session.reply(answer, request);
            return self.audience.deliver_to(now, env, peer);
        }
        let asker = Asker { peer, session: session.id, seq, connection: session.connection_id(), request };
        self.take(now, env, asker, message);
    }

    /// Handles a message that may be decided, here or by the owner.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        asker: Asker,
        message: Result<Envelope, Unreadable>,
    ) {
        let Asker { peer, session, seq, .. } = asker;
        let envelope = match message {
            Ok(Envelope { message: ClientMessage::Ping(t), .. }) => {
                return self.answer(now, env, asker, &Reply::Pong { t, server_time: env.wall.at(now) });
            }
            Ok(envelope) => envelope,
            Err(unreadable) => return self.answer(now, env, asker, &Reply::error(&unreadable.refusal, seq)),
        };
        let Some(authority) = self.authority() else {
            if let Err(refusal) = self.pass_on(env, peer, session, envelope) {
                self.answer_unused(now, env, asker, &refusal);
            }
            return;
        };
        if seq.is_some_and(|seq| authority.is_open(session, seq)) {
            return;
        }
        if authority.is_full() {
            return self.answer_unused(now, env, asker, &elsewhere());
        }
        let input = RoomInput::Message(peer, &envelope.message);
        match self.decided().decide(now, input, &mut *env.entropy) {
            Ok(effects) => {
                if !self.commit(now, env, effects, Some(asker)) {
                    self.acknowledge(now, env, asker);
                }
            }
            Err(refusal) => self.answer(now, env, asker, &Reply::error(&refusal, seq)),
        }
        self.settle(now, env);
    }

    /// Gives a message its answer, which says more than that it has taken effect.
    fn answer(&mut self, now: Timestamp, env: &Environment, asker: Asker, reply: &Reply) {
        let Some(session) = self.audience.sessions.get_mut(&asker.peer) else { return };
        let frame = Arc::new(env.codec.encode_reply(reply));
        match (asker.seq, reply) {
            (None, _) => {}
            (Some(seq), Reply::Error { .. }) => session.sequence.refuse(seq, &frame),
            (Some(seq), _) => session.sequence.answer(seq, &frame),
        }
        session.reply(frame, asker.request);
        self.audience.deliver_to(now, env, asker.peer);
    }

    /// Refuses a message that the client may send again with the same number.
    pub(super) fn answer_unused(
        &mut self,
        now: Timestamp,
        env: &Environment,
        asker: Asker,
        refusal: &Refusal,
    ) {
        let Some(session) = self.audience.sessions.get_mut(&asker.peer) else { return };
        session.reply(Arc::new(env.codec.encode_reply(&Reply::error(refusal, asker.seq))), asker.request);
        self.audience.deliver_to(now, env, asker.peer);
    }
}

/// The answer to a message whose number was used before.
pub(super) fn repeated(fate: Fate, seq: u64, env: &Environment) -> Option<Arc<Frame>> {
    let reply = match fate {
        Fate::Unused => return None,
        Fate::Answered(frame) => return Some(frame),
        Fate::Accepted => Reply::Ack { seq: Some(seq) },
        Fate::Lost => {
            let lost =
                "this number was used too long ago to say what for; its message may have had no effect";
            Reply::error(&Refusal::new(Code::InvalidState, lost), Some(seq))
        }
    };
    Some(Arc::new(env.codec.encode_reply(&reply)))
}
