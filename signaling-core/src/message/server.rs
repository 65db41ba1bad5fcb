//! Server to client.

use std::sync::Arc;

use serde::Serialize;

use super::{
    EndReason, HostToken, IceServer, Json, LeaveReason, Name, PeerLevel, PeerTarget, QualityReason,
    RecordingState, Role, SignalBody, Switch, Topology, Track,
};
use crate::{CallId, PeerId, RoomId, SessionId, Timestamp};

/// A peer as others see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in `update`")]
pub struct PeerView {
    pub id: PeerId,
    pub name: Name,
    pub role: Role,
    pub host: bool,
    pub joined_at: Timestamp,
    pub microphone: bool,
    pub camera: bool,
    pub screen: bool,
    pub hand: bool,
    pub tracks: Arc<[Track]>,
    /// Its connection is closed, and its session may still resume.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub away: bool,
    /// Of a broadcaster: its media is flowing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub live: bool,
    pub metadata: Option<Json>,
}

/// A room as its members see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    /// The room's id.
    pub id: RoomId,
    /// The room's name, as it was first written.
    pub name: String,
    /// What the meeting is called that the room was arranged for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    /// Which way media flows.
    pub topology: Topology,
    /// Grows with every change of topology.
    pub epoch: u64,
    /// Nobody else comes in.
    pub locked: bool,
    /// Who has the host's powers by seniority.
    #[cfg_attr(feature = "typescript", ts(optional = false))]
    pub host: Option<PeerId>,
    /// Newcomers wait until a host admits them.
    pub lobby: bool,
    /// A password is asked for.
    pub password: bool,
    /// Media is being recorded.
    pub recording: bool,
    /// How many watch.
    pub viewers: usize,
    /// When this life of the room began.
    pub created_at: Timestamp,
    /// When it is planned to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// STUN and TURN servers with credentials that expire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// As `RTCPeerConnection` takes them.
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub ice_servers: Vec<IceServer>,
    /// Seconds for which the credentials are good.
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub ttl_seconds: u64,
}

/// Whether a peer is in the room already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum WelcomeState {
    /// In the room.
    Joined,
    /// In the lobby.
    Waiting,
}

/// The answer to `join` and `resume`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// Who the client is.
    #[serde(rename = "self")]
    pub me: PeerView,
    /// The session.
    pub session: SessionId,
    /// What opens it.
    pub secret: String,
    /// In the room, or in the lobby.
    pub state: WelcomeState,
    /// The room.
    pub room: RoomView,
    /// Everybody else who is listed; absent for a resume and in the lobby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<PeerView>>,
    /// To the join that made the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_token: Option<HostToken>,
    /// STUN and TURN; absent in the lobby.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub ice: Option<IceServers>,
    /// How often each side says something.
    pub heartbeat_ms: u64,
    /// How long a session lives without a transport.
    pub resume_window_ms: u64,
    /// The cursor: events after this one follow.
    pub last_id: u64,
    /// Whether this answers a `resume`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub resumed: bool,
    /// With a resume: the greatest `seq` that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// What the server can do.
    pub features: Arc<[String]>,
}

/// The state of a room, for those who missed how it came about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The room.
    pub room: RoomView,
    /// Everybody else who is listed.
    pub peers: Vec<PeerView>,
    /// Whether events are missing before it: the client renegotiates what does not work any more.
    pub gap: bool,
    /// The cursor: events after this one follow.
    pub last_id: u64,
}

/// Sequenced events: kept, numbered, and replayed to those who resume.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the wire protocol's section 3")]
pub enum ServerEvent {
    PeerJoined {
        peer: PeerView,
    },
    PeerUpdated {
        peer: PeerView,
    },
    PeerLeft {
        peer: PeerId,
        reason: LeaveReason,
    },
    BroadcasterConnected {
        peer: PeerId,
        tracks: Arc<[Track]>,
    },
    BroadcasterDisconnected {
        peer: PeerId,
    },
    Signal {
        from: PeerTarget,
        #[serde(flatten)]
        body: Arc<SignalBody>,
    },
    Tracks {
        peer: PeerId,
        tracks: Arc<[Track]>,
    },
    Topology {
        topology: Topology,
        epoch: u64,
        state: Switch,
    },
    Chat {
        from: PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Name>,
        text: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        at: Timestamp,
    },
    App {
        from: PeerId,
        topic: Arc<str>,
        data: Json,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<PeerId>,
        at: Timestamp,
    },
    Call {
        call: CallId,
        state: crate::room::CallState,
        from: PeerId,
        to: PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<crate::room::CallEnd>,
    },
    Lobby {
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<crate::room::LobbyVerdict>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<PeerId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Name>,
    },
    RoomUpdated {
        room: RoomView,
    },
    Recording {
        state: RecordingState,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<PeerId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recording: Option<Arc<str>>,
    },
    Muted {
        by: PeerId,
    },
    RoomEnded {
        reason: EndReason,
    },
}

/// What carries no id: answers, and what is only of interest now.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the wire protocol's section 3")]
pub enum Reply {
    Welcome(Box<Welcome>),
    Snapshot(Box<Snapshot>),
    Ack {
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        t: Option<Json>,
        server_time: Timestamp,
    },
    Error {
        code: crate::Code,
        message: String,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        starts_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<crate::Reason>,
    },
    Ping,
    GoingAway {
        reconnect_after_ms: u64,
    },
    Reaction {
        from: PeerId,
        emoji: Arc<str>,
    },
    Speakers {
        speakers: Vec<PeerLevel>,
    },
    Quality {
        peer: PeerId,
        level: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        track: Option<Arc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        layer: Option<Arc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<QualityReason>,
    },
}

impl Reply {
    /// The `error` event of a refusal.
    pub fn error(refusal: &crate::Refusal, seq: Option<u64>) -> Self {
        Self::Error {
            code: refusal.code,
            message: refusal.message.clone(),
            retryable: refusal.code.is_retryable(),
            seq,
            retry_after_ms: refusal.retry_after_ms,
            starts_at: refusal.starts_at,
            reason: refusal.reason,
        }
    }
}
