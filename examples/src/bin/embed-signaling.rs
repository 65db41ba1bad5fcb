//! Signaling in an axum service of one's own, for those who know the word.
//!
//! `cargo run -p examples --bin embed-signaling`, then a WebSocket to the address it prints, subprotocol `visavis.v1`:
//! `{"type":"join","room":"standup","name":"Ada","token":"open sesame"}`
#![forbid(unsafe_code)]

use std::sync::Arc;

use axum::{Router, routing::get};
use signaling_core::message::Join;
use signaling_core::{Code, Entropy, Grant, Refusal, ServerKey, SystemEntropy, Timestamp};
use signaling_transport::Authenticator;
use signaling_transport::{Signaling, SignalingConfig};

struct Doorkeeper;

impl Authenticator for Doorkeeper {
    fn authenticate(&self, _now: Timestamp, join: &Join) -> Result<Grant, Refusal> {
        match join.token.as_deref() {
            Some("open sesame") => Ok(Grant { may_create: true, token_known: true, ..Grant::default() }),
            _ => Err(Refusal::new(Code::Unauthorized, "say the word")),
        }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut key = [0; 32]; // a service that is restarted keeps these
    SystemEntropy.fill(&mut key);
    let mut config = SignalingConfig::new(ServerKey::new(key));
    config.authenticator = Arc::new(Doorkeeper);
    let signaling = Signaling::start(config);
    let app = Router::new().route("/", get(|| async { "My own service" })).merge(signaling.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("ws://{}/api/v1/ws", listener.local_addr()?);
    axum::serve(listener, app).await
}
