//! The configuration of the service.

use std::sync::Arc;
use std::time::Instant;

use http_api::{ApiKeys, MeetingDirectory, NoApiKeys, NoMeetings, NoReplies, Replies};
use signaling_core::{Environment, HttpMedia, Seat, ServerKey, Watch};

use crate::address_limit::GateLimits;
use crate::authenticator::{Authenticator, OpenAuthenticator};
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

/// Learns that a client has joined, and when its request had arrived (by [`clock::now`]). It must not block.
pub type OnJoin = Arc<dyn Fn(&Seat, Instant) + Send + Sync>;

/// The configuration of a [`Signaling`](super::Signaling). [`SignalingConfig::new`] gives everything but the key a default.
#[non_exhaustive]
pub struct SignalingConfig {
    /// What the rooms are given: limits, keys, the media plane, what is kept.
    pub rooms: Environment,
    /// Decides who may enter at all.
    pub authenticator: Arc<dyn Authenticator>,
    /// The media plane's side of WHIP and WHEP; `None` for none.
    pub http_media: Option<Arc<dyn HttpMedia>>,
    /// Whether recording requires consent. Clients are told the feature `recording-consent`, and WHIP accepts a
    /// publisher only with its consent. Applies only if the media plane records.
    pub recording_consent: bool,
    /// The rooms of meetings.
    pub meetings: Arc<dyn MeetingDirectory>,
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
    /// Learns when a shard ends.
    pub watch: Watch,
    /// Learns of clients that join.
    pub on_join: OnJoin,
}

impl SignalingConfig {
    /// A server open to everyone, with peer-to-peer rooms that are kept in memory.
    pub fn new(key: ServerKey) -> Self {
        Self {
            rooms: Environment::new(key),
            authenticator: Arc::new(OpenAuthenticator),
            http_media: None,
            recording_consent: false,
            meetings: Arc::new(NoMeetings),
            api_keys: Arc::new(NoApiKeys),
            replies: Arc::new(NoReplies),
            minter: None,
            transports: Transports::default(),
            allowed_origins: Vec::new(),
            is_own_name: Arc::new(|_| false),
            public_url: None,
            gate: GateLimits::default(),
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            watch: Watch::default(),
            on_join: Arc::new(|_, _| ()),
        }
    }
}
