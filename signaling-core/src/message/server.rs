//! Messages from the server to a client.

use std::sync::Arc;

use serde::Serialize;

use super::{
    CallEnd, CallState, EndReason, HostToken, IceServer, Json, LeaveReason, LobbyVerdict, Name, PeerLevel,
    PeerTarget, QualityReason, RecordingState, Role, SignalBody, Switch, Topology, Track,
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
    /// Its connection is closed; its session may still resume.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub away: bool,
    /// For a broadcaster: its media is flowing.
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
    /// The room's name, as first written.
    pub name: String,
    /// The title of the room's meeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    /// The path of media.
    pub topology: Topology,
    /// Increases with every change of topology.
    pub epoch: u64,
    /// Newcomers are refused.
    pub locked: bool,
    /// The announced host: an appointed one before an acting one, then the most senior.
    #[cfg_attr(feature = "typescript", ts(optional = false))]
    pub host: Option<PeerId>,
    /// Newcomers wait until a host admits them.
    pub lobby: bool,
    /// Newcomers must give a password.
    pub password: bool,
    /// Media is being recorded.
    pub recording: bool,
    /// The number of viewers.
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
    /// Those for connections to other peers, where they may be more: a server at the media server's own address and port,
    /// which browsers cannot use towards the media server.
    #[cfg_attr(feature = "typescript", ts(optional))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_ice_servers: Option<Vec<IceServer>>,
    /// The lifetime of the credentials in seconds.
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub ttl_seconds: u64,
}

/// Whether a peer has been admitted to the room.
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
    /// The client's own peer.
    #[serde(rename = "self")]
    pub me: PeerView,
    /// The session's id.
    pub session: SessionId,
    /// The secret that resumes the session.
    pub secret: String,
    /// In the room, or in the lobby.
    pub state: WelcomeState,
    /// The room.
    pub room: RoomView,
    /// The other peers; viewers are included for a host only. Absent after a resume and in the lobby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<PeerView>>,
    /// The host token, for the join that makes the first host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_token: Option<HostToken>,
    /// STUN and TURN servers; absent in the lobby.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub ice: Option<IceServers>,
    /// The interval at which each side sends something.
    pub heartbeat_ms: u64,
    /// How long a session lives without a connection.
    pub resume_window_ms: u64,
    /// The cursor: events after this one follow.
    pub last_id: u64,
    /// Whether this answers a `resume`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub resumed: bool,
    /// After a resume: the greatest `seq` that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// The features that the server supports.
    pub features: Arc<[String]>,
}

/// The state of a room, for a client that missed events.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The room.
    pub room: RoomView,
    /// The other peers; viewers are included for a host only.
    pub peers: Vec<PeerView>,
    /// Whether events before it are missing. The client then renegotiates what no longer works.
    pub gap: bool,
    /// The cursor: events after this one follow.
    pub last_id: u64,
}

/// Sequenced events: logged, numbered, and replayed to sessions that resume.
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
    Caption {
        source: Name,
        text: Arc<str>,
        #[serde(rename = "final")]
        is_final: bool,
        at: Timestamp,
    },
    Call {
        call: CallId,
        state: CallState,
        from: PeerId,
        to: PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<CallEnd>,
    },
    Lobby {
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<LobbyVerdict>,
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

/// Messages without an id: answers, and events that are of interest only at present.
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
    Layers {
        track: Arc<str>,
        active: Arc<[Arc<str>]>,
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
