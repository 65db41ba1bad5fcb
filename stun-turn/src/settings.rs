//! Protocol settings of the operator. Sockets and threads are the driver's [`Config`](crate::Config).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::auth::Credentials;
use crate::limits::Limits;
use crate::policy::PeerPolicy;
use crate::wire::AddressFamily;

/// Settings of the state machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The realm of the long-term mechanism (RFC 8489, section 9.2).
    pub realm: String,
    /// Credentials of clients that may allocate.
    pub credentials: Credentials,
    /// Quotas and rates.
    pub limits: Limits,
    /// Peers that a relay may reach.
    pub policy: PeerPolicy,
    /// Where relays are opened, and how they are seen from outside.
    pub relays: RelayAddresses,
    /// Extensions, all off by default.
    pub features: Features,
    /// How long a nonce is valid.
    pub nonce_lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: "visavis".to_owned(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            policy: PeerPolicy::default(),
            relays: RelayAddresses::default(),
            features: Features::default(),
            nonce_lifetime: Duration::from_mins(10),
        }
    }
}

/// Extensions. They are off unless enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// TCP allocations (RFC 6062).
    pub tcp_allocations: bool,
    /// Mobility (RFC 8016).
    pub mobility: bool,
    /// Behaviour discovery (RFC 5780).
    pub behaviour_discovery: Option<BehaviourDiscovery>,
}

/// The two addresses and two ports of RFC 5780. The server listens on all four combinations; the two differ in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BehaviourDiscovery {
    /// The address and port that clients are told.
    pub primary: SocketAddr,
    /// The other address, and the other port.
    pub alternate: SocketAddr,
}

impl BehaviourDiscovery {
    /// Whether `server` is one of the four.
    pub fn covers(&self, server: SocketAddr) -> bool {
        let (a, b) = (self.primary, self.alternate);
        (server.ip() == a.ip() || server.ip() == b.ip())
            && (server.port() == a.port() || server.port() == b.port())
    }

    /// The one of the four that differs from `server` in its address, its port, or both.
    pub fn changed(&self, server: SocketAddr, address: bool, port: bool) -> SocketAddr {
        let (a, b) = (self.primary, self.alternate);
        let other_ip = if server.ip() == a.ip() { b.ip() } else { a.ip() };
        let other_port = if server.port() == a.port() { b.port() } else { a.port() };
        SocketAddr::new(
            if address { other_ip } else { server.ip() },
            if port { other_port } else { server.port() },
        )
    }

    /// All four addresses.
    pub fn addresses(&self) -> [SocketAddr; 4] {
        let a = self.primary;
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(address, port)| self.changed(a, address, port))
    }
}

/// An address of this machine and how the world sees it (1:1 NAT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalAddress {
    /// The address that clients and peers see.
    pub public: IpAddr,
    /// The address here; `None` stands for each one of the same family that is not loopback.
    pub private: Option<IpAddr>,
}

/// Where relays are opened.
#[derive(Debug, Clone, Default)]
pub struct RelayAddresses {
    /// The addresses to open relays on; of each family the first counts. Empty: the one that the client reached.
    pub fixed: Vec<IpAddr>,
    /// The IPv4 address for clients that reached the server over IPv6.
    pub other_v4: Option<Ipv4Addr>,
    /// The IPv6 address for clients that reached the server over IPv4.
    pub other_v6: Option<Ipv6Addr>,
    /// The public address of each local one.
    pub external: Vec<ExternalAddress>,
}

impl RelayAddresses {
    /// The address to open a relay of `family` on for a client that reached the server at `local`; `None` when
    /// there is none of that family.
    pub fn bind_address(&self, local: IpAddr, family: AddressFamily) -> Option<IpAddr> {
        if !self.fixed.is_empty() {
            return self.fixed.iter().copied().find(|ip| AddressFamily::of(*ip) == family);
        }
        if AddressFamily::of(local) == family {
            return Some(local);
        }
        match family {
            AddressFamily::V4 if local.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
            AddressFamily::V6 if local.is_loopback() => Some(Ipv6Addr::LOCALHOST.into()),
            AddressFamily::V4 => self.other_v4.map(IpAddr::V4),
            AddressFamily::V6 => self.other_v6.map(IpAddr::V6),
        }
    }

    /// `local` as it is seen from outside.
    pub fn seen_from_outside(&self, local: SocketAddr) -> SocketAddr {
        let ip = local.ip();
        let mapped = self.external.iter().find(|external| match external.private {
            Some(private) => private == ip,
            None => !ip.is_loopback() && external.public.is_ipv4() == ip.is_ipv4(),
        });
        mapped.map_or(local, |external| SocketAddr::new(external.public, local.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_open_where_the_client_came_in() {
        let relays = RelayAddresses { other_v6: Some("2001:db8::1".parse().unwrap()), ..Default::default() };
        let at = |local: &str, family| relays.bind_address(local.parse().unwrap(), family);
        assert_eq!(at("192.0.2.1", AddressFamily::V4), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(at("192.0.2.1", AddressFamily::V6), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(at("127.0.0.1", AddressFamily::V6), Some("::1".parse().unwrap()));
        assert_eq!(at("2001:db8::1", AddressFamily::V4), None);
    }

    #[test]
    fn fixed_relay_addresses_decide_alone() {
        let relays = RelayAddresses { fixed: vec!["192.0.2.9".parse().unwrap()], ..Default::default() };
        let at = |local: &str, family| relays.bind_address(local.parse().unwrap(), family);
        assert_eq!(at("127.0.0.1", AddressFamily::V4), Some("192.0.2.9".parse().unwrap()));
        assert_eq!(at("::1", AddressFamily::V6), None);
    }

    #[test]
    fn external_addresses_map_all_but_loopback() {
        let external = vec![ExternalAddress { public: "198.51.100.1".parse().unwrap(), private: None }];
        let relays = RelayAddresses { external, ..Default::default() };
        let seen = |local: &str| relays.seen_from_outside(local.parse().unwrap()).to_string();
        assert_eq!(seen("10.0.0.2:5000"), "198.51.100.1:5000");
        assert_eq!(seen("127.0.0.1:5000"), "127.0.0.1:5000");
        assert_eq!(seen("[2001:db8::1]:5000"), "[2001:db8::1]:5000");
    }
}
