//! The ICE servers that are announced to clients.

use std::net::{IpAddr, SocketAddr};

use signaling_core::message::{IceServer, IceServers};
use signaling_core::{IceProvider, PeerId, RoomId, Timestamp};
use stun_turn::{Transport, credentials};

use crate::config::{Settings, TlsMode};
use crate::media::{page_port, public_port};
use crate::turn::{CREDENTIALS_LIFETIME, TurnServer};

/// The servers announced to clients: those of `--ice-server`, and the built-in one with its own credentials.
pub(crate) struct Servers {
    configured: Vec<IceServer>,
    built_in: Option<BuiltIn>,
}

struct BuiltIn {
    secret: String,
    /// The port of STUN, and of TURN over UDP.
    port: u16,
    /// The port of TURN over TCP and TLS besides the page's.
    tcp_port: Option<u16>,
    /// Whether UDP on the port is the media server's, too.
    is_shared: bool,
    /// The port of the page, where it takes TURN over TCP and TLS.
    page_port: Option<u16>,
    /// The addresses under which clients reach it, one of each family, if they are known; otherwise that of the page.
    hosts: Vec<String>,
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
            let udp =
                turn.handle().listeners().iter().find(|listener| listener.transport == Transport::Udp)?;
            let external: Vec<_> = settings.external_ip.iter().map(|external| external.public).collect();
            let bound = Some(udp.address.ip()).filter(|ip| external.is_empty() && !ip.is_unspecified());
            let hosts = one_of_each_family(external.into_iter().chain(bound));
            Some(BuiltIn {
                secret: turn.secret().to_owned(),
                port: if settings.one_port { public_port(settings, http) } else { udp.address.port() },
                tcp_port: (!settings.one_port).then(|| udp.address.port()),
                is_shared: settings.one_port && !settings.no_sfu,
                page_port: page_port(settings, http),
                hosts,
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
        // Browsers take what comes from the address of a STUN server for an answer of that server: towards the media server
        // they cannot use one at its own address and port.
        let mut peer_ice_servers = None;
        if let Some(built_in) = &self.built_in
            && let hosts = built_in.hosts(reached_at)
            && !hosts.is_empty()
        {
            let expires = now.as_millis() / 1000 + CREDENTIALS_LIFETIME.as_secs();
            let pair = credentials::ephemeral(&built_in.secret, peer.as_str(), expires);
            let of_each =
                |url: &dyn Fn(&str) -> String| hosts.iter().map(|host| url(host)).collect::<Vec<_>>();
            let stun = IceServer {
                urls: of_each(&|host| format!("stun:{host}:{}", built_in.port)),
                username: None,
                credential: None,
            };
            let turn = |urls| IceServer {
                urls,
                username: Some(pair.username.clone()),
                credential: Some(pair.password.clone()),
            };
            let over_tcp = built_in.turn_over_tcp(&hosts, reached_at);
            let over_udp = of_each(&|host| format!("turn:{host}:{}?transport=udp", built_in.port));
            let every = [over_udp, over_tcp.clone()].concat();
            if built_in.is_shared {
                let configured = ice_servers.clone();
                peer_ice_servers = Some([configured, vec![stun, turn(every)]].concat());
                ice_servers.extend((!over_tcp.is_empty()).then(|| turn(over_tcp)));
            } else {
                ice_servers.extend([stun, turn(every)]);
            }
        }
        IceServers { ice_servers, peer_ice_servers, ttl_seconds: CREDENTIALS_LIFETIME.as_secs() }
    }
}

/// The first IPv4 and the first IPv6 address, as they stand in URLs: a client that has one family alone needs its own.
fn one_of_each_family(addresses: impl Iterator<Item = IpAddr>) -> Vec<String> {
    let mut chosen: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if chosen.iter().all(|other| other.is_ipv4() != address.is_ipv4()) {
            chosen.push(address);
        }
    }
    let in_url = |ip| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    chosen.into_iter().map(in_url).collect()
}

impl BuiltIn {
    /// The hosts of the URLs for a client that has reached the server at this one.
    fn hosts<'a>(&'a self, reached_at: Option<&'a str>) -> Vec<&'a str> {
        if self.hosts.is_empty() {
            return reached_at.into_iter().collect();
        }
        self.hosts.iter().map(String::as_str).collect()
    }

    /// The URLs of TURN over TCP and TLS.
    fn turn_over_tcp(&self, hosts: &[&str], reached_at: Option<&str>) -> Vec<String> {
        let mut ports: Vec<u16> = self.tcp_port.into_iter().collect();
        // A network that lets the page through lets this port through.
        ports.extend(self.page_port);
        let last = ports.last().copied();
        let url = |port| hosts.iter().map(move |host| format!("turn:{host}:{port}?transport=tcp"));
        let mut urls: Vec<_> = ports.into_iter().flat_map(url).collect();
        // A name used with TLS must be in the certificate.
        if let (true, Some(name), Some(port)) = (self.tls, reached_at, last) {
            urls.push(format!("turns:{name}:{port}?transport=tcp"));
        }
        urls
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use signaling_core::testing::SeededEntropy;

    use super::*;

    fn urls(addresses: &[&str], reached_at: Option<&str>) -> Vec<String> {
        let built_in = BuiltIn {
            secret: "secret".to_owned(),
            port: 3478,
            tcp_port: Some(3478),
            is_shared: false,
            page_port: None,
            hosts: one_of_each_family(addresses.iter().map(|address| address.parse().unwrap())),
            tls: true,
        };
        let servers = Servers { configured: Vec::new(), built_in: Some(built_in) };
        let peer = PeerId::random(&mut SeededEntropy::new(1));
        let given = servers.ice_servers(Timestamp::default(), &"room".parse().unwrap(), peer, reached_at);
        given.ice_servers.into_iter().flat_map(|server| server.urls).collect()
    }

    #[test]
    fn clients_of_either_family_are_given_an_address_of_theirs() {
        let of_both = [
            "stun:203.0.113.7:3478",
            "stun:[2001:db8::7]:3478",
            "turn:203.0.113.7:3478?transport=udp",
            "turn:[2001:db8::7]:3478?transport=udp",
            "turn:203.0.113.7:3478?transport=tcp",
            "turn:[2001:db8::7]:3478?transport=tcp",
            "turns:meet.example:3478?transport=tcp",
        ];
        let addresses = ["203.0.113.7", "203.0.113.8", "2001:db8::7"];
        assert_eq!(urls(&addresses, Some("meet.example")), of_both);
        assert_eq!(urls(&["2001:db8::7"], None)[..2], [of_both[1], of_both[3]]);
    }

    #[test]
    fn without_a_known_address_the_relay_is_where_the_page_is() {
        let by_name = urls(&[], Some("meet.example"));
        assert_eq!(by_name[..2], ["stun:meet.example:3478", "turn:meet.example:3478?transport=udp"]);
        assert_eq!(urls(&[], None), Vec::<String>::new());
    }
}
