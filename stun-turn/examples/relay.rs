//! A STUN and TURN server on its own: `cargo run --release -p stun-turn --example relay -- SECRET ADDRESS:PORT [ALLOWED-CIDR…]`.
//!
//! With `CERTIFICATE` and `KEY` in the environment (paths of PEM files) it speaks TLS and DTLS on the same port.

use std::error::Error;
use std::net::SocketAddr;

use stun_turn::{Certificate, Config, Features, Listener, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(secret), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: relay SECRET ADDRESS:PORT [ALLOWED-CIDR…]".into());
    };
    let address: SocketAddr = address.parse()?;
    let mut config = Config {
        listeners: vec![Listener::udp(address), Listener::tcp(address)],
        secrets: vec![secret],
        features: Features {
            tcp_allocations: std::env::var_os("TCP_ALLOCATIONS").is_some(),
            mobility: std::env::var_os("MOBILITY").is_some(),
            behaviour_discovery: None,
        },
        ..Config::default()
    };
    for hole in arguments {
        config.policy.allowed.push(hole.parse()?);
    }
    if let (Ok(chain), Ok(key)) = (std::env::var("CERTIFICATE"), std::env::var("KEY")) {
        config.certificate = Some(Certificate::from_pem(&std::fs::read(chain)?, &std::fs::read(key)?)?);
    }
    let server = Server::bind(&config)?;
    let handle = server.handle();
    for listener in handle.listeners() {
        eprintln!("listening on {} ({:?})", listener.address, listener.transport);
    }
    Ok(server.run()?)
}
