//! The signaling service: the state that every transport uses, and what a client may do with it.

mod admission;
mod authorization;
mod config;
mod origins;

use std::sync::Arc;
use std::time::Duration;

use http_api::{ApiKeys, MeetingDirectory, Replies};
use signaling_core::{HttpMedia, JsonCodec, Limits, RecordScope, Rules, ServerKey};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

pub use self::config::{OnJoin, SignalingConfig, Transports};
pub(crate) use self::origins::Origins;
use crate::address_limit::AddressLimit;
use crate::authenticator::Authenticator;
use crate::cause_counts::CauseCounts;
use crate::driver::Hub;
use crate::tickets::Tickets;
use crate::tokens::TokenMinter;

/// How long clients that poll have to fetch the last packets.
const NEXT_POLL: Duration = Duration::from_secs(1);

/// Signaling for any number of rooms. Cheap to clone.
#[derive(Clone)]
pub struct Signaling {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    codec: Arc<JsonCodec>,
    rules: Arc<Rules>,
    authenticator: Arc<dyn Authenticator>,
    meetings: Arc<dyn MeetingDirectory>,
    codes: AddressLimit,
    passwords: AddressLimit,
    api_keys: Arc<dyn ApiKeys>,
    replies: Arc<dyn Replies>,
    tickets: Tickets,
    minter: Option<Arc<TokenMinter>>,
    transports: Transports,
    origins: Origins,
    gate: AddressLimit,
    /// The same allowance again for clients that begin by polling: until they join, they have no connection to count.
    polls: AddressLimit,
    http_media: Option<Arc<dyn HttpMedia>>,
    recording_consent: bool,
    features: Arc<[String]>,
    causes: Arc<CauseCounts>,
    on_join: OnJoin,
    /// The clients that poll.
    polling: TaskTracker,
    /// The shards end with the service.
    _tasks: JoinSet<()>,
}

impl Signaling {
    /// Starts the shards on the current tokio runtime. They end when the last clone is dropped.
    pub fn start(config: SignalingConfig) -> Self {
        let SignalingConfig { mut rooms, transports, .. } = config;
        let rules = Arc::clone(&rooms.rules);
        let recording_consent = rules.recorder && config.recording_consent;
        let on = [
            ("websocket", transports.websocket),
            ("sse", transports.sse),
            ("socketio", transports.socketio),
            ("sfu", rules.sfu),
            // The SFU of this workspace takes a camera in several sizes. What is recorded from its first picture on comes
            // in one: the recorder would wait for the best size.
            ("simulcast", rules.sfu && rules.record == RecordScope::Nobody),
            ("recording", rules.recorder),
            ("recording-consent", recording_consent),
        ];
        let on = on.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned());
        let features: Arc<[String]> = on.chain(rooms.features.iter().cloned()).collect();
        rooms.features = Arc::clone(&features);
        let codec = Arc::clone(&rooms.codec);
        let mut tasks = JoinSet::new();
        let hub = Hub::start(rooms, config.shards, &config.watch, &mut tasks);
        let inner = Inner {
            hub,
            codec,
            rules,
            authenticator: config.authenticator,
            meetings: config.meetings,
            codes: AddressLimit::on_codes(),
            passwords: AddressLimit::on_passwords(),
            api_keys: config.api_keys,
            replies: config.replies,
            tickets: Tickets::default(),
            minter: config.minter,
            transports,
            origins: Origins::new(config.allowed_origins, config.is_own_name, config.public_url),
            gate: AddressLimit::on_sessions(config.gate),
            polls: AddressLimit::on_sessions(config.gate),
            http_media: config.http_media,
            recording_consent,
            features,
            causes: Arc::default(),
            on_join: config.on_join,
            polling: TaskTracker::new(),
            _tasks: tasks,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The handle to the rooms.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The causes of failures that clients have reported.
    pub fn causes(&self) -> &Arc<CauseCounts> {
        &self.inner.causes
    }

    /// The features that the server announces to clients.
    pub fn features(&self) -> &[String] {
        &self.inner.features
    }

    /// Tells every client that the server is going away, and when to reconnect. A client that polls hears it with its
    /// next request, which may need a new connection, so the server must accept connections until this returns.
    pub async fn go_away(&self, reconnect_after: Duration) {
        self.inner.hub.go_away(reconnect_after).await;
        self.inner.polling.close();
        let _ = tokio::time::timeout(NEXT_POLL, self.inner.polling.wait()).await;
    }

    pub(crate) fn polling_clients(&self) -> &TaskTracker {
        &self.inner.polling
    }

    pub(crate) fn codec(&self) -> &JsonCodec {
        &self.inner.codec
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.rules.limits
    }

    pub(crate) fn key(&self) -> &ServerKey {
        &self.inner.rules.key
    }

    pub(crate) fn http_media(&self) -> Option<Arc<dyn HttpMedia>> {
        self.inner.http_media.clone()
    }

    /// Whether publishers must consent to being recorded.
    pub(crate) fn recording_consent(&self) -> bool {
        self.inner.recording_consent
    }

    pub(crate) fn transports(&self) -> Transports {
        self.inner.transports
    }

    /// The origins whose pages may talk to the server.
    pub(crate) fn origins(&self) -> &Origins {
        &self.inner.origins
    }

    /// The answers to requests that may be repeated.
    pub(crate) fn replies(&self) -> &dyn Replies {
        &*self.inner.replies
    }

    /// Makes join tokens, if the server is configured to.
    pub(crate) fn minter(&self) -> Option<&TokenMinter> {
        self.inner.minter.as_deref()
    }
}
