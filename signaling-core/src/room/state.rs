//! The state of a room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::recording::Recording;
use super::{
    CallRecord, EndedSessions, Entry, Fact, MeetingTerms, Member, Power, Room, RoomRecord, Rules, Settings,
    Standing, Switching,
};
use crate::message::{EndReason, Role, Topology, TopologyChoice};
use crate::{CallId, Digest, LifeId, PeerId, RoomId, SessionId, Timestamp};

/// The complete state of a room, as [`Room::snapshot`] returns and [`Room::restore`] takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomState {
    pub(super) id: RoomId,
    /// The name, if the id does not say it.
    #[serde(default)]
    pub(super) name: Option<Arc<str>>,
    pub(super) title: Option<Arc<str>>,
    pub(super) life: LifeId,
    pub(super) created_at: Timestamp,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) choice: TopologyChoice,
    pub(super) capacity: usize,
    pub(super) empty_timeout: Duration,
    #[serde(default)]
    pub(super) meeting: Option<MeetingTerms>,
    pub(super) settings: Settings,
    pub(super) topology: Topology,
    pub(super) epoch: u64,
    pub(super) switching: Option<Switching>,
    /// Since when a mesh would suffice.
    pub(super) few_since: Option<Timestamp>,
    /// A pair could not connect and asked for the SFU.
    pub(super) sfu_asked: bool,
    #[serde(flatten)]
    pub(super) recording: Recording,
    /// Boxed, since a map has places for eleven where it has two.
    pub(super) members: BTreeMap<PeerId, Box<Member>>,
    pub(super) barred_sessions: BTreeSet<SessionId>,
    pub(super) barred_clients: BTreeSet<Digest>,
    #[serde(default)]
    pub(super) barred_tokens: BTreeSet<Digest>,
    /// Ended sessions.
    #[serde(default)]
    pub(super) ended_sessions: EndedSessions,
    pub(super) calls: BTreeMap<CallId, CallRecord>,
    /// Whether any peer has ever entered.
    pub(super) entered: bool,
    /// Whether a host has ever entered; without one there is no succession.
    pub(super) had_host: bool,
    /// Whether the first eligible peer becomes host.
    #[serde(default)]
    pub(super) first_is_host: bool,
    /// No succession before this time: hosts that lost their connections with the server may resume.
    #[serde(default)]
    pub(super) resumed_until: Timestamp,
    /// No succession before this time: a host closed its page, and may open it again.
    #[serde(default)]
    pub(super) power_kept_until: Timestamp,
    /// Clients that closed their pages, and until when they may re-enter past lock, password and lobby.
    #[serde(default)]
    pub(super) awaited: BTreeMap<Digest, Timestamp>,
    /// The host that the peers have been told of.
    #[serde(default)]
    pub(super) announced_host: Option<PeerId>,
    /// Powers that have changed since the session's secret was made.
    #[serde(default)]
    pub(super) powers: BTreeMap<SessionId, Power>,
    pub(super) empty_since: Option<Timestamp>,
    pub(super) viewers_counted: usize,
    pub(super) viewers_counted_at: Timestamp,
    pub(super) last_id: u64,
    pub(super) ended: Option<EndReason>,
}

impl RoomState {
    pub(super) fn new(record: &RoomRecord, now: Timestamp, rules: &Rules) -> Self {
        let topology = match record.topology {
            TopologyChoice::Sfu if rules.sfu => Topology::Sfu,
            _ => Topology::Mesh,
        };
        Self {
            id: record.room.clone(),
            name: record.name.clone(),
            title: record.title.clone(),
            life: record.life,
            created_at: record.created_at,
            ends_at: record.ends_at,
            choice: record.topology,
            capacity: record.capacity.unwrap_or(rules.limits.room_peers),
            empty_timeout: record.empty_timeout_seconds.map_or(rules.limits.empty_room, Duration::from_secs),
            meeting: record.meeting,
            settings: record.settings.clone(),
            topology,
            epoch: 1,
            switching: None,
            few_since: None,
            sfu_asked: false,
            recording: Recording::Off,
            members: BTreeMap::new(),
            barred_sessions: record.barred_sessions.clone(),
            barred_clients: record.barred_clients.clone(),
            barred_tokens: record.barred_tokens.clone(),
            ended_sessions: record.ended_sessions.clone(),
            calls: BTreeMap::new(),
            entered: record.entered,
            had_host: record.had_host,
            first_is_host: record.first_is_host,
            resumed_until: if record.had_host { now + rules.limits.resume_window } else { now },
            power_kept_until: now,
            awaited: BTreeMap::new(),
            announced_host: None,
            powers: record.powers.clone(),
            empty_since: Some(now),
            viewers_counted: 0,
            viewers_counted_at: Timestamp::default(),
            last_id: now.as_millis().saturating_mul(1000),
            ended: None,
        }
    }

    /// A peer enters the room or its lobby.
    fn add(&mut self, entry: &Entry, member: &Member) {
        let order = if member.order == 0 { entry.id } else { member.order };
        let member = Member { order, ..member.clone() };
        self.had_host |= member.is_host();
        if member.power == Power::Appointed {
            self.power_kept_until = entry.at;
        }
        // A peer that waits for a meeting to admit it has not entered.
        self.entered |= self.meeting.is_none() || member.is_joined();
        self.empty_since = None;
        if let Some(client) = &member.client {
            self.awaited.remove(client);
        }
        if let (true, Some(switch)) = (member.reports_ready(), &mut self.switching) {
            switch.waiting.insert(member.id);
        }
        self.members.insert(member.id, Box::new(member));
    }

    /// A peer has left the room or its lobby.
    fn remove(&mut self, at: Timestamp, peer: PeerId) {
        if let Some(member) = self.members.remove(&peer).filter(|member| !member.media_only) {
            self.ended_sessions.insert(member.session);
            self.powers.remove(&member.session);
        }
        if let Some(switch) = &mut self.switching {
            switch.waiting.remove(&peer);
        }
        if self.members.values().filter(|member| member.is_joined()).count() < 2 {
            // The pair that failed to connect is gone; another may succeed.
            self.sfu_asked = false;
        }
        if self.members.is_empty() {
            self.empty_since = Some(at);
            self.recording = self.recording.after_last_peer();
        }
    }
}

impl Room {
    #[allow(clippy::too_many_lines, reason = "one arm for each fact: the match shows that none is missing")]
    pub(super) fn apply_fact(&mut self, entry: &Entry) {
        let state = &mut self.state;
        match &entry.fact {
            Fact::Joined(member) => state.add(entry, member),
            Fact::Admitted { peer } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.standing = Standing::Joined;
                    state.entered = true;
                }
                if let Some(switch) = &mut state.switching {
                    switch.waiting.insert(*peer);
                }
            }
            Fact::Left { peer, .. } => state.remove(entry.at, *peer),
            Fact::Updated { peer, change } => {
                if let Some(member) = state.members.get_mut(peer) {
                    change.apply(member);
                }
            }
            Fact::Presence { peer, away } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.away = *away;
                }
            }
            Fact::HostGranted { peer, power } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.power = *power;
                    state.powers.insert(member.session, *power);
                    state.had_host = true;
                    if member.role == Role::Viewer {
                        member.role = Role::Participant;
                    }
                }
            }
            Fact::HostWithdrawn { peer } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.power = Power::None;
                    state.powers.insert(member.session, Power::None);
                }
            }
            Fact::PowerKept { until } => state.power_kept_until = *until,
            Fact::ReturnAwaited { client, until } => {
                state.awaited.retain(|_, until| *until > entry.at);
                // The capacity bounds the map; clients beyond it need to be admitted again.
                if state.awaited.len() < state.capacity {
                    state.awaited.insert(*client, *until);
                }
            }
            Fact::SettingsChanged(settings) => state.settings = settings.clone(),
            Fact::Arranged(record) => {
                state.capacity = record.capacity.unwrap_or(self.rules.limits.room_peers);
                state.empty_timeout =
                    record.empty_timeout_seconds.map_or(self.rules.limits.empty_room, Duration::from_secs);
                state.meeting = record.meeting;
                state.settings = Settings { locked: state.settings.locked, ..record.settings.clone() };
            }
            Fact::Barred { session, client, tokens } => {
                state.barred_sessions.insert(*session);
                state.barred_clients.extend(client);
                state.barred_tokens.extend(tokens.iter().copied());
            }
            Fact::Muted { peer, .. } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.muted = true;
                }
            }
            Fact::TopologySwitching { to, until, .. } => {
                let waiting =
                    state.members.values().filter(|member| member.reports_ready()).map(|member| member.id);
                let waiting = waiting.collect();
                state.switching = Some(Switching { to: *to, until: *until, waiting });
            }
            Fact::TopologyReady { peer } => {
                if let Some(switch) = &mut state.switching {
                    switch.waiting.remove(peer);
                }
            }
            Fact::SfuAsked { .. } => state.sfu_asked = true,
            Fact::TopologySettled => {
                if let Some(switch) = state.switching.take() {
                    state.topology = switch.to;
                    state.epoch += 1;
                }
            }
            Fact::ViewersCounted => {
                state.viewers_counted_at = entry.at;
                state.viewers_counted = state
                    .members
                    .values()
                    .filter(|member| member.is_joined() && member.role == Role::Viewer)
                    .count();
            }
            Fact::CallMoved(record) => self.apply_call(*record),
            Fact::TracksChanged { peer, tracks } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.tracks = std::sync::Arc::clone(tracks);
                }
            }
            Fact::Flowing { peer, flowing } => {
                if let Some(member) = state.members.get_mut(peer) {
                    member.flowing = *flowing;
                }
            }
            Fact::RecordingBegun { .. } => state.recording = Recording::On,
            Fact::RecordingEnding => state.recording = Recording::Ending,
            // The end of one publisher's file does not end the recording.
            Fact::Recording { state: report, peer: None, .. } => {
                state.recording = state.recording.after(*report);
            }
            Fact::Ended { reason } => state.ended = Some(*reason),
            Fact::Chatted(_)
            | Fact::Denied { .. }
            | Fact::Awaits { .. }
            | Fact::Signalled { .. }
            | Fact::AppSent { .. }
            | Fact::Captioned { .. }
            | Fact::Recording { .. }
            | Fact::HostAnnounced
            | Fact::CallRefused { .. } => {}
        }
        self.note_announced_host(&entry.fact);
        self.note_size(entry.at);
    }
}
