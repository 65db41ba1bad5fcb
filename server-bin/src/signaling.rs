//! The signaling service, made of the settings.

use std::sync::Arc;

use anyhow::Context as _;
use signaling_core::message::{IceServer, IceServers};
use signaling_core::{IceProvider, PeerId, RoomId, ServerKey, Timestamp};
use signaling_transport::{Signaling, SignalingConfig, Transports};

use crate::config::{Settings, Transport};
use crate::data_dir::DataDir;
use crate::room_store::RoomJournal;

/// How long clients may keep what they are told of servers whose credentials do not expire, seconds.
const TTL_SECONDS: u64 = 24 * 3600;

/// Starts the service on the current runtime.
pub(crate) fn start(settings: &Settings, data: &DataDir) -> anyhow::Result<Signaling> {
    let key = ServerKey::new(data.secret("session.key")?);
    let path = data.file("rooms.jsonl");
    let journal = RoomJournal::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let on = |transport| settings.transports.iter().any(|listed| listed == transport);

    let mut config = SignalingConfig::new(key);
    config.transports = Transports { websocket: on(Transport::WebSocket), sse: on(Transport::Sse) };
    config.store = Box::new(move || Box::new(journal.clone()));
    config.ice = Arc::new(ConfiguredServers::new(settings));
    config.allowed_origins = settings.allowed_origin.iter().map(ToString::to_string).collect();
    config.public_url = settings.public_url.as_ref().map(ToString::to_string);
    Ok(Signaling::start(config))
}

/// The servers of `--ice-server`, the same for everybody.
struct ConfiguredServers(Vec<IceServer>);

impl ConfiguredServers {
    fn new(settings: &Settings) -> Self {
        let servers = settings.ice_server.iter().map(|server| IceServer {
            urls: vec![server.url.clone()],
            username: server.login.as_ref().map(|login| login.username.clone()),
            credential: server.login.as_ref().map(|login| login.credential.clone()),
        });
        Self(servers.collect())
    }
}

impl IceProvider for ConfiguredServers {
    fn ice_servers(&self, _now: Timestamp, _room: &RoomId, _peer: PeerId) -> IceServers {
        IceServers { ice_servers: self.0.clone(), ttl_seconds: TTL_SECONDS }
    }
}
