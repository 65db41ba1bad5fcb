//! Rooms whose clients relay through somebody else's TURN server.
//!
//! `cargo run -p examples --bin outside-turn -- turn:turn.example:3478 SECRET`, with the secret that the TURN server shares
//! (`static-auth-secret` of coturn): each client gets credentials of its own that expire. The server of this project has
//! the same as a setting: `visavis --no-turn --ice-server turn:turn.example:3478,USER,PASSWORD`.
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::Context as _;
use signaling_core::message::{IceServer, IceServers};
use signaling_core::{Entropy as _, IceProvider, PeerId, RoomId, ServerKey, SystemEntropy, Timestamp};
use signaling_transport::{Signaling, SignalingConfig};
use stun_turn::credentials;

const HOUR: u64 = 3_600;

struct Outside {
    url: String,
    secret: String,
}

impl IceProvider for Outside {
    fn ice_servers(
        &self,
        now: Timestamp,
        _room: &RoomId,
        peer: PeerId,
        _reached_at: Option<&str>,
    ) -> IceServers {
        let login = credentials::ephemeral(&self.secret, &peer.to_string(), now.as_millis() / 1_000 + HOUR);
        let server = IceServer {
            urls: vec![self.url.clone()],
            username: Some(login.username),
            credential: Some(login.password),
        };
        IceServers { ice_servers: vec![server], peer_ice_servers: None, ttl_seconds: HOUR }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say TURN-URL SECRET");
    let outside = Outside { url: next()?, secret: next()? };
    let mut key = [0; 32]; // a service that is restarted keeps these
    SystemEntropy.fill(&mut key);
    let mut config = SignalingConfig::new(ServerKey::new(key));
    config.rooms.ice = Arc::new(outside);
    let signaling = Signaling::start(config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("ws://{}/api/v1/ws", listener.local_addr()?);
    axum::serve(listener, signaling.router()).await?;
    Ok(())
}
