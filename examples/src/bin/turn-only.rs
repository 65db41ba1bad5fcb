//! A STUN and TURN server and nothing else.
//!
//! `cargo run -p examples --bin turn-only -- 0.0.0.0:3478 SECRET` prints what a browser's `RTCPeerConnection` takes as an
//! entry of `iceServers`. Applications that know the secret make such credentials themselves.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use stun_turn::{Config, Listener, Server, credentials};

const HOUR: u64 = 3_600;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say ADDRESS:PORT SECRET");
    let (address, secret): (SocketAddr, String) = (next()?.parse()?, next()?);
    let config = Config {
        listeners: vec![Listener::udp(address), Listener::tcp(address)],
        secrets: vec![secret.clone()],
        ..Config::default()
    };
    let server = Server::bind(&config)?;
    #[allow(clippy::disallowed_methods, reason = "the example is its own driver")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let login = credentials::ephemeral(&secret, "somebody", now + HOUR);
    let urls: Vec<String> = server
        .handle()
        .listeners()
        .iter()
        .map(|listener| {
            format!("turn:{}?transport={:?}", listener.address, listener.transport).to_lowercase()
        })
        .collect();
    println!(
        "{}",
        serde_json::json!({"urls": urls, "username": login.username, "credential": login.password})
    );
    // Runs one thread for each processor until the process ends.
    Ok(server.run()?)
}
