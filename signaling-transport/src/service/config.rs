//! The configuration of the service.

use std::sync::Arc;

use signaling_core::{
    ApiKeys, Authenticator, HttpMedia, IceProvider, Limits, MediaPlane, MeetingDirectory, NoApiKeys,
    NoIceServers, NoMeetings, NoObserver, NoReplies, NoRoomLog, NoStore, OpenAuthenticator, RecordScope,
    Replies, RoomLog, RoomObserver, RoomStore, ServerKey, Watch,
};

use crate::address_limit::GateLimits;
use crate::tokens::TokenMinter;

/// The enabled transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transports {
    /// `GET /api/v1/ws`.
    pub websocket: bool,
    /// `POST /api/v1/sessions` and its event stream.
    pub sse: bool,
    /// `/socket.io/`.
    pub socketio: bool,
}

impl Default for Transports {
    fn default() -> Self {
        Self { websocket: true, sse: true, socketio: true }
    }
}

/// The configuration of a [`Signaling`](super::Signaling). [`SignalingConfig::new`] gives everything but the key a default.
#[non_exhaustive]
pub struct SignalingConfig {
    /// The key behind session secrets, host tokens and room ids: 32 random bytes that outlive the process.
    pub key: ServerKey,
    /// Sizes, counts and times.
    pub limits: Limits,
    /// Decides who may enter at all.
    pub authenticator: Arc<dyn Authenticator>,
    /// The STUN and TURN servers for peers that join.
    pub ice: Arc<dyn IceProvider>,
    /// The media plane of each shard's rooms; `None` leaves media to the peers.
    pub media: Option<Box<dyn Fn() -> Box<dyn MediaPlane> + Send>>,
    /// The media plane's side of WHIP and WHEP; `None` for none.
    pub http_media: Option<Arc<dyn HttpMedia>>,
    /// Whether the media plane records.
    pub recorder: bool,
    /// The publishers that it records in every room without a host's request.
    pub record: RecordScope,
    /// Whether recording requires consent. Clients are told the feature `recording-consent`, and WHIP accepts a
    /// publisher only with its consent. Applies only if the media plane records.
    pub recording_consent: bool,
    /// The store of each shard's rooms.
    pub store: Box<dyn Fn() -> Box<dyn RoomStore> + Send>,
    /// The log of each shard's rooms, which keeps their latest chat.
    pub log: Box<dyn Fn() -> Box<dyn RoomLog> + Send>,
    /// The rooms of meetings.
    pub meetings: Arc<dyn MeetingDirectory>,
    /// Learns what happens in the rooms of meetings.
    pub observer: Box<dyn Fn() -> Box<dyn RoomObserver> + Send>,
    /// API keys of other programs, for `/api/v1/rooms`.
    pub api_keys: Arc<dyn ApiKeys>,
    /// Stores the answers to those programs, for requests that are repeated.
    pub replies: Arc<dyn Replies>,
    /// Makes join tokens for those programs.
    pub minter: Option<Arc<TokenMinter>>,
    /// Which transports are on.
    pub transports: Transports,
    /// Allowed origins besides the server's own, as browsers write them; `null` for pages without an origin, which get
    /// no cookies.
    pub allowed_origins: Vec<String>,
    /// Whether a host name certainly belongs to the server, as the names in its certificate do. Pages under another
    /// name, except that of `public_url`, are not taken for the server's own, since any name can be made to resolve to
    /// any address.
    pub is_own_name: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The URL under which the server is known outside, perhaps with a path, without a trailing slash; by default that
    /// of each request.
    pub public_url: Option<String>,
    /// Limits on how fast one address may open sessions.
    pub gate: GateLimits,
    /// The number of shards; one per core is enough.
    pub shards: usize,
    /// Further features to announce to clients.
    pub features: Vec<String>,
    /// Learns when a shard ends.
    pub watch: Watch,
}

impl SignalingConfig {
    /// A server open to everyone, with peer-to-peer rooms that are kept in memory.
    pub fn new(key: ServerKey) -> Self {
        Self {
            key,
            limits: Limits::default(),
            authenticator: Arc::new(OpenAuthenticator),
            ice: Arc::new(NoIceServers),
            media: None,
            http_media: None,
            recorder: false,
            record: RecordScope::Nobody,
            recording_consent: false,
            store: Box::new(|| Box::new(NoStore)),
            log: Box::new(|| Box::new(NoRoomLog)),
            meetings: Arc::new(NoMeetings),
            observer: Box::new(|| Box::new(NoObserver)),
            api_keys: Arc::new(NoApiKeys),
            replies: Arc::new(NoReplies),
            minter: None,
            transports: Transports::default(),
            allowed_origins: Vec::new(),
            is_own_name: Arc::new(|_| false),
            public_url: None,
            gate: GateLimits::default(),
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            features: Vec::new(),
            watch: Watch::default(),
        }
    }
}
