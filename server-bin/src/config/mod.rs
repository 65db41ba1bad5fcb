//! The settings: every option, declared once.
//!
//! A setting has one name in all sources: `ice_server` is the flag `--ice-server`, the environment variable
//! `VISAVIS_ICE_SERVER` and the key `ice-server` of the TOML file. Flags override the environment, which overrides the
//! file. To add a setting, add a paragraph to [`Settings`] below.

mod auth_key;
mod error;
mod ice_server;
mod layers;
mod listen;
mod number;
mod origin;
mod otlp;
mod secret;
mod shown;
mod store_option;
mod turn;
mod value;
mod web_origin;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

pub(crate) use auth_key::AuthKey;
pub(crate) use error::ConfigError;
pub(crate) use ice_server::IceServer;
pub(crate) use layers::{Environment, Layers};
pub(crate) use listen::Listen;
pub(crate) use number::Number;
pub(crate) use origin::Origin;
pub(crate) use otlp::OtlpEndpoint;
pub(crate) use secret::SharedSecret;
pub(crate) use store_option::StoreOption;
pub(crate) use turn::{DiscoveryAddresses, ExternalIp, PortRange, SecretText};
pub(crate) use value::{Shape, Value};
pub(crate) use web_origin::{AllowedOrigin, FrameAncestor, PublicUrl};
pub(crate) use words::{LogFilter, LogFormat, OnOff, RecordMode, RelayKind, TlsMode, Transport, Transports};

/// One option, as far as it is known before its value is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The field of [`Settings`].
    pub(crate) field: &'static str,
    /// What it is for, in one or more sentences.
    pub(crate) help: &'static str,
    /// What stands for its value in the help.
    pub(crate) value_name: &'static str,
    /// Its value when nobody sets it; empty for none.
    pub(crate) default: &'static str,
    /// An environment variable that is understood besides its own.
    pub(crate) alias: Option<&'static str>,
    pub(crate) shape: Shape,
}

impl Setting {
    /// Its name as a flag (without the dashes before it) and in the file.
    pub(crate) fn key(&self) -> String {
        self.field.replace('_', "-")
    }

    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("VISAVIS_{}", self.field.to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $field:ident: $type:ty, $value_name:literal, $default:literal $(, $alias:literal)?; )+) => {
        /// The merged settings.
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $( $(#[doc = $help])+ pub(crate) $field: $type, )+
        }

        impl Settings {
            /// All settings.
            pub(crate) const TABLE: &[Setting] = &[$( Setting {
                field: stringify!($field),
                help: concat!($($help),+),
                value_name: $value_name,
                default: $default,
                alias: settings!(@alias $($alias)?),
                shape: <$type as Value>::SHAPE,
            }, )+];

            /// Reads the values that [`Layers`] found.
            fn parse(layers: &Layers) -> Result<Self, ConfigError> {
                Ok(Self { $( $field: layers.parse(stringify!($field))?, )+ })
            }

            /// The values as the file would have them, secrets hidden; `None` for what is not set.
            fn shown(&self) -> Vec<(&'static str, Option<toml::Value>)> {
                vec![$( (stringify!($field), self.$field.shown()), )+]
            }
        }
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}

// name: type, value in the help, default, and another environment variable if there is one.
settings! {
    /// Address and port for http and https, TCP. `[::]` stands for every address, of IPv4 as well.
    listen: Listen, "HOST:PORT", "[::]:8080";
    /// Serve everything on the port of --listen: on TCP the page, TURN and media, on UDP media, STUN and TURN. Clients are
    /// told the port of --public-url.
    one_port: bool, "BOOL", "false";
    /// Ways for clients to connect: websocket, sse (server-sent events), socketio, separated by commas.
    transports: Transports, "LIST", "websocket,sse,socketio";
    /// Where certificates come from: `auto` makes one for this machine and keeps it, `files` reads --tls-cert and
    /// --tls-key (and reads them again when they change), `off` serves plain http alone, `acme` orders them for the
    /// host of --public-url from --acme-directory. Naming both files means `files`.
    tls: TlsMode, "MODE", "auto";
    /// Address for mail from the ACME directory (--tls acme), to which its terms of service are agreed.
    acme_email: Option<String>, "ADDRESS", "";
    /// ACME directory that --tls acme orders certificates from.
    acme_directory: String, "URL", "https://acme-v02.api.letsencrypt.org/directory";
    /// Address and port for the ACME directory's checks over plain http (HTTP-01), as in `[::]:80`; everything else that
    /// comes there is redirected to the page. By default the directory checks on port 443 of --public-url (TLS-ALPN-01).
    acme_http_listen: Option<Listen>, "HOST:PORT", "";
    /// Certificate chain, PEM, leaf first.
    tls_cert: Option<PathBuf>, "FILE", "";
    /// Private key of the certificate, PEM.
    tls_key: Option<PathBuf>, "FILE", "";
    /// Redirect plain http to https, except on localhost.
    redirect_to_https: bool, "BOOL", "false";
    /// Folder for data that must outlive the process; its secrets are created on the first start.
    data_dir: PathBuf, "DIR", "./visavis-data";
    /// STUN or TURN server for clients besides the built-in one: a URL, or URL,USERNAME,CREDENTIAL. Repeatable.
    ice_server: Vec<IceServer>, "SERVER", "";
    /// Disable the media server: rooms are then peer to peer only.
    no_sfu: bool, "BOOL", "false";
    /// UDP port of the media server, through which all its media goes, on the address of --listen; on every address if
    /// that is loopback and --trusted-proxy or --public-url indicates a proxy in front. With --one-port the port of --listen.
    media_port: u16, "PORT", "8080";
    /// Threads of the media server, 256 at most; 0 means one per core.
    workers: Number<0, 256>, "NUMBER", "0";
    /// What the server records by itself: `all` media that passes the media server (rooms then use it from the first
    /// participant on), `broadcasters`, or `off`. Hosts may record their rooms in any case.
    record: RecordMode, "MODE", "off";
    /// Require consent to be recorded: the page asks before it publishes, and WHIP accepts a publisher only with
    /// `?recording-consent=yes`.
    recording_consent: bool, "BOOL", "false";
    /// Folder for recordings; by default `recordings` in the data folder.
    recording_dir: Option<PathBuf>, "DIR", "";
    /// Sync each fragment of a recording to the disk, so that recordings survive a power failure too.
    recording_fsync: bool, "BOOL", "false";
    /// Whether ffmpeg remuxes or transcodes finished recordings: on or off. VP8 becomes H.264 in MP4, and the index of an
    /// MP4 moves to its beginning.
    recording_finalize: OnOff, "on|off", "on";
    /// Days after which a finished recording is deleted; 0 means never.
    recording_keep_days: Number<0, 36_500>, "NUMBER", "0";
    /// GiB that all recordings may occupy: beyond that the oldest are deleted. 0 means no limit.
    recording_keep_gib: Number<0, 1_048_576>, "NUMBER", "0";
    /// Object storage to which finished recordings are uploaded: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or
    /// `az://CONTAINER/PREFIX`. Without it they stay in their folder.
    recording_store: Option<String>, "URL", "";
    /// How to reach --recording-store, as in `endpoint=https://minio.example` or `access_key_id=…`. The environment's
    /// variables AWS_…, GOOGLE_… and AZURE_… are used for options that are not given. Repeatable.
    recording_store_option: Vec<StoreOption>, "NAME=VALUE", "";
    /// Whether recordings stay in their folder when --recording-store has confirmed them: on or off.
    recording_keep_local: OnOff, "on|off", "on";
    /// ffmpeg, by name or path.
    ffmpeg: PathBuf, "PROGRAM", "ffmpeg";
    /// Disable recording.
    no_recording: bool, "BOOL", "false";
    /// Disable the STUN and TURN server.
    no_turn: bool, "BOOL", "false";
    /// Address and port of the built-in STUN and TURN server, UDP and TCP. With --one-port those of --listen.
    turn_listen: Listen, "HOST:PORT", "[::]:3478";
    /// Secret that TURN credentials are derived from, at least 16 bytes, or the name of a file containing it; generated on
    /// the first start. An external coturn (use-auth-secret) or another node with the same secret accepts the
    /// credentials too.
    turn_secret: Option<SharedSecret>, "SECRET", "";
    /// Address to open relays on instead of the one that the client connected to. Repeatable, one for each family.
    turn_relay_ip: Vec<IpAddr>, "IP", "";
    /// Where relays exist: `ports` opens a UDP port of --turn-relay-ports for each. `inside` opens none: relays then reach
    /// one another and the media server, which suffices for calls, and no other peer. With --one-port the default is inside.
    turn_relay: RelayKind, "KIND", "ports";
    /// Ports on which relays are opened; with --turn-relay inside, the numbers that they show.
    turn_relay_ports: PortRange, "LOW-HIGH", "49152-65535";
    /// Non-public network or address that relays may reach, as in 192.168.1.0/24. Repeatable.
    turn_allow_peer: Vec<IpNet>, "CIDR", "";
    /// Answer behaviour discovery (RFC 5780) on two addresses of this machine, on the port of --turn-listen and the next
    /// one, so that clients can determine the kind of NAT in front of them.
    turn_discovery: Option<DiscoveryAddresses>, "IP,IP", "";
    /// Open TCP relays, too (RFC 6062), for clients that connect over TCP or TLS. The relay then runs on one thread.
    turn_tcp_relays: bool, "BOOL", "false";
    /// Let a relay follow its client to another address (RFC 8016). The relay then runs on one thread.
    turn_mobility: bool, "BOOL", "false";
    /// Server that TURN clients are sent to while this one drains, as in 198.51.100.8:3478. Repeatable, one for each family.
    turn_alternate: Vec<SocketAddr>, "IP:PORT", "";
    /// Public address of this machine behind 1:1 NAT: PUBLIC, or PUBLIC/PRIVATE. Repeatable.
    external_ip: Vec<ExternalIp>, "IP", "";
    /// Address and port at which /metrics serves Prometheus. Off by default; do not expose it to the public.
    metrics_listen: Option<Listen>, "HOST:PORT", "";
    /// Receiver of OpenTelemetry traces, by OTLP over HTTP (protobuf), as in `http://127.0.0.1:4318`: each join is a trace,
    /// up to the first picture. They contain rooms' ids.
    otlp: Option<OtlpEndpoint>, "URL", "", "OTEL_EXPORTER_OTLP_ENDPOINT";
    /// Key that verifies join tokens (JWT): a secret of at least 32 bytes (HS256), an Ed25519 public key as PEM, base64 or
    /// JWK, or the name of a file containing one. With a key, joining requires a join token or a host token. Repeatable.
    auth_key: Vec<AuthKey>, "KEY", "";
    /// Whether clients without a token may create rooms: on or off. With --auth-key the default is off.
    anonymous_rooms: OnOff, "on|off", "on";
    /// Whether the data folder keeps the latest chat of rooms while they live, so that a restart of the server loses
    /// none: on or off.
    keep_chat: OnOff, "on|off", "on";
    /// Secret from which the keys of sessions and of the relay are derived, or the name of a file containing it: the same on
    /// every server of an installation. By default a server makes keys of its own and stores them in the data folder.
    cluster_secret: Option<SharedSecret>, "SECRET", "";
    /// Database of meetings on a PostgreSQL server, as in `postgres://user:password@host/name`; by default they are stored
    /// in the data folder.
    database_url: Option<SecretText>, "URL", "";
    /// Mail server for invitations, as in `smtps://user:password@mail.example.org`; `smtp://…?tls=required` for STARTTLS.
    /// Without it the server sends no mail.
    smtp: Option<SecretText>, "URL", "";
    /// Sender of invitations, as in `Calls <calls@example.org>`.
    mail_from: Option<String>, "ADDRESS", "";
    /// Days for which an ended meeting is kept, with its attendees' names and addresses; 0 means for ever.
    meeting_keep_days: Number<0, 36_500>, "NUMBER", "30";
    /// Receiver of the webhooks of all meetings and rooms, besides those of single meetings.
    webhook_url: Option<String>, "URL", "";
    /// Secret that signs these webhooks: `whsec_` and the base64 of 24 to 64 bytes.
    webhook_secret: Option<SecretText>, "SECRET", "";
    /// Whether webhooks of meetings may go to non-public addresses and follow redirects. Enable it only if everybody who can book
    /// meetings may reach everything that this machine can reach.
    webhook_allow_private: bool, "BOOL", "false";
    /// Public address of the server, if it differs from this machine's own, as in `https://calls.example` or
    /// `https://example.org/visavis/`.
    public_url: Option<PublicUrl>, "URL", "";
    /// Network or address of proxies whose X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and Forwarded headers are
    /// trusted. Repeatable.
    trusted_proxy: Vec<IpNet>, "CIDR", "";
    /// Origin whose pages may use this server: of another site, as in `https://www.example`; of an app or an extension, as
    /// in `capacitor://localhost`; or `null` for every page with an opaque origin, which any site can create. Repeatable.
    allowed_origin: Vec<AllowedOrigin>, "ORIGIN", "";
    /// Site that may show the page in a frame: an origin, or `self`. By default no site may. Repeatable.
    frame_ancestors: Vec<FrameAncestor>, "ORIGIN", "";
    /// Connections that one address may have open (IPv6: one /64). 0 means no limit.
    connections_per_address: Number<0, 1_000_000>, "NUMBER", "1000";
    /// New connections per second from one address, sustained; bursts may be five times as large. 0 means no limit.
    new_connections_per_second: Number<0, 1_000_000>, "NUMBER", "50";
    /// Seconds for which the server still listens after the shutdown signal, for load balancers that poll /readyz; a day
    /// at most.
    drain_delay: Number<0, 86_400>, "SECONDS", "0";
    /// Seconds that requests in progress have to finish at shutdown; a day at most.
    drain_timeout: Number<0, 86_400>, "SECONDS", "5";
    /// How log lines are written: text or json. They go to standard error.
    log_format: LogFormat, "FORMAT", "text";
    /// Lowest level that is logged: error, warn, info, debug or trace; a crate's own level after a comma, as in
    /// `info,signaling_transport=debug`.
    log_level: LogFilter, "LEVEL", "info";
    /// Whether the process gives up, at its start, everything that the server does not need, as far as the kernel can
    /// (Landlock, seccomp): on or off.
    sandbox: OnOff, "on|off", "on";
    /// For work on Visavis itself: logs at level debug unless --log-level says otherwise.
    dev_mode: bool, "BOOL", "false", "DEV_MODE";
    /// Version that /version shows instead of the program's own.
    app_version: Option<String>, "TEXT", "", "APP_VERSION";
}

impl Settings {
    /// Checks that nothing is set for other ports than the one, and that relays without ports are asked for nothing that
    /// needs them.
    fn check_ports(&self, told: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        let clash = |text| Err(ConfigError::Clash(text));
        if self.one_port && told("media_port") && self.media_port != self.listen.port() {
            return clash("--one-port serves media on the port of --listen: leave --media-port out");
        }
        if self.one_port && told("turn_listen") && self.turn_listen != self.listen {
            return clash("--one-port serves STUN and TURN on the port of --listen: leave --turn-listen out");
        }
        if self.one_port && self.turn_discovery.is_some() {
            return clash("--turn-discovery needs two ports, and --one-port has one");
        }
        if self.turn_relay == RelayKind::Inside && self.turn_tcp_relays {
            return clash("--turn-tcp-relays needs --turn-relay ports");
        }
        Ok(())
    }

    /// Checks that ACME has what it needs, and that nothing is set for it in vain.
    fn check_acme(&self) -> Result<(), ConfigError> {
        let is_acme = self.tls == TlsMode::Acme;
        if !is_acme && (self.acme_email.is_some() || self.acme_http_listen.is_some()) {
            return Err(ConfigError::Clash("--acme-email and --acme-http-listen need --tls acme"));
        }
        if is_acme && self.acme_email.as_ref().is_none_or(|email| !email.contains('@')) {
            return Err(ConfigError::Clash(
                "--tls acme needs --acme-email, an address for the directory's mail",
            ));
        }
        if is_acme && self.public_url.as_ref().is_none_or(|url| url.name().is_none()) {
            return Err(ConfigError::Clash(
                "--tls acme needs --public-url, with https and the name to certify",
            ));
        }
        Ok(())
    }
}

/// The settings, and where each came from.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    layers: Layers,
}

impl Config {
    /// Reads the values that were found, and checks what hangs together.
    pub(crate) fn new(layers: Layers) -> Result<Self, ConfigError> {
        let mut settings = Settings::parse(&layers)?;
        let told = |field: &str| *layers.origin(field) != Origin::Default;
        match (&settings.tls_cert, &settings.tls_key) {
            (Some(_), Some(_)) if !told("tls") => settings.tls = TlsMode::Files,
            (Some(_), Some(_)) if settings.tls == TlsMode::Files => {}
            (None, None) if settings.tls != TlsMode::Files => {}
            (Some(_), Some(_)) => {
                return Err(ConfigError::Clash("--tls-cert and --tls-key need --tls files"));
            }
            _ => return Err(ConfigError::Clash("--tls files needs --tls-cert and --tls-key")),
        }
        settings.check_acme()?;
        if settings.one_port && !told("turn_relay") {
            settings.turn_relay = RelayKind::Inside;
        }
        settings.check_ports(told)?;
        if settings.one_port {
            settings.media_port = settings.listen.port();
            settings.turn_listen = settings.listen.clone();
        }
        if settings.smtp.is_some() && settings.mail_from.is_none() {
            return Err(ConfigError::Clash("--smtp needs --mail-from"));
        }
        if settings.smtp.is_none() && settings.mail_from.is_some() {
            return Err(ConfigError::Clash("--mail-from needs --smtp: without it nobody is sent mail"));
        }
        if settings.smtp.is_some() && settings.public_url.is_none() {
            // Otherwise the links in mails would begin with the `Host` header of the booking request.
            return Err(ConfigError::Clash("--smtp needs --public-url: the mails have links in them"));
        }
        if settings.webhook_url.is_some() != settings.webhook_secret.is_some() {
            return Err(ConfigError::Clash("--webhook-url and --webhook-secret need each other"));
        }
        if settings.recording_store.is_none() && !settings.recording_store_option.is_empty() {
            return Err(ConfigError::Clash("--recording-store-option needs --recording-store"));
        }
        if settings.recording_store.is_none() && settings.recording_keep_local == OnOff::Off {
            return Err(ConfigError::Clash("--recording-keep-local off needs --recording-store"));
        }
        if settings.redirect_to_https && settings.tls == TlsMode::Off {
            return Err(ConfigError::Clash("--redirect-to-https needs TLS, and --tls is off"));
        }
        if !settings.auth_key.is_empty() && !told("anonymous_rooms") {
            settings.anonymous_rooms = OnOff::Off;
        }
        if settings.dev_mode && !told("log_level") {
            settings.log_level = LogFilter::debug();
        }
        Ok(Self { settings, layers })
    }

    /// The names of the settings that are not as in `other`. Of secrets it is not told whether they have changed.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let both = self.settings.shown().into_iter().zip(other.settings.shown());
        both.filter(|(one, other)| one != other).map(|((field, _), _)| field.replace('_', "-")).collect()
    }

    /// The merged settings as TOML, each with where it came from, secrets hidden.
    pub(crate) fn to_toml(&self) -> String {
        shown::toml(self.settings.shown(), &self.layers)
    }
}

#[cfg(test)]
mod tests;
