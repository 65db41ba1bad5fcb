//! The built-in STUN and TURN server, and its announcement to clients.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signaling_core::message::{IceServer, IceServers};
use signaling_core::{Engine, IceProvider, PeerId, RoomId, Timestamp, Watch};
use signaling_transport::net::{RelayConnection, RelayListener};
use stun_turn::{
    BehaviourDiscovery, Certificate, ClientConnection, Config, ExternalAddress, Features, Handle, Heartbeat,
    Listener, PeerPolicy, RelayPeer, Server, Transport, credentials,
};

use crate::certificate::Pem;
use crate::config::{Settings, TlsMode};
use crate::data_dir::DataDir;
use crate::keys::{self, key};
use crate::media::page_port;
use crate::relay_bridge::MediaPeer;

/// Lifetime of credentials. A client renews them before it restarts ICE.
pub(crate) const CREDENTIALS_LIFETIME: Duration = Duration::from_hours(12);

/// The secret of credentials: the operator's, or a key of this server.
pub(crate) fn secret(settings: &Settings, data: &DataDir) -> anyhow::Result<String> {
    if let Some(secret) = &settings.turn_secret {
        return Ok(secret.0.0.clone());
    }
    Ok(STANDARD.encode(key(settings, data, "turn.key")?))
}

/// The secret of a server that has run here or, with `init`, of a future one.
fn existing_secret(settings: &Settings, init: bool) -> anyhow::Result<String> {
    if let Some(secret) = &settings.turn_secret {
        return Ok(secret.0.0.clone());
    }
    if init {
        return secret(settings, &DataDir::open(&settings.data_dir)?);
    }
    let data = DataDir::existing(&settings.data_dir)?;
    let path = data.file("turn.key");
    anyhow::ensure!(
        keys::is_there(settings, &data, "turn.key"),
        "there is no {}: no relay has run here; --init makes it",
        path.display()
    );
    secret(settings, &data)
}

/// The server, running on threads of its own.
pub(crate) struct TurnServer {
    handle: Handle,
    secret: String,
}

impl TurnServer {
    /// Starts the server, unless it is disabled. A port in use is a reason not to start: without a relay, calls between
    /// some networks would fail one by one.
    pub(crate) fn start(
        settings: &Settings,
        data: &DataDir,
        http: SocketAddr,
        media: Option<MediaPeer>,
        certificate: Option<&Pem>,
        watch: &Watch,
    ) -> anyhow::Result<Option<Self>> {
        if settings.no_turn {
            return Ok(None);
        }
        let secret = secret(settings, data)?;
        let address = settings.turn_listen.resolve();
        let address = address
            .with_context(|| format!("cannot listen on {}: look at --turn-listen", settings.turn_listen))?;
        let engines = ShardEngines::default();
        let bound = is_free(address).map_err(anyhow::Error::new).and_then(|()| {
            let mut config = config(settings, address, &secret, http, certificate)?;
            config.media = media.map(|media| -> Arc<dyn RelayPeer> { Arc::new(media) });
            config.heartbeat = Some(engines.heartbeat());
            Server::bind(&config).map_err(anyhow::Error::new)
        });
        let server = bound.with_context(|| {
            format!(
                "cannot serve STUN and TURN on {address}: choose another port with --turn-listen, or say --no-turn"
            )
        })?;
        let handle = server.handle();
        for listener in handle.listeners() {
            tracing::info!(addr = %listener.address, transport = ?listener.transport, "STUN and TURN ready");
        }
        let engine = Arc::new(watch.engine("relay"));
        engines.watch(watch, server.shards(), Arc::clone(&engine));
        thread::Builder::new().name("relay".to_owned()).spawn(move || {
            match server.run() {
                Ok(()) => engine.finish(),
                Err(error) => engine.fail(&error.to_string()),
            }
            engines.finish();
        })?;
        Ok(Some(Self { handle, secret }))
    }

    /// The handle to the running server.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What takes over connections of the page's port that carry TURN.
    pub(crate) fn listener(&self) -> Arc<dyn RelayListener> {
        Arc::new(RelayPort(self.handle.clone()))
    }

    /// Accepts no more relays; existing ones last until the process ends. New clients are redirected to the alternate
    /// server, if there is one.
    pub(crate) fn drain(&self, alternates: &[SocketAddr]) {
        let of_family = |is_ipv4| alternates.iter().copied().find(|address| address.is_ipv4() == is_ipv4);
        self.handle.drain(of_family(true), of_family(false));
    }

    /// Ends the server.
    pub(crate) fn stop(&self) {
        self.handle.stop();
    }
}

/// Connections of the page's port that carry TURN go to the relay.
#[derive(Debug)]
struct RelayPort(Handle);

impl RelayListener for RelayPort {
    fn accept(&self, connection: RelayConnection) {
        let RelayConnection { socket, tls, place } = connection;
        if !self.0.accept(ClientConnection { socket, tls, place: Box::new(place) }) {
            tracing::debug!("a connection to the relay was refused: too many wait");
        }
    }
}

/// The shards of the relay, which are engines. Their number becomes known a moment after the heartbeat is created.
#[derive(Clone, Default)]
struct ShardEngines(Arc<OnceLock<(Arc<Engine>, Vec<Engine>)>>);

impl ShardEngines {
    fn heartbeat(&self) -> Heartbeat {
        let shards = Arc::clone(&self.0);
        Heartbeat::new(move |shard| {
            let Some((relay, engines)) = shards.get() else { return };
            relay.sign();
            if let Some(engine) = engines.get(usize::from(shard)) {
                engine.sign();
            }
        })
    }

    fn watch(&self, watch: &Watch, count: usize, relay: Arc<Engine>) {
        let engines = (0..count).map(|shard| watch.engine(format!("relay shard {shard}"))).collect();
        // It is started once.
        let _ = self.0.set((relay, engines));
    }

    /// Their end is reported as that of the relay.
    fn finish(&self) {
        self.0.get().into_iter().flat_map(|(_, engines)| engines).for_each(Engine::finish);
    }
}

/// Checks that nothing listens on the address. The server's own sockets would silently share the port with another
/// process.
fn is_free(address: SocketAddr) -> io::Result<()> {
    drop(UdpSocket::bind(address)?);
    drop(TcpListener::bind(address)?);
    Ok(())
}

fn config(
    settings: &Settings,
    address: SocketAddr,
    secret: &str,
    http: SocketAddr,
    certificate: Option<&Pem>,
) -> anyhow::Result<Config> {
    let mut own_services = vec![http];
    if http.ip().is_unspecified() {
        own_services.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), http.port()));
    }
    let certificate = certificate.map(|pem| Certificate::from_pem(&pem.chain, &pem.key)).transpose()?;
    let mut listeners = vec![Listener::udp(address), Listener::tcp(address)];
    if address.port() == 0 {
        // Both on one port, so that one URL refers to them.
        let port = free_port(address)?;
        listeners = vec![
            Listener::udp(SocketAddr::new(address.ip(), port)),
            Listener::tcp(SocketAddr::new(address.ip(), port)),
        ];
    }
    let port = listeners.first().map_or(address.port(), |listener| listener.address.port());
    let behaviour_discovery = settings.turn_discovery.map(|pair| BehaviourDiscovery {
        primary: SocketAddr::new(pair.primary, port),
        alternate: SocketAddr::new(pair.alternate, port.checked_add(1).unwrap_or(port - 1)),
    });
    Ok(Config {
        listeners,
        features: Features {
            behaviour_discovery,
            tcp_allocations: settings.turn_tcp_relays,
            mobility: settings.turn_mobility,
        },
        external_ips: settings
            .external_ip
            .iter()
            .map(|external| ExternalAddress { public: external.public, private: external.private })
            .collect(),
        relay_ips: settings.turn_relay_ip.clone(),
        relay_ports: settings.turn_relay_ports.0.clone(),
        secrets: vec![secret.to_owned()],
        policy: PeerPolicy {
            allowed: settings.turn_allow_peer.clone(),
            own_services,
            ..PeerPolicy::default()
        },
        certificate,
        ..Config::default()
    })
}

/// A port that is free for UDP and TCP at the moment.
fn free_port(address: SocketAddr) -> anyhow::Result<u16> {
    for _ in 0..16 {
        let udp = UdpSocket::bind(address)?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind(SocketAddr::new(address.ip(), port)).is_ok() {
            return Ok(port);
        }
    }
    Err(anyhow!("no port is free for UDP and TCP both"))
}

/// The servers announced to clients: those of `--ice-server`, and the built-in one with its own credentials.
pub(crate) struct Servers {
    configured: Vec<IceServer>,
    built_in: Option<BuiltIn>,
}

struct BuiltIn {
    secret: String,
    port: u16,
    /// The port of the page, where it takes TURN over TCP and TLS.
    page_port: Option<u16>,
    /// The host name under which clients reach it, if it differs from the one they opened.
    host: Option<String>,
    /// TLS with a certificate that browsers trust.
    tls: bool,
}

impl Servers {
    pub(crate) fn new(settings: &Settings, turn: Option<&TurnServer>, http: SocketAddr) -> Self {
        let configured = settings.ice_server.iter().map(|server| IceServer {
            urls: vec![server.url.clone()],
            username: server.login.as_ref().map(|login| login.username.clone()),
            credential: server.login.as_ref().map(|login| login.credential.clone()),
        });
        let built_in = turn.and_then(|turn| {
            let udp = turn.handle.listeners().iter().find(|listener| listener.transport == Transport::Udp)?;
            let bound = (!udp.address.ip().is_unspecified()).then(|| udp.address.ip());
            let external = settings.external_ip.first().map(|external| external.public);
            let host = external.or(bound).map(|ip| match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            });
            Some(BuiltIn {
                secret: turn.secret.clone(),
                port: udp.address.port(),
                page_port: page_port(settings, http),
                host,
                tls: matches!(settings.tls, TlsMode::Files | TlsMode::Acme),
            })
        });
        Self { configured: configured.collect(), built_in }
    }
}

impl IceProvider for Servers {
    fn ice_servers(
        &self,
        now: Timestamp,
        _room: &RoomId,
        peer: PeerId,
        reached_at: Option<&str>,
    ) -> IceServers {
        let mut ice_servers = self.configured.clone();
        let named = self.built_in.as_ref().and_then(|built_in| {
            // A name used with TLS must be in the certificate; otherwise an address is sufficient.
            Some((built_in, built_in.host.as_deref().or(reached_at)?))
        });
        if let Some((built_in, host)) = named {
            let port = built_in.port;
            let expires = now.as_millis() / 1000 + CREDENTIALS_LIFETIME.as_secs();
            let pair = credentials::ephemeral(&built_in.secret, peer.as_str(), expires);
            ice_servers.push(IceServer {
                urls: vec![format!("stun:{host}:{port}")],
                username: None,
                credential: None,
            });
            let mut urls = vec![
                format!("turn:{host}:{port}?transport=udp"),
                format!("turn:{host}:{port}?transport=tcp"),
            ];
            // A network that lets the page through lets this port through.
            urls.extend(built_in.page_port.map(|page| format!("turn:{host}:{page}?transport=tcp")));
            if let (true, Some(name)) = (built_in.tls, reached_at) {
                let port = built_in.page_port.unwrap_or(port);
                urls.push(format!("turns:{name}:{port}?transport=tcp"));
            }
            ice_servers.push(IceServer {
                urls,
                username: Some(pair.username),
                credential: Some(pair.password),
            });
        }
        IceServers { ice_servers, ttl_seconds: CREDENTIALS_LIFETIME.as_secs() }
    }
}

/// A pair of credentials for tools, as printed by `visavis turn-credentials`.
pub(crate) fn print_credentials(
    settings: &Settings,
    user: Option<&str>,
    init: bool,
) -> anyhow::Result<String> {
    let mut random = [0; 4];
    rand::fill(&mut random).map_err(|_| anyhow!("the system gives no random bytes"))?;
    let user = user.map_or_else(|| format!("tool-{:08x}", u32::from_be_bytes(random)), str::to_owned);
    let expires = clock::wall().as_secs() + CREDENTIALS_LIFETIME.as_secs();
    let pair = credentials::ephemeral(&existing_secret(settings, init)?, &user, expires);
    Ok(format!("username {}\npassword {}\n", pair.username, pair.password))
}
