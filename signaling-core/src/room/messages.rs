//! The messages of peers.

use std::sync::Arc;

use super::{Change, Effect, Fact, FleetingEvent, Member, Room, nobody, sfu};
use crate::message::{ClientMessage, LeaveReason, PeerTarget, Role, Signal, Update};
use crate::{Code, Entropy, MediaDemand, PeerId, Refusal, Timestamp, is_blank};

impl Room {
    /// The effects of a peer's message.
    pub(super) fn decide_message(
        &self,
        now: Timestamp,
        from: PeerId,
        message: &ClientMessage,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Effect>, Refusal> {
        let member = self.member(from).ok_or_else(nobody)?;
        let harmless =
            matches!(message, ClientMessage::Leave(_) | ClientMessage::Update(_) | ClientMessage::Ping(_));
        if !member.is_joined() && !harmless {
            return Err(Refusal::new(Code::Forbidden, "you are still in the lobby"));
        }
        let one = |fact| Ok(vec![Effect::Fact(fact)]);
        match message {
            ClientMessage::Leave(leave) => {
                let kept =
                    leave.may_return.then(|| [self.power_kept(now, from), self.return_awaited(now, from)]);
                let left = self.left(from, LeaveReason::Left);
                Ok(kept.into_iter().flatten().flatten().chain(left).map(Effect::Fact).collect())
            }
            ClientMessage::Signal(signal) => self.decide_signal(from, signal),
            ClientMessage::Publish(publish) => {
                self.require_sfu()?;
                if member.role == Role::Viewer {
                    return Err(Refusal::new(Code::Forbidden, "a viewer publishes nothing"));
                }
                Ok(vec![Effect::Demand(MediaDemand::Publish {
                    peer: from,
                    tracks: publish.tracks.clone().into(),
                })])
            }
            ClientMessage::Subscribe(subscribe) => {
                self.require_sfu()?;
                let (track, attention) = (subscribe.track.as_str().into(), subscribe.attention);
                Ok(vec![Effect::Demand(MediaDemand::Subscribe { peer: from, track, attention })])
            }
            ClientMessage::Topology(step) => {
                let fact = self.decide_topology(member, *step)?;
                Ok(fact.into_iter().map(Effect::Fact).collect())
            }
            ClientMessage::Chat(chat) => one(self.decide_chat(now, from, chat)?),
            ClientMessage::Reaction(reaction) => {
                let emoji = reaction.emoji.trim();
                if is_blank(emoji) || emoji.len() > 32 || emoji.chars().any(char::is_control) {
                    return Err(Refusal::bad_request("an emoji has 1 to 32 bytes"));
                }
                Ok(vec![Effect::Fleeting(FleetingEvent::Reaction { from, emoji: emoji.into() })])
            }
            ClientMessage::App(app) => {
                if !(1..=64).contains(&app.topic.chars().count()) {
                    return Err(Refusal::bad_request("a topic has 1 to 64 characters"));
                }
                let to = app
                    .to
                    .as_deref()
                    .map(|to| self.other_member(from, to))
                    .transpose()?
                    .map(|member| member.id);
                one(Fact::AppSent {
                    from,
                    topic: app.topic.as_str().into(),
                    data: app.data.clone(),
                    to,
                    at: now,
                })
            }
            ClientMessage::Update(update) => self.decide_update(from, update),
            ClientMessage::Call(call) => {
                Ok(self.decide_call(now, from, call, entropy)?.into_iter().map(Effect::Fact).collect())
            }
            ClientMessage::Host(host) => self.decide_host(from, host),
            ClientMessage::Ping(_) => Ok(vec![]),
            ClientMessage::Join(_) | ClientMessage::Resume(_) => {
                Err(Refusal::new(Code::InvalidState, "this connection has a session already"))
            }
        }
    }

    fn require_sfu(&self) -> Result<(), Refusal> {
        if self.uses_sfu() {
            Ok(())
        } else {
            Err(Refusal::new(Code::InvalidState, "media flows from peer to peer in this room"))
        }
    }

    /// The other peer in the room that a client addresses.
    pub(super) fn other_member(&self, from: PeerId, to: &str) -> Result<&Member, Refusal> {
        let id: PeerId = to.parse().map_err(|_| nobody())?;
        if id == from {
            return Err(Refusal::bad_request("that is you"));
        }
        self.member(id).filter(|member| member.is_joined()).ok_or_else(nobody)
    }

    fn decide_signal(&self, from: PeerId, signal: &Signal) -> Result<Vec<Effect>, Refusal> {
        let body = &signal.body;
        let said = [body.description.is_some(), body.candidate.is_some(), body.restart == Some(true)];
        if said.iter().filter(|said| **said).count() != 1 {
            return Err(Refusal::bad_request(
                "a signal has one of `description`, `candidate` and `restart: true`",
            ));
        }
        if let PeerTarget::Sfu = PeerTarget::parse(&signal.to)? {
            self.require_sfu()?;
            return Ok(sfu::demand(from, body)?.into_iter().map(Effect::Demand).collect());
        }
        let to = self.other_member(from, &signal.to)?.id;
        let epoch = self
            .mesh_epoch()
            .ok_or_else(|| Refusal::new(Code::InvalidState, "media flows through the SFU in this room"))?;
        if body.epoch.is_some_and(|said| said != epoch) {
            // The signal belongs to a path that is closed, or that never existed.
            return Ok(vec![]);
        }
        let mut body = body.clone();
        // These fields have a meaning only between the SFU and a peer.
        (body.pc, body.negotiation, body.tracks) = (None, None, Vec::new());
        body.epoch = Some(epoch);
        Ok(vec![Effect::Fact(Fact::Signalled { to, from: PeerTarget::Peer(from), body: Arc::new(body) })])
    }

    fn decide_update(&self, from: PeerId, update: &Update) -> Result<Vec<Effect>, Refusal> {
        let change = Change::read(update, &self.rules.limits)?;
        let signed = self.member(from).and_then(|member| member.signed.as_ref());
        if change.metadata.is_some() && signed.is_some_and(|signed| signed.metadata.is_some()) {
            return Err(Refusal::new(Code::Forbidden, "the join token says what `metadata` is"));
        }
        if change == Change::default() {
            return Ok(vec![]);
        }
        Ok(vec![Effect::Fact(Fact::Updated { peer: from, change: Box::new(change) })])
    }
}
