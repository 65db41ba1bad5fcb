//! The signaling service: its configuration, and the operations that every transport needs.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use http_api::Caller;
use signaling_core::meeting::MeetingCode;
use signaling_core::message::{Join, Resume};
use signaling_core::{
    ApiKeys, Arranged, Authenticator, Code, Grant, HostClaims, HttpMedia, IceProvider, JsonCodec, Limits,
    MediaPlane, MeetingDirectory, MessageCodec, NoApiKeys, NoIceServers, NoMedia, NoMeetings, NoObserver,
    NoReplies, NoStore, OpenAuthenticator, Placement, RecordScope, Refusal, Replies, RoomId, RoomName,
    RoomObserver, RoomStore, Rules, Scope, ServerKey, SessionClaims, SingleNode, TicketClaims, Timestamp,
    WallClock, Watch,
};
use tokio::task::JoinSet;

use crate::address_limit::{AddressLimit, GateLimits};
use crate::driver::{Hub, HubConfig, SystemEntropy};
use crate::tickets::{self, Tickets};
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

/// The configuration of a [`Signaling`]. [`SignalingConfig::new`] gives everything but the key a default.
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
    /// Which shard serves which room.
    pub placement: Arc<dyn Placement>,
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
            meetings: Arc::new(NoMeetings),
            observer: Box::new(|| Box::new(NoObserver)),
            api_keys: Arc::new(NoApiKeys),
            replies: Arc::new(NoReplies),
            minter: None,
            placement: Arc::new(SingleNode),
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

/// Signaling for any number of rooms. Cheap to clone.
#[derive(Clone)]
pub struct Signaling {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    codec: Arc<dyn MessageCodec>,
    limits: Limits,
    key: ServerKey,
    authenticator: Arc<dyn Authenticator>,
    meetings: Arc<dyn MeetingDirectory>,
    codes: AddressLimit,
    passwords: AddressLimit,
    api_keys: Arc<dyn ApiKeys>,
    replies: Arc<dyn Replies>,
    tickets: Tickets,
    minter: Option<Arc<TokenMinter>>,
    transports: Transports,
    allowed_origins: Vec<String>,
    is_own_name: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    public_url: Option<String>,
    /// How many requests were refused for their origin since the last log message, and when that was.
    refused_origins: Mutex<(u64, Option<Timestamp>)>,
    gate: AddressLimit,
    /// The same allowance again for clients that begin by polling: until they join, they have no connection to count.
    polls: AddressLimit,
    http_media: Option<Arc<dyn HttpMedia>>,
    recording_consent: bool,
    features: Arc<[String]>,
    /// The shards end with the service.
    _tasks: JoinSet<()>,
}

impl Signaling {
    /// Starts the shards on the current tokio runtime. They end when the last clone is dropped.
    pub fn start(config: SignalingConfig) -> Self {
        let SignalingConfig { key, limits, transports, .. } = config;
        let sfu = config.media.is_some();
        let recording_consent = config.recorder && config.recording_consent;
        let on = [
            ("websocket", transports.websocket),
            ("sse", transports.sse),
            ("socketio", transports.socketio),
            ("sfu", sfu),
            ("recording", config.recorder),
            ("recording-consent", recording_consent),
        ];
        let on = on.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned());
        let features: Arc<[String]> = on.chain(config.features).collect();
        let codec: Arc<dyn MessageCodec> = Arc::new(JsonCodec::new(limits.clone()));
        let rules = Rules {
            limits: limits.clone(),
            key: key.clone(),
            sfu,
            recorder: config.recorder,
            record: config.record,
        };
        let mut tasks = JoinSet::new();
        let hub = Hub::start(
            HubConfig {
                rules: Arc::new(rules),
                codec: Arc::clone(&codec),
                ice: config.ice,
                placement: config.placement,
                features: Arc::clone(&features),
                shards: config.shards,
                media: config.media.unwrap_or_else(|| Box::new(|| Box::new(NoMedia))),
                store: config.store,
                observer: config.observer,
                watch: config.watch,
            },
            &mut tasks,
        );
        let inner = Inner {
            hub,
            codec,
            limits,
            key,
            authenticator: config.authenticator,
            meetings: config.meetings,
            codes: AddressLimit::on_codes(),
            passwords: AddressLimit::on_passwords(),
            api_keys: config.api_keys,
            replies: config.replies,
            tickets: Tickets::default(),
            minter: config.minter,
            transports,
            allowed_origins: config.allowed_origins,
            is_own_name: config.is_own_name,
            refused_origins: Mutex::default(),
            public_url: config.public_url,
            gate: AddressLimit::on_sessions(config.gate),
            polls: AddressLimit::on_sessions(config.gate),
            http_media: config.http_media,
            recording_consent,
            features,
            _tasks: tasks,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The wire protocol's HTTP surface under `/api/v1`.
    pub fn router(&self) -> Router {
        crate::http::router(self)
    }

    /// Applies the rules of the API to routes of the embedder: origins are checked, bodies are limited, and wrong
    /// methods are answered with a [`Problem`](http_api::Problem).
    pub fn guard(&self, routes: Router) -> Router {
        crate::http::guard(self, routes)
    }

    /// Lets pages of allowed origins read the answers of these routes; no request is refused.
    pub fn share(&self, routes: Router) -> Router {
        crate::http::share(self, routes)
    }

    /// The handle to the rooms.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The features that the server announces to clients.
    pub fn features(&self) -> &[String] {
        &self.inner.features
    }

    /// Tells every client that the server is going away, and when to reconnect.
    pub async fn go_away(&self, reconnect_after: Duration) {
        self.inner.hub.go_away(reconnect_after).await;
    }

    pub(crate) fn codec(&self) -> &dyn MessageCodec {
        &*self.inner.codec
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn key(&self) -> &ServerKey {
        &self.inner.key
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

    /// The URL of a path of this server, for passing on to others. A program may use a name that resolves only where it
    /// runs, and a request without `Host` names none.
    pub(crate) fn link(&self, caller: &Caller, is_program: bool, path: &str) -> Result<String, Refusal> {
        let is_known = !is_program || caller.is_own_page() || caller.is_at_home();
        let own = caller.own_origin.as_deref().filter(|_| is_known);
        // If the accept loop does not report the caller, the embedder must complete the link.
        let unsaid = caller.ip.is_none().then_some("");
        let base = self.inner.public_url.as_deref().or(own).or(unsaid).ok_or_else(|| {
            let why =
                "nobody knows by which address people reach this server: its operator sets `--public-url`";
            Refusal::new(Code::InvalidState, why)
        })?;
        Ok(format!("{base}{path}"))
    }

    /// Whether a page of this origin may talk to the server: only its own, and those that were allowed.
    pub(crate) fn allows_origin(&self, caller: &Caller) -> bool {
        let Some(origin) = caller.origin.as_deref() else { return true };
        let is_public = self.public_origin().is_some_and(|own| own.eq_ignore_ascii_case(origin));
        let is_own = || caller.own_origin.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(origin));
        is_public || (is_own() && self.is_own_host(caller)) || self.is_foreign_allowed(origin)
    }

    /// The configured origin of the server, if there is one.
    fn public_origin(&self) -> Option<&str> {
        let url = self.inner.public_url.as_deref()?;
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        url.get(..scheme.len() + "://".len() + authority.len())
    }

    /// Whether the host in a request certainly means this server. Any name can be made to resolve to its address, so
    /// only an address, `localhost` or a name of its certificate proves it.
    fn is_own_host(&self, caller: &Caller) -> bool {
        let Some(host) = caller.reached_at() else { return false };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        address.parse::<std::net::IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || (self.inner.is_own_name)(&host)
    }

    /// Counts a request that was refused for its origin. Returns the count since the last log message when the next one
    /// is due, so that frequent requests do not fill the log.
    pub(crate) fn count_refused_origin(&self) -> Option<u64> {
        const PAUSE: Duration = Duration::from_secs(10);
        let now = self.inner.hub.clock().ticks();
        let mut told = self.inner.refused_origins.lock().unwrap_or_else(PoisonError::into_inner);
        told.0 += 1;
        if told.1.is_some_and(|at| now < at + PAUSE) {
            return None;
        }
        told.1 = Some(now);
        Some(std::mem::take(&mut told.0))
    }

    /// The origin that the server takes for its own, to be named in a refusal.
    pub(crate) fn own_origin(&self, caller: &Caller) -> Option<String> {
        self.public_origin().map(str::to_owned).or_else(|| caller.own_origin.clone())
    }

    /// Whether the origin was explicitly allowed.
    pub(crate) fn is_foreign_allowed(&self, origin: &str) -> bool {
        self.inner.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// Counts an attempt to open a session.
    pub(crate) fn pass_gate(&self, caller: &Caller) -> Result<(), Refusal> {
        self.inner.gate.take(self.inner.hub.clock().ticks(), caller.ip)
    }

    /// Counts a client that begins by polling.
    pub(crate) fn pass_poll_gate(&self, caller: &Caller) -> Result<(), Refusal> {
        self.inner.polls.take(self.inner.hub.clock().ticks(), caller.ip)
    }

    /// The join and its grant for the hub, with a code replaced by the room that it stands for.
    pub(crate) async fn admit(&self, caller: &Caller, mut join: Join) -> Result<(Join, Grant), Refusal> {
        self.pass_gate(caller)?;
        join.reached_at = caller.reached_at();
        let by_code = MeetingCode::parse(join.room.text()).is_some();
        let arranged = self.arranged(caller, &join.room).await?;
        // A code is itself an invitation; an id may have become known in other ways.
        let is_invited = by_code && arranged.is_some();
        if let Some(arranged) = &arranged {
            join.room = arranged.record.room.clone().into();
            join.create = false;
        }
        let grant = self.grant(&join, is_invited).await?;
        Ok((join, Grant { arranged, ..grant }))
    }

    /// Observes the outcome of a join. A wrong password counts against its address before the room's own limit, so that
    /// a stranger uses up only its own guesses.
    pub(crate) async fn guessing<T>(
        &self,
        caller: &Caller,
        has_password: bool,
        joining: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        if !has_password {
            return joining.await;
        }
        self.inner.passwords.take(self.inner.hub.clock().ticks(), caller.ip)?;
        let joined = joining.await;
        if joined.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            return joined;
        }
        self.inner.passwords.give_back(caller.ip);
        joined
    }

    /// The room that a code, a name or an id from `ip` means.
    pub async fn room(&self, ip: Option<IpAddr>, text: &str) -> Result<RoomId, Refusal> {
        let inner = &self.inner;
        let id = RoomId::of(text).map_err(|malformed| Refusal::bad_request(malformed.to_string()))?;
        let Some(code) = MeetingCode::parse(text) else { return Ok(id) };
        let is_code = MeetingCode::is_shape(text);
        if !is_code && inner.hub.summary(id.clone()).await?.is_some() {
            return Ok(id);
        }
        match self.count_guess(ip, inner.meetings.room_of_code(code)).await? {
            Some(room) => Ok(room),
            None if is_code => Err(no_such_code()),
            None => Ok(id),
        }
    }

    /// Looks a code up, unless too many were wrong recently.
    async fn count_guess<T>(
        &self,
        ip: Option<IpAddr>,
        look_up: impl Future<Output = Result<Option<T>, Refusal>>,
    ) -> Result<Option<T>, Refusal> {
        let codes = &self.inner.codes;
        codes.take(self.inner.hub.clock().ticks(), ip)?;
        let found = look_up.await;
        if !matches!(found, Ok(None)) {
            codes.give_back(ip);
        }
        found
    }

    /// The room of a meeting, if `name` is the meeting's code or the room's own name.
    async fn arranged(&self, caller: &Caller, name: &RoomName) -> Result<Option<Arranged>, Refusal> {
        let inner = &self.inner;
        let as_of = inner.hub.clock().ticks();
        let arranged = |record| Arranged { record: Arc::new(record), as_of };
        let id = name.id();
        let code = MeetingCode::parse(name.text());
        let is_code = code.is_some() && MeetingCode::is_shape(name.text());
        if code.is_none() && !id.is_made_by(&inner.key) {
            return Ok(None);
        }
        // An open room needs no look-up, so it works even if the store of meetings does not.
        if !is_code && inner.hub.summary(id.clone()).await?.is_some() {
            return Ok(None);
        }
        let Some(code) = code else { return Ok(inner.meetings.by_room(id).await?.map(arranged)) };
        match self.count_guess(caller.ip, inner.meetings.by_code(code)).await? {
            Some(record) => Ok(Some(arranged(record))),
            None if is_code => Err(no_such_code()),
            None => Ok(None),
        }
    }

    /// Succeeds if the bearer is an API key with the scope.
    pub(crate) async fn check_key(&self, bearer: Option<&str>, scope: Scope) -> Result<(), Refusal> {
        let missing = || Refusal::new(Code::Unauthorized, "an API key is needed as bearer");
        self.inner.api_keys.check(bearer.ok_or_else(missing)?, scope).await
    }

    /// Succeeds if the bearer is an API key for all rooms, or one whose own meeting takes place in this room.
    pub(crate) async fn check_room_key(
        &self,
        bearer: &str,
        room: &RoomId,
        own: Scope,
    ) -> Result<(), Refusal> {
        self.inner.api_keys.check_room(bearer, room, own).await
    }

    /// Succeeds if a room made by the server exists, or a permitted join would open it.
    pub(crate) async fn check_is_alive(&self, room: &RoomId) -> Result<(), Refusal> {
        let inner = &self.inner;
        let may_be_made = !room.is_made_by(&inner.key);
        if may_be_made
            || inner.hub.summary(room.clone()).await?.is_some()
            || inner.meetings.by_room(room).await?.is_some()
        {
            return Ok(());
        }
        Err(Refusal::new(Code::RoomEnded, "the room is over"))
    }

    /// Whether the bearer is the host token of this life of the room, for a room whose id the server made.
    pub(crate) async fn only_host(&self, bearer: &str, room: &RoomId) -> Result<bool, Refusal> {
        let inner = &self.inner;
        let Some(claims) = HostClaims::open(&inner.key, bearer).filter(|claims| claims.room == *room) else {
            return Ok(false);
        };
        if !room.is_made_by(&inner.key) {
            return Ok(false);
        }
        if let Some(summary) = inner.hub.summary(room.clone()).await? {
            return Ok(summary.life == claims.life);
        }
        Ok(inner.meetings.by_room(room).await?.is_some_and(|record| record.life == claims.life))
    }

    /// The answers to requests that may be repeated.
    pub(crate) fn replies(&self) -> &dyn Replies {
        &*self.inner.replies
    }

    /// A ticket for one event stream of a session.
    pub(crate) fn ticket(&self, session: SessionClaims) -> String {
        let expires_at = self.inner.hub.clock().now() + tickets::LIFETIME;
        let claims = TicketClaims::new(session, expires_at.as_millis(), &mut SystemEntropy);
        claims.seal(&self.inner.key, &mut SystemEntropy)
    }

    /// Redeems a ticket, which is then no longer valid.
    pub(crate) fn redeem(&self, ticket: &str) -> Result<SessionClaims, Refusal> {
        let claims = TicketClaims::open(&self.inner.key, ticket);
        let claims = claims.ok_or_else(|| Refusal::new(Code::Unauthorized, "this is no ticket"))?;
        self.inner.tickets.redeem(self.inner.hub.clock().now(), &claims)?;
        Ok(claims.session)
    }

    /// Whether the bearer is an API key, valid or not.
    pub(crate) fn is_api_key(&self, bearer: &str) -> bool {
        self.inner.api_keys.is_key(bearer)
    }

    /// Makes join tokens, if the server is configured to.
    pub(crate) fn minter(&self) -> Option<&TokenMinter> {
        self.inner.minter.as_deref()
    }

    /// The grant of a join before its room is asked. Host tokens belong to the room and are valid whatever the
    /// authenticator requires. An invited client needs no token.
    async fn grant(&self, join: &Join, is_invited: bool) -> Result<Grant, Refusal> {
        let now = self.inner.hub.clock().now();
        let host_token = join.token.as_deref().and_then(|token| HostClaims::open(&self.inner.key, token));
        if host_token.is_some_and(|claims| claims.room == *join.room.id()) {
            let without = Join { token: None, ..join.clone() };
            let grant = self.inner.authenticator.authenticate(now, &without);
            return Ok(grant.unwrap_or(Grant { hosts_only: true, ..Grant::default() }));
        }
        let join = match self.as_named(now, join).await? {
            Some(room) => &Join { room, ..join.clone() },
            None => join,
        };
        match self.inner.authenticator.authenticate(now, join) {
            Err(refusal) if is_invited && join.token.is_none() && refusal.code == Code::Unauthorized => {
                Ok(Grant::default())
            }
            granted => granted,
        }
    }

    /// The name by which a join's token means the room, if the join names that room by its meeting's code.
    async fn as_named(&self, now: Timestamp, join: &Join) -> Result<Option<RoomName>, Refusal> {
        let token = join.token.as_deref();
        let Some(named) = token.and_then(|token| self.inner.authenticator.names(now, token)) else {
            return Ok(None);
        };
        let Some(code) = MeetingCode::parse(&named) else { return Ok(None) };
        let room = self.inner.meetings.room_of_code(code).await?;
        Ok(RoomName::parse(&named).ok().filter(|_| room.as_ref() == Some(join.room.id())))
    }

    /// Whether the bearer may make a room by `POST /api/v1/rooms`.
    pub(crate) fn may_make_room(&self, bearer: Option<&str>) -> Result<(), Refusal> {
        self.inner.authenticator.may_make_room(self.inner.hub.clock().now(), bearer)
    }

    /// Whether the bearer is a join token for the room.
    pub(crate) async fn is_join_token(&self, room: &RoomId, bearer: &str) -> bool {
        let named = self.inner.authenticator.names(self.inner.hub.clock().now(), bearer);
        match named {
            // A code in a validly signed token is no guess.
            Some(named) => self.room(None, &named).await.is_ok_and(|meant| meant == *room),
            None => false,
        }
    }

    /// The claims in a resume's secret.
    pub(crate) fn claims(&self, resume: &Resume) -> Result<SessionClaims, Refusal> {
        self.open_secret(&resume.secret)
            .filter(|claims| claims.session == resume.session)
            .ok_or_else(|| Refusal::new(Code::Unauthorized, "the secret does not open this session"))
    }

    pub(crate) fn open_secret(&self, secret: &str) -> Option<SessionClaims> {
        SessionClaims::open(&self.inner.key, secret)
    }
}

fn no_such_code() -> Refusal {
    Refusal::new(Code::NotFound, "there is no meeting with this code")
}
