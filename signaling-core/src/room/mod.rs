//! A room: its peers, its settings, and what happens in it.
//!
//! [`Room::decide`] maps an input to effects and changes nothing, [`Room::number`] makes entries of facts, and only
//! [`Room::apply`] changes the state. Equal inputs give equal entries, and a snapshot with the entries after it gives the
//! same room.

mod admission;
mod call;
mod caption;
mod chat;
mod effect;
mod ended_sessions;
mod fact;
mod host;
mod media;
mod member;
mod messages;
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
pub use caption::{Announcement, Caption};
pub use chat::ChatLine;
pub use effect::{Effect, FleetingEvent, RoomInput};
pub use ended_sessions::EndedSessions;
pub use fact::{Entry, Fact, Recipients};
pub use member::{Member, Standing};
pub use power::Power;
pub use record::{MeetingTerms, RoomRecord};
pub use settings::{Change, Rules, Settings};
pub use state::RoomState;
pub use topology::Switching;

use crate::message::{EndReason, LeaveReason, Role, RoomView, TopologyChoice};
use crate::{Code, Digest, Entropy, LifeId, PeerId, Refusal, RoomId, SessionId, Timestamp};

/// How many ids are left out where another process continues a room.
const HOLE: u64 = 1 << 20;

/// A room as a deterministic state machine.
#[derive(Clone, Debug)]
pub struct Room {
    state: RoomState,
    rules: Arc<Rules>,
}

fn nobody() -> Refusal {
    Refusal::new(Code::PeerUnknown, "no such peer in the room")
}

impl Room {
    /// A new room. Its counter starts at the current time, so that every id exceeds those of earlier lives of the name.
    pub fn new(record: &RoomRecord, now: Timestamp, rules: Arc<Rules>) -> Self {
        Self { state: RoomState::new(record, now, &rules), rules }
    }

    /// Makes all ids of the future exceed an id of an earlier process, and by so much that none is given twice which that
    /// process gave and did not keep.
    pub(crate) fn continue_after(&mut self, id: u64) {
        if id > 0 {
            self.state.last_id = self.state.last_id.max(id.saturating_add(HOLE));
        }
    }

    /// Makes all ids of the future exceed those of earlier lives of the name.
    pub(crate) fn begin_at(&mut self, now: Timestamp) {
        self.state.last_id = self.state.last_id.max(now.as_millis().saturating_mul(1000));
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
        self.state.members.get(&peer).map(Box::as_ref)
    }

    /// Every peer in the room or in its lobby.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.state.members.values().map(Box::as_ref)
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
    pub(crate) fn has_ended(&self, session: SessionId) -> bool {
        self.state.ended_sessions.contains(session)
    }

    /// The power of a session that returns after a restart, if it has changed since the session's secret was made.
    pub(crate) fn power_of(&self, session: SessionId) -> Option<Power> {
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
            RoomInput::Host(host) => return self.decide_power(None, Power::Appointed, host),
            RoomInput::Caption(caption) => vec![self.decide_caption(now, caption)?],
            RoomInput::Announce(announcement) => {
                vec![self.decide_announcement(now, announcement, entropy)?]
            }
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

    /// The entry of a fact, when `before` others of the same decision precede it.
    pub fn number(&self, now: Timestamp, mut fact: Fact, before: usize) -> Entry {
        let id = self.state.last_id + 1 + before as u64;
        if let Fact::Chatted(line) = &mut fact {
            line.id = id;
        }
        Entry { id, at: now, fact }
    }

    /// Facts that follow from a fact at once. `self` is the state before it.
    pub(crate) fn consequences(&self, fact: &Fact) -> Vec<Fact> {
        match fact {
            // The room's view names one host only, perhaps another one; the peer's own view shows its powers.
            Fact::HostGranted { peer, .. } => {
                let shown = Fact::Updated { peer: *peer, change: Box::default() };
                let joined = self.member(*peer).is_some_and(Member::is_joined);
                let waiting = joined.then(|| self.waiting_for(*peer)).into_iter().flatten();
                std::iter::once(shown).chain(waiting).collect()
            }
            Fact::HostWithdrawn { peer } => vec![Fact::Updated { peer: *peer, change: Box::default() }],
            _ => Vec::new(),
        }
    }

    /// Tells a host that has just arrived, returned or been appointed which peers wait in the lobby.
    pub(crate) fn waiting_for(&self, host: PeerId) -> impl Iterator<Item = Fact> {
        let waiting = self.members().filter(|member| !member.is_joined());
        waiting.map(move |member| Fact::Awaits { peer: member.id, host })
    }

    /// Applies an entry: one of [`Self::number`], or one from another node.
    pub fn apply(&mut self, entry: &Entry) {
        self.state.last_id = entry.id;
        self.apply_fact(entry);
    }
}
