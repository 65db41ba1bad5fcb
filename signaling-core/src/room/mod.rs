//! A room: its peers, its settings, and what happens in it.
//!
//! [`Room::decide`] maps an input to effects and changes nothing; only [`Room::apply`] and [`Room::replay`] change the
//! state. Equal inputs give equal entries, and a snapshot with the entries after it gives the same room.

mod admission;
mod call;
mod chat;
mod ended_sessions;
mod fact;
mod host;
mod member;
mod power;
mod record;
mod recording;
mod settings;
mod sfu;
mod state;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use admission::{Admission, Arrival, MediaTerms, Pass};
pub use call::{CallProgress, CallRecord};
pub use chat::ChatLine;
pub use ended_sessions::EndedSessions;
pub use fact::{Audience, Entry, Fact};
pub use member::{Member, Standing};
pub use power::Power;
pub use record::{MeetingTerms, RoomRecord};
pub use settings::{Change, LobbyVerdict, Rules, Settings};
pub use state::RoomState;
pub use topology::Switching;

use crate::message::{
    ClientMessage, EndReason, LeaveReason, PeerTarget, QualityReason, Reply, Role, RoomView, Signal,
    TopologyChoice, Track, TrackKind, Update,
};
use crate::{
    Code, Digest, Entropy, LifeId, MediaDemand, MediaEvent, PeerId, Refusal, RoomId, Timestamp, is_blank,
};

/// A room as a deterministic state machine.
#[derive(Clone, Debug)]
pub struct Room {
    state: RoomState,
    rules: Arc<Rules>,
}

/// An input to a room.
#[derive(Clone, Debug)]
pub enum RoomInput<'a> {
    /// A client asks to enter.
    Join(Box<Admission>),
    /// A peer sends a message.
    Message(PeerId, &'a ClientMessage),
    /// A peer is gone.
    Gone(PeerId, LeaveReason),
    /// The media plane reports an event.
    Media(MediaEvent),
    /// The meeting of the room has changed.
    Arrange(Box<RoomRecord>),
    /// The server's operator, or the bearer of a host token, starts or stops the recording.
    Record(bool),
    /// The room must end.
    End(EndReason),
}

/// A consequence of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A fact, which must be applied and logged.
    Fact(Fact),
    /// A demand on the media plane, which leaves no trace in the room.
    Demand(MediaDemand),
    /// An event for the sessions in the room, which is not logged.
    Fleeting(FleetingEvent),
}

/// Events that are of interest only at present.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in `Reply`")]
pub enum FleetingEvent {
    Reaction {
        from: PeerId,
        emoji: Arc<str>,
    },
    Speakers(Vec<crate::message::PeerLevel>),
    Quality {
        peer: PeerId,
        level: u8,
        track: Option<Arc<str>>,
        reason: Option<QualityReason>,
        to: Option<PeerId>,
    },
}

impl FleetingEvent {
    pub(crate) fn reply(&self) -> Reply {
        match self.clone() {
            Self::Reaction { from, emoji } => Reply::Reaction { from, emoji },
            Self::Speakers(speakers) => Reply::Speakers { speakers },
            Self::Quality { peer, level, track, reason, .. } => {
                Reply::Quality { peer, level, track, layer: None, reason }
            }
        }
    }

    /// The only recipient, if the event is not for everyone.
    pub(crate) fn to(&self) -> Option<PeerId> {
        match self {
            Self::Quality { to, .. } => *to,
            Self::Reaction { .. } | Self::Speakers(_) => None,
        }
    }
}

/// The facts about a peer's new tracks. A media-only peer does not report its microphone and camera, so its tracks do.
fn tracks_changed(member: &Member, tracks: Vec<Track>) -> Vec<Fact> {
    let peer = member.id;
    let has = |kind| Some(tracks.iter().any(|track| track.kind == kind));
    let change =
        Change { microphone: has(TrackKind::Audio), camera: has(TrackKind::Video), ..Change::default() };
    let told = member.media_only.then(|| Fact::Updated { peer, change: Box::new(change) });
    [Some(Fact::TracksChanged { peer, tracks: tracks.into() }), told].into_iter().flatten().collect()
}

fn nobody() -> Refusal {
    Refusal::new(Code::PeerUnknown, "no such peer in the room")
}

impl Room {
    /// A new room. Its counter starts at the current time, so that every id exceeds those of earlier lives of the name.
    pub fn new(record: &RoomRecord, now: Timestamp, rules: Arc<Rules>) -> Self {
        Self { state: RoomState::new(record, now, &rules), rules }
    }

    /// Restores a room from a snapshot.
    pub fn restore(state: RoomState, rules: Arc<Rules>) -> Self {
        Self { state, rules }
    }

    /// The whole state, from which another process can continue the room.
    pub fn snapshot(&self) -> RoomState {
        self.state.clone()
    }

    /// The part of the state that must outlive the process.
    pub fn record(&self) -> RoomRecord {
        RoomRecord::of(&self.state)
    }

    /// The room's id.
    pub fn id(&self) -> &RoomId {
        &self.state.id
    }

    /// Frees the maps of members and calls if they are empty.
    pub(crate) fn tidy(&mut self) {
        let state = &mut self.state;
        if state.members.is_empty() {
            state.members = BTreeMap::new();
        }
        if state.calls.is_empty() {
            state.calls = BTreeMap::new();
        }
    }

    /// The room's name, if its id does not say it.
    pub(crate) fn beyond_id(&self) -> Option<&str> {
        self.state.name.as_deref()
    }

    /// The id of this life of the room.
    pub fn life(&self) -> LifeId {
        self.state.life
    }

    /// The topology that the room was made with.
    pub fn choice(&self) -> TopologyChoice {
        self.state.choice
    }

    /// Whether the room belongs to a meeting.
    pub fn is_meeting(&self) -> bool {
        self.state.meeting.is_some()
    }

    /// Whether any peer has ever entered.
    pub fn was_entered(&self) -> bool {
        self.state.entered
    }

    /// Whether any peer, and whether any host, has ever entered. A change of either must be stored at once.
    pub(crate) fn known_of(&self) -> (bool, bool) {
        (self.state.entered, self.state.had_host)
    }

    /// When this life of the room began.
    pub fn created_at(&self) -> Timestamp {
        self.state.created_at
    }

    /// Why the room is over, if it is.
    pub fn ended(&self) -> Option<EndReason> {
        self.state.ended
    }

    /// A peer in the room or in its lobby.
    pub fn member(&self, peer: PeerId) -> Option<&Member> {
        self.state.members.get(&peer)
    }

    /// Every peer in the room or in its lobby.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.state.members.values()
    }

    /// Every peer in the room.
    pub fn joined(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.is_joined())
    }

    /// The room as its members see it.
    pub fn view(&self) -> RoomView {
        let state = &self.state;
        RoomView {
            id: state.id.clone(),
            name: self.beyond_id().unwrap_or(state.id.as_str()).to_owned(),
            title: state.title.clone(),
            topology: state.topology,
            epoch: state.epoch,
            locked: state.settings.locked,
            host: self.host(),
            lobby: state.settings.lobby,
            password: state.settings.password.is_some(),
            recording: state.recording.is_on(),
            viewers: self.viewers(),
            created_at: state.created_at,
            ends_at: state.ends_at,
        }
    }

    /// The number of viewers.
    pub fn viewers(&self) -> usize {
        self.joined().filter(|member| member.role == Role::Viewer).count()
    }

    /// The numbers of listed peers and of viewers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.joined().filter(|member| member.is_listed()).count(), self.viewers())
    }

    /// Whether a session of the room has ended.
    pub(crate) fn has_ended(&self, session: crate::SessionId) -> bool {
        self.state.ended_sessions.contains(session)
    }

    /// The power of a session that returns after a restart, if it has changed since the session's secret was made.
    pub(crate) fn power_of(&self, session: crate::SessionId) -> Option<Power> {
        self.state.powers.get(&session).copied()
    }

    /// The id of the newest entry.
    pub fn last_id(&self) -> u64 {
        self.state.last_id
    }

    /// The effects of an input, or why it is refused.
    pub fn decide(
        &self,
        now: Timestamp,
        input: RoomInput<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Effect>, Refusal> {
        if self.state.ended.is_some() {
            return Err(Refusal::new(Code::RoomEnded, "the room is over"));
        }
        let facts = match input {
            RoomInput::Join(admission) => self.decide_join(now, *admission)?,
            RoomInput::Message(from, message) => return self.decide_message(now, from, message, entropy),
            RoomInput::Gone(peer, reason) => self.left(peer, reason),
            RoomInput::Media(event) => return Ok(self.decide_media(event)),
            RoomInput::Record(on) => return self.decide_recording(on),
            RoomInput::Arrange(record) => vec![Fact::Arranged(record)],
            RoomInput::End(reason) => vec![Fact::Ended { reason }],
        };
        Ok(facts.into_iter().map(Effect::Fact).collect())
    }

    /// The next fact that is due without an input, because of an earlier fact or of elapsed time. The caller applies it
    /// and asks again until there is none.
    pub fn settle(&self, now: Timestamp) -> Option<Fact> {
        let state = &self.state;
        if state.ended.is_some() {
            return None;
        }
        if let Some(step) = self.power_step(now) {
            return Some(step);
        }
        if state.announced_host != self.host() {
            return Some(Fact::HostAnnounced);
        }
        // Admit peers that waited for a host, or in a lobby that the meeting no longer has.
        if state.meeting.is_some() && !state.settings.lobby && !self.waits_for_host() {
            let waiting = self.members().filter(|member| !member.is_joined());
            if let Some(first) = waiting.min_by_key(|member| member.order) {
                return Some(Fact::Admitted { peer: first.id });
            }
        }
        if let Some(scope) = self.recording_due() {
            return Some(Fact::RecordingBegun { scope });
        }
        if let Some(step) = self.topology_step(now) {
            return Some(step);
        }
        if state.viewers_counted != self.viewers() && self.viewers_due_at() <= now {
            return Some(Fact::ViewersCounted);
        }
        if let Some(unanswered) = self.calls_unanswered(now).into_iter().next() {
            return Some(unanswered);
        }
        let reason = if state.meeting.is_some() { EndReason::Expired } else { EndReason::Empty };
        self.empty_until().is_some_and(|until| until <= now).then_some(Fact::Ended { reason })
    }

    /// When to call [`Self::settle`] again, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let viewers = (self.state.viewers_counted != self.viewers()).then(|| self.viewers_due_at());
        let due = [
            self.empty_until(),
            viewers,
            self.next_succession(),
            self.next_topology_timeout(),
            self.next_call_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// When the room ends if it stays empty.
    fn empty_until(&self) -> Option<Timestamp> {
        let state = &self.state;
        let patience = if state.entered || state.meeting.is_some() {
            state.empty_timeout
        } else {
            self.rules.limits.unentered_room
        };
        state.empty_since.map(|since| since + patience)
    }

    fn viewers_due_at(&self) -> Timestamp {
        self.state.viewers_counted_at + std::time::Duration::from_secs(1)
    }

    fn decide_message(
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
    fn other_member(&self, from: PeerId, to: &str) -> Result<&Member, Refusal> {
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

    fn decide_media(&self, event: MediaEvent) -> Vec<Effect> {
        let signalled = |to, body| Fact::Signalled { to, from: PeerTarget::Sfu, body: Arc::new(body) };
        let here = |peer: PeerId| self.member(peer).filter(|member| member.is_joined());
        let fact = match event {
            MediaEvent::Answer { peer, sdp, negotiation } => {
                here(peer).map(|_| signalled(peer, sfu::answer(&sdp, negotiation)))
            }
            MediaEvent::Offer { peer, sdp, negotiation, tracks } => {
                here(peer).map(|_| signalled(peer, sfu::offer(&sdp, negotiation, tracks)))
            }
            MediaEvent::Tracks { peer, tracks } => {
                let facts = here(peer).map(|member| tracks_changed(member, tracks)).unwrap_or_default();
                return facts.into_iter().map(Effect::Fact).collect();
            }
            MediaEvent::Flowing { peer, flowing } => here(peer)
                .filter(|member| member.flowing != flowing && member.role == Role::Broadcaster)
                .map(|_| Fact::Flowing { peer, flowing }),
            MediaEvent::Connected { .. } => None,
            MediaEvent::Closed { peer } => {
                let left =
                    here(peer).filter(|member| member.media_only).map(|_| self.left(peer, LeaveReason::Left));
                return left.unwrap_or_default().into_iter().map(Effect::Fact).collect();
            }
            MediaEvent::Failed { peer } => {
                here(peer).filter(|member| member.flowing).map(|_| Fact::Flowing { peer, flowing: false })
            }
            MediaEvent::Recording { state, peer, recording } => {
                Some(Fact::Recording { state, peer, recording })
            }
            MediaEvent::Speakers(speakers) => {
                return vec![Effect::Fleeting(FleetingEvent::Speakers(speakers))];
            }
            MediaEvent::Quality { peer, level, track, reason, to } => {
                return vec![Effect::Fleeting(FleetingEvent::Quality { peer, level, track, reason, to })];
            }
        };
        fact.map(Effect::Fact).into_iter().collect()
    }

    /// The facts of a peer's departure: its calls end, its media stops, and it leaves.
    fn left(&self, peer: PeerId, reason: LeaveReason) -> Vec<Fact> {
        if self.member(peer).is_none() {
            return Vec::new();
        }
        let mut facts = self.calls_ended_by(peer, reason);
        if self.member(peer).is_some_and(|member| member.flowing) {
            facts.push(Fact::Flowing { peer, flowing: false });
        }
        facts.push(Fact::Left { peer, reason });
        facts
    }

    /// The digest by which the room stores a password.
    pub(crate) fn digest_password(&self, password: &str) -> Digest {
        self.rules.key.digest("password", [self.state.life.as_str(), password])
    }

    /// Gives a fact the next id, and applies it.
    pub fn apply(&mut self, now: Timestamp, fact: Fact) -> Entry {
        let entry = Entry { id: self.state.last_id + 1, at: now, fact };
        self.replay(&entry);
        entry
    }

    /// Applies an entry that already has its id, for example one from another node.
    pub fn replay(&mut self, entry: &Entry) {
        self.state.last_id = entry.id;
        self.apply_fact(entry);
    }
}
