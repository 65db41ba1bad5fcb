//! The socket of the server, opened as the settings say.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context as _, anyhow};
use signaling_transport::net::{
    AddressLimits, BindError, Certificates, Mount, PlainHttp, Server, ServerConfig, TrustedProxies,
};

use crate::config::Settings;
use crate::routes::public_path;

/// How often the system may choose a port for TCP that is in use for UDP.
const MAX_CHOICES: usize = 16;

/// Opens the address of `--listen`.
pub(crate) fn bind(settings: &Settings, certificates: Option<&Certificates>) -> anyhow::Result<Server> {
    let address = settings.listen.resolve();
    let address =
        address.with_context(|| format!("cannot listen on {}: look at --listen", settings.listen))?;
    let bind = || Server::bind(address, server_config(settings, certificates.cloned())).map_err(explain);
    let mut server = bind()?;
    if settings.one_port && address.port() == 0 {
        // The system chooses a port that is free for TCP; UDP needs the same.
        for _ in 0..MAX_CHOICES {
            if is_free_for_udp(server.local_addr()) {
                break;
            }
            server = bind()?;
        }
    }
    Ok(server)
}

fn is_free_for_udp(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}

fn server_config(settings: &Settings, certificates: Option<Certificates>) -> ServerConfig {
    ServerConfig {
        certificates,
        trusted_proxies: TrustedProxies::new(settings.trusted_proxy.clone()),
        mount: Mount::below(public_path(settings)),
        plain_http: if settings.redirect_to_https { PlainHttp::RedirectOthers } else { PlainHttp::Serve },
        address_limits: AddressLimits {
            at_once: settings.connections_per_address.get(),
            per_second: settings.new_connections_per_second.get(),
            burst: settings.new_connections_per_second.get().saturating_mul(5),
        },
        ..ServerConfig::default()
    }
}

/// Explains how to resolve a port that cannot be opened.
fn explain(error: BindError) -> anyhow::Error {
    let address = error.address;
    let port = address.port();
    match error.source.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "cannot listen on {address}: another program has port {port}. End it, or choose another port with \
             --listen, as in --listen '[::]:8081'"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "cannot listen on {address}: port {port} needs more rights. Choose one above 1023 with --listen, as in \
             --listen '[::]:8080'"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow!(
                "cannot listen on {address}: this machine has no such address. Choose another with --listen"
            )
        }
        _ => anyhow::Error::new(error).context("look at --listen"),
    }
}
