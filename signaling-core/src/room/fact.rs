//! What can happen in a room, and who learns of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CallRecord, Caption, Change, ChatLine, Member, Power, Room, RoomRecord, Settings};
use crate::message::{
    EndReason, Json, LeaveReason, LobbyVerdict, PeerTarget, RecordingState, Role, ServerEvent, SignalBody,
    Switch, Topology, Track,
};
use crate::{Digest, MediaDemand, PeerId, RecordScope, SessionId, Timestamp};

/// A change of a room, applied to its state and told to its recipients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; what each does stands in `Room::apply`")]
pub enum Fact {
    Joined(Box<Member>),
    Admitted { peer: PeerId },
    Denied { peer: PeerId },
    Awaits { peer: PeerId, host: PeerId },
    Left { peer: PeerId, reason: LeaveReason },
    Updated { peer: PeerId, change: Box<Change> },
    Signalled { to: PeerId, from: PeerTarget, body: Arc<SignalBody> },
    Chatted(ChatLine),
    AppSent { from: PeerId, topic: Arc<str>, data: Json, to: Option<PeerId>, at: Timestamp },
    Captioned { caption: Caption, at: Timestamp },
    Presence { peer: PeerId, away: bool },
    HostGranted { peer: PeerId, power: Power },
    HostWithdrawn { peer: PeerId },
    HostAnnounced,
    PowerKept { until: Timestamp },
    ReturnAwaited { client: Digest, until: Timestamp },
    SettingsChanged(Settings),
    Arranged(Box<RoomRecord>),
    Barred { session: SessionId, client: Option<Digest>, tokens: Vec<Digest> },
    Muted { peer: PeerId, by: PeerId },
    TopologySwitching { to: Topology, epoch: u64, until: Timestamp },
    TopologyReady { peer: PeerId },
    SfuAsked { peer: PeerId },
    TopologySettled,
    ViewersCounted,
    CallMoved(CallRecord),
    CallRefused { record: CallRecord },
    TracksChanged { peer: PeerId, tracks: Arc<[Track]> },
    Flowing { peer: PeerId, flowing: bool },
    RecordingBegun { scope: RecordScope },
    RecordingEnding,
    Recording { state: RecordingState, peer: Option<PeerId>, recording: Option<Arc<str>> },
    Ended { reason: EndReason },
}

impl Fact {
    /// Stamps messages for clients with the wall clock, since clients know no other.
    pub(crate) fn tell_time(&mut self, wall: Timestamp) {
        if let Self::Chatted(ChatLine { at, .. }) | Self::AppSent { at, .. } | Self::Captioned { at, .. } =
            self
        {
            *at = wall;
        }
    }
}

/// A fact with its place in the room's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The number in the room's single sequence.
    pub id: u64,
    /// When it happened, in ticks rather than by the wall clock.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// The recipients of an entry's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every peer, including those in the lobby.
    All,
    /// Every peer in the room.
    Everyone,
    /// Every peer in the room except one.
    EveryoneBut(PeerId),
    /// The hosts, except this peer.
    HostsBut(PeerId),
    /// The hosts, and this peer.
    HostsAnd(PeerId),
    /// Two peers.
    Pair(PeerId, PeerId),
    /// One peer, in the room or in the lobby.
    One(PeerId),
}

impl Recipients {
    /// Whether a peer is one of the recipients.
    pub(crate) fn includes(self, peer: PeerId, host: bool, waiting: bool) -> bool {
        match self {
            Self::All => true,
            Self::Everyone => !waiting,
            Self::EveryoneBut(other) => !waiting && peer != other,
            Self::HostsBut(other) => host && peer != other,
            Self::HostsAnd(other) => host || peer == other,
            Self::Pair(one, two) => peer == one || peer == two,
            Self::One(one) => peer == one,
        }
    }
}

impl Entry {
    /// The event that the entry means for peers, and its recipients. `room` is the state after the entry, except for
    /// `Fact::Left`, which needs the state before.
    pub(crate) fn event(&self, room: &Room) -> Option<(Recipients, ServerEvent)> {
        let view = |peer: PeerId| room.member(peer).map(Member::view);
        let room_updated = || Some((Recipients::Everyone, ServerEvent::RoomUpdated { room: room.view() }));
        match &self.fact {
            Fact::Joined(member) if member.is_joined() => {
                let recipients = if member.role == Role::Viewer {
                    Recipients::HostsBut(member.id)
                } else {
                    Recipients::EveryoneBut(member.id)
                };
                Some((recipients, ServerEvent::PeerJoined { peer: view(member.id)? }))
            }
            Fact::Joined(member) => Some((
                Recipients::HostsBut(member.id),
                ServerEvent::Lobby { state: None, peer: Some(member.id), name: Some(member.name.clone()) },
            )),
            Fact::Admitted { peer } => {
                Some((Recipients::EveryoneBut(*peer), ServerEvent::PeerJoined { peer: view(*peer)? }))
            }
            Fact::Denied { peer } => Some((
                Recipients::One(*peer),
                ServerEvent::Lobby { state: Some(LobbyVerdict::Denied), peer: None, name: None },
            )),
            Fact::Awaits { peer, host } => {
                let name = room.member(*peer)?.name.clone();
                let lobby = ServerEvent::Lobby { state: None, peer: Some(*peer), name: Some(name) };
                Some((Recipients::One(*host), lobby))
            }
            Fact::Left { peer, reason } => {
                let unlisted = room.member(*peer).is_none_or(|member| !member.is_listed());
                let recipients = if unlisted { Recipients::HostsAnd(*peer) } else { Recipients::Everyone };
                Some((recipients, ServerEvent::PeerLeft { peer: *peer, reason: *reason }))
            }
            Fact::Updated { peer, .. } => updated(room, *peer, Recipients::Everyone),
            // A peer knows its own presence, and the presence of a waiting peer concerns no other peer.
            Fact::Presence { peer, .. } if room.member(*peer).is_some_and(Member::is_joined) => {
                updated(room, *peer, Recipients::EveryoneBut(*peer))
            }
            Fact::Signalled { to, from, body } => {
                Some((Recipients::One(*to), ServerEvent::Signal { from: *from, body: Arc::clone(body) }))
            }
            Fact::Chatted(line) => Some((line.recipients(), line.event())),
            Fact::Captioned { caption, at } => Some((Recipients::Everyone, caption.event(*at))),
            Fact::AppSent { from, topic, data, to, at } => {
                let recipients = to.map_or(Recipients::EveryoneBut(*from), Recipients::One);
                let (topic, data) = (Arc::clone(topic), data.clone());
                Some((recipients, ServerEvent::App { from: *from, topic, data, to: *to, at: *at }))
            }
            Fact::HostGranted { .. }
            | Fact::HostWithdrawn { .. }
            | Fact::HostAnnounced
            | Fact::SettingsChanged(_)
            | Fact::Arranged(_)
            | Fact::ViewersCounted => room_updated(),
            Fact::Muted { peer, by } => Some((Recipients::One(*peer), ServerEvent::Muted { by: *by })),
            Fact::TopologySwitching { to, epoch, .. } => Some((
                Recipients::Everyone,
                ServerEvent::Topology { topology: *to, epoch: *epoch, state: Switch::Switching },
            )),
            Fact::TopologySettled => Some((
                Recipients::Everyone,
                ServerEvent::Topology {
                    topology: room.state.topology,
                    epoch: room.state.epoch,
                    state: Switch::Settled,
                },
            )),
            Fact::CallMoved(record) => Some((Recipients::Pair(record.from, record.to), record.event())),
            Fact::CallRefused { record } => Some((Recipients::One(record.from), record.event())),
            Fact::TracksChanged { peer, tracks } => {
                let tracks = Arc::clone(tracks);
                Some((Recipients::Everyone, ServerEvent::Tracks { peer: *peer, tracks }))
            }
            Fact::Flowing { peer, flowing } => {
                let tracks = room.member(*peer).map(|member| Arc::clone(&member.tracks))?;
                let event = if *flowing {
                    ServerEvent::BroadcasterConnected { peer: *peer, tracks }
                } else {
                    ServerEvent::BroadcasterDisconnected { peer: *peer }
                };
                Some((Recipients::Everyone, event))
            }
            Fact::RecordingBegun { .. } => {
                let event =
                    ServerEvent::Recording { state: RecordingState::Starting, peer: None, recording: None };
                Some((Recipients::Everyone, event))
            }
            Fact::Recording { state, peer, recording } => {
                let recording = recording.clone();
                Some((Recipients::Everyone, ServerEvent::Recording { state: *state, peer: *peer, recording }))
            }
            Fact::Ended { reason } => Some((Recipients::All, ServerEvent::RoomEnded { reason: *reason })),
            Fact::Presence { .. }
            | Fact::Barred { .. }
            | Fact::PowerKept { .. }
            | Fact::ReturnAwaited { .. }
            | Fact::TopologyReady { .. }
            | Fact::SfuAsked { .. }
            | Fact::RecordingEnding => None,
        }
    }

    /// What the entry demands of the media plane. `room` is the state after the entry.
    pub(crate) fn demands(&self, room: &Room) -> Vec<MediaDemand> {
        // Only a recorder needs the peers' names.
        let join = |member: &Member| {
            let name = MediaDemand::Name { peer: member.id, name: member.name.clone() };
            let join = MediaDemand::Join { peer: member.id, role: member.role };
            room.rules.recorder.then_some(name).into_iter().chain([join]).collect::<Vec<_>>()
        };
        match &self.fact {
            Fact::Joined(member) if member.is_joined() && room.uses_sfu() => join(member),
            Fact::Admitted { peer } if room.uses_sfu() => room.member(*peer).map(join).unwrap_or_default(),
            Fact::Left { peer, .. } if room.uses_sfu() => vec![MediaDemand::Leave { peer: *peer }],
            Fact::TopologySwitching { to: Topology::Sfu, .. } => room.joined().flat_map(join).collect(),
            Fact::TopologySettled if room.state.topology == Topology::Mesh => {
                room.joined().map(|member| MediaDemand::Leave { peer: member.id }).collect()
            }
            Fact::Muted { peer, .. } if room.uses_sfu() => {
                vec![MediaDemand::Mute { peer: *peer, muted: true }]
            }
            Fact::Updated { peer, change } if room.uses_sfu() && change.microphone == Some(true) => {
                vec![MediaDemand::Mute { peer: *peer, muted: false }]
            }
            Fact::Updated { peer, change } if room.uses_sfu() && change.role.is_some() => {
                room.member(*peer).map(join).unwrap_or_default()
            }
            Fact::RecordingBegun { scope } => {
                vec![MediaDemand::Record { life: room.state.life, scope: *scope }]
            }
            Fact::RecordingEnding => {
                vec![MediaDemand::Record { life: room.state.life, scope: RecordScope::Nobody }]
            }
            Fact::Captioned { caption, .. } if room.state.recording.is_on() => {
                vec![MediaDemand::Caption(caption.clone())]
            }
            Fact::Ended { .. } => vec![MediaDemand::End],
            _ => Vec::new(),
        }
    }

    /// Whether the change must outlive the process.
    pub(crate) fn is_durable(&self) -> bool {
        matches!(
            self.fact,
            Fact::SettingsChanged(_)
                | Fact::Arranged(_)
                | Fact::Barred { .. }
                | Fact::HostGranted { .. }
                | Fact::HostWithdrawn { .. }
                | Fact::Ended { .. }
        )
    }
}

/// The `peer-updated` event. It goes to `all`, but for a viewer only to the hosts, and for a waiting peer only to
/// itself.
fn updated(room: &Room, peer: PeerId, all: Recipients) -> Option<(Recipients, ServerEvent)> {
    let member = room.member(peer)?;
    let recipients = match member.role {
        // The room does not list a waiting peer.
        _ if !member.is_joined() => Recipients::One(peer),
        Role::Viewer => Recipients::HostsBut(peer),
        _ => all,
    };
    Some((recipients, ServerEvent::PeerUpdated { peer: member.view() }))
}

impl CallRecord {
    fn event(&self) -> ServerEvent {
        let (state, reason) = self.progress.view();
        ServerEvent::Call { call: self.call, state, from: self.from, to: self.to, reason }
    }
}
