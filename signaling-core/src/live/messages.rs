//! The messages of peers, and their answers.

use std::sync::Arc;

use super::{LiveRoom, TOO_MANY};
use crate::message::{ClientMessage, Reply};
use crate::room::{Effect, Fact, RoomInput};
use crate::sequence::Fate;
use crate::{
    Code, ConnectionId, Envelope, Environment, Frame, Input, PeerId, Refusal, RequestId, Timestamp,
    Unreadable,
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
        let session_id = session.id;
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
        let leaving = matches!(&message, Ok(Envelope { message: ClientMessage::Leave(_), .. }));
        let decided = message.map_err(|unreadable| unreadable.refusal).and_then(|envelope| {
            let effects = self.audience.room.decide(
                now,
                RoomInput::Message(peer, &envelope.message),
                &mut *env.entropy,
            )?;
            Ok((envelope, effects))
        });
        let (reply, effects) = match decided {
            Ok((Envelope { message: ClientMessage::Ping(t), .. }, _)) => {
                (Some(Reply::Pong { t, server_time: env.wall.at(now) }), Vec::new())
            }
            Ok((_, effects)) => ((seq.is_some() || request.is_some()).then_some(Reply::Ack { seq }), effects),
            Err(refusal) => (Some(Reply::error(&refusal, seq)), Vec::new()),
        };
        let answer = reply.map(|reply| (Arc::new(env.codec.encode_reply(&reply)), reply));
        let is_end = |effect: &Effect| matches!(effect, Effect::Fact(Fact::Ended { .. }));
        // The effects close the connection, so the answer goes first.
        if leaving || effects.iter().any(is_end) {
            self.answer(now, env, peer, seq, answer, request);
            self.commit(now, env, effects, None);
        } else {
            let input = seq.map(|seq| Input { session: session_id, seq });
            self.commit(now, env, effects, input);
            self.answer(now, env, peer, seq, answer, request);
        }
        self.settle(now, env);
    }

    fn answer(
        &mut self,
        now: Timestamp,
        env: &Environment,
        peer: PeerId,
        seq: Option<u64>,
        answer: Option<(Arc<Frame>, Reply)>,
        request: Option<RequestId>,
    ) {
        let (Some(session), Some((frame, reply))) = (self.audience.sessions.get_mut(&peer), answer) else {
            return;
        };
        match (seq, reply) {
            (None, _) => {}
            (Some(seq), Reply::Ack { .. }) => session.sequence.accept(seq),
            (Some(seq), Reply::Error { .. }) => session.sequence.refuse(seq, &frame),
            (Some(seq), _) => session.sequence.answer(seq, &frame),
        }
        session.reply(frame, request);
        self.audience.deliver_to(now, env, peer);
    }
}

/// The answer to a message whose number was used before.
fn repeated(fate: Fate, seq: u64, env: &Environment) -> Option<Arc<Frame>> {
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
