//! What the state machines learn of this machine: its addresses, the settings, the secret of the nonces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use aws_lc_rs::rand;

use super::config::{Config, Listener};
use crate::directory::RelayDirectory;
use crate::limits::Quotas;
use crate::policy::PeerPolicy;
use crate::settings::{RelayAddresses, Settings};
use crate::shard::ServerContext;

/// What the state machines of a server need to know.
pub(super) fn server_context(
    config: &Config,
    listeners: &[Listener],
    directory: Arc<RelayDirectory>,
) -> io::Result<ServerContext> {
    let interfaces: Vec<IpAddr> = if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    let own = interfaces.iter().copied().filter(|ip| !ip.is_loopback());
    let external = config.external_ips.iter().map(|external| external.public);
    let mut policy = PeerPolicy { ..config.policy.clone() };
    policy.own_addresses.extend(own.chain(external).chain(config.relay_ips.iter().copied()));
    policy.own_addresses.sort_unstable();
    policy.own_addresses.dedup();
    policy.own_services.extend(listeners.iter().map(|listener| listener.address));
    let relays = RelayAddresses {
        fixed: config.relay_ips.clone(),
        other_v4: other_address(listeners, &interfaces, true).and_then(|ip| match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        other_v6: other_address(listeners, &interfaces, false).and_then(|ip| match ip {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        }),
        external: config.external_ips.clone(),
    };
    let mut nonce_secret = [0; 32];
    rand::fill(&mut nonce_secret).map_err(io::Error::other)?;
    let settings = Settings {
        realm: config.realm.clone(),
        credentials: config.credentials(),
        limits: config.limits.clone(),
        policy,
        relays,
        features: config.features,
        nonce_lifetime: config.nonce_lifetime,
    };
    Ok(ServerContext {
        settings: Arc::new(settings),
        quotas: Arc::new(Quotas::default()),
        directory,
        media: config.media.clone(),
        nonce_secret,
    })
}

/// The address of a family that relays are opened on for clients that came in by the other one: one that is listened on, else,
/// where all are, the one that the default route leaves from.
fn other_address(listeners: &[Listener], interfaces: &[IpAddr], is_ipv4: bool) -> Option<IpAddr> {
    let of_family =
        || listeners.iter().map(|listener| listener.address.ip()).filter(|ip| ip.is_ipv4() == is_ipv4);
    if let Some(named) = of_family().find(|ip| !ip.is_unspecified() && !ip.is_loopback()) {
        return Some(named);
    }
    of_family().find(IpAddr::is_unspecified)?;
    routed_address(is_ipv4).or_else(|| {
        let is_global = |ip: &IpAddr| match ip {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        interfaces.iter().copied().find(|ip| ip.is_ipv4() == is_ipv4 && is_global(ip))
    })
}

/// The source address of packets to the internet. Connecting a UDP socket sends none.
fn routed_address(is_ipv4: bool) -> Option<IpAddr> {
    let (any, remote): (SocketAddr, SocketAddr) = if is_ipv4 {
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    } else {
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into())
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}
