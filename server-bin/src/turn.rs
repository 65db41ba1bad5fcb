//! The built-in STUN and TURN server.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datagrams::Socket;
use signaling_core::{Engine, Watch};
use signaling_transport::net::{RelayConnection, RelayListener};
use stun_turn::{
    BehaviourDiscovery, Certificate, ClientConnection, Config, ExternalAddress, Features, Handle, Heartbeat,
    Listener, PeerPolicy, RelayPeer, Server, credentials,
};

use crate::certificate::Pem;
use crate::config::{RelayKind, Settings};
use crate::data_dir::DataDir;
use crate::keys::{self, key};
use crate::media::public_port;
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

/// The media server of this process, as the relay needs it.
pub(crate) struct Neighbour {
    /// The receiver of packets from the relay.
    pub(crate) media: Option<MediaPeer>,
    /// The sockets of the UDP port that the two share (`--one-port`), else none.
    pub(crate) shared_port: Vec<Arc<Socket>>,
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
        neighbour: Neighbour,
        certificate: Option<&Pem>,
        watch: &Watch,
    ) -> anyhow::Result<Option<Self>> {
        if settings.no_turn {
            return Ok(None);
        }
        let secret = secret(settings, data)?;
        let Neighbour { media, shared_port } = neighbour;
        let engines = ShardEngines::default();
        let (address, option) = if settings.one_port {
            (http, "--listen")
        } else {
            let address = settings.turn_listen.resolve();
            let address = address.with_context(|| {
                format!("cannot listen on {}: look at --turn-listen", settings.turn_listen)
            })?;
            (address, "--turn-listen")
        };
        let bound = listeners(settings, address, !shared_port.is_empty()).and_then(|listeners| {
            let mut config = config(settings, listeners, &secret, http, certificate)?;
            config.media = media.map(|media| -> Arc<dyn RelayPeer> { Arc::new(media) });
            config.shared_port = shared_port;
            config.heartbeat = Some(engines.heartbeat());
            Server::bind(&config).map_err(anyhow::Error::new)
        });
        let server = bound.with_context(|| {
            format!(
                "cannot serve STUN and TURN on {address}: choose another port with {option}, or say --no-turn"
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

    /// The secret of its credentials.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
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

/// Where the relay listens by itself, after a check that nobody else does: its sockets would silently share the port with
/// another process. With `--one-port`, the page's port hands TCP over, and the media server's UDP, if there is one.
fn listeners(settings: &Settings, address: SocketAddr, is_shared: bool) -> anyhow::Result<Vec<Listener>> {
    if is_shared {
        return Ok(Vec::new());
    }
    drop(UdpSocket::bind(address)?);
    if settings.one_port {
        return Ok(vec![Listener::udp(address)]);
    }
    drop(TcpListener::bind(address)?);
    // Both on one port, so that one URL refers to them.
    let port = if address.port() == 0 { free_port(address)? } else { address.port() };
    let address = SocketAddr::new(address.ip(), port);
    Ok(vec![Listener::udp(address), Listener::tcp(address)])
}

fn config(
    settings: &Settings,
    listeners: Vec<Listener>,
    secret: &str,
    http: SocketAddr,
    certificate: Option<&Pem>,
) -> anyhow::Result<Config> {
    let mut own_services = vec![http];
    if settings.one_port {
        own_services.push(SocketAddr::new(http.ip(), public_port(settings, http)));
    }
    if http.ip().is_unspecified() {
        own_services.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), http.port()));
    }
    // With one port, the page's port does TLS for the relay, and there is no TURN over DTLS.
    let certificate = certificate.filter(|_| !settings.one_port);
    let certificate = certificate.map(|pem| Certificate::from_pem(&pem.chain, &pem.key)).transpose()?;
    let port = listeners.first().map_or(0, |listener| listener.address.port());
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
            inside_only: settings.turn_relay == RelayKind::Inside,
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
