//! The configuration of a server: sockets, certificate, threads.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use datagrams::Socket;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::auth::{Credentials, StaticUser};
use crate::five_tuple::Transport;
use crate::limits::Limits;
use crate::policy::PeerPolicy;
use crate::settings::{ExternalAddress, Features};
use crate::shard::RelayPeer;

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// `Udp` takes DTLS as well, and `Tcp` takes TLS, when there is a certificate. `Tls` and `Dtls` take nothing else, and
    /// need one.
    pub transport: Transport,
    /// Port 0 lets the system choose. `[::]` listens on IPv4 as well.
    pub address: SocketAddr,
}

impl Listener {
    /// UDP on `address`.
    pub fn udp(address: SocketAddr) -> Self {
        Self { transport: Transport::Udp, address }
    }

    /// Whether plain datagrams to `address` come in here.
    pub(super) fn hears(&self, address: SocketAddr) -> bool {
        let (ip, own) = (address.ip(), self.address.ip());
        self.transport == Transport::Udp
            && address.port() == self.address.port()
            && (own == ip || own.is_unspecified() && own.is_ipv4() == ip.is_ipv4())
    }

    /// TCP on `address`.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, address }
    }
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8, SEC 1 or PKCS #1. DTLS needs a key for ECDSA.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The reason why a certificate cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not PEM, or without a certificate or key in it.
    #[error("the certificate or its key cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// No certificate in the chain.
    #[error("the chain has no certificate")]
    Empty,
    /// Certificate and key don't fit, or the key is of a kind that is not supported.
    #[error("the certificate cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl Certificate {
    /// Reads a chain and a key in PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
        if chain.is_empty() {
            return Err(CertificateError::Empty);
        }
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key)? })
    }
}

/// Called by each shard with its number at every turn of its loop, at least once a second, so that a watchdog can tell a shard
/// that hangs.
#[derive(Clone)]
pub struct Heartbeat(Arc<dyn Fn(u8) + Send + Sync>);

impl Heartbeat {
    /// Calls this.
    pub fn new(call: impl Fn(u8) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn call(&self, shard: u8) {
        (self.0)(shard);
    }
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heartbeat")
    }
}

/// Configuration of a [`Server`](super::Server).
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Sockets of a UDP port that the relay shares with a media server of this process, which reads them and hands over what
    /// is the relay's ([`Handle::receive`](crate::Handle::receive)). The relay sends by them. There is no TURN over DTLS on
    /// that port, where DTLS is the media's.
    pub shared_port: Vec<Arc<Socket>>,
    /// Public addresses of this machine.
    pub external_ips: Vec<ExternalAddress>,
    /// Where to open relays; empty: where the client came in.
    pub relay_ips: Vec<IpAddr>,
    /// Ports of relays. Relays that exist inside this process only ([`PeerPolicy::inside_only`]) take their numbers from
    /// there, and open none.
    pub relay_ports: RangeInclusive<u16>,
    /// The realm of the credentials.
    pub realm: String,
    /// Shared secrets of ephemeral credentials.
    pub secrets: Vec<String>,
    /// Users with a password.
    pub users: Vec<StaticUser>,
    /// Quotas and rates.
    pub limits: Limits,
    /// Which peers may be reached. The addresses and listeners of this machine are added to it.
    pub policy: PeerPolicy,
    /// Extensions. With TCP allocations or mobility there is one shard, since connections and clients move between five-tuples.
    pub features: Features,
    /// How long a nonce is valid.
    pub nonce_lifetime: Duration,
    /// Threads to run; `None`: one for each processor.
    pub shards: Option<u8>,
    /// The certificate of TLS and DTLS.
    pub certificate: Option<Certificate>,
    /// A media server in the same process.
    pub media: Option<Arc<dyn RelayPeer>>,
    /// How long a busy shard waits for more packets before it wakes. Zero: not at all.
    pub max_wait: Duration,
    /// Called at every turn of a shard's loop.
    pub heartbeat: Option<Heartbeat>,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 3478);
        Self {
            listeners: vec![Listener::udp(any), Listener::tcp(any)],
            shared_port: Vec::new(),
            external_ips: Vec::new(),
            relay_ips: Vec::new(),
            relay_ports: 49_152..=65_535,
            realm: "visavis".to_owned(),
            secrets: Vec::new(),
            users: Vec::new(),
            limits: Limits::default(),
            policy: PeerPolicy::default(),
            features: Features::default(),
            nonce_lifetime: Duration::from_mins(10),
            shards: None,
            certificate: None,
            media: None,
            max_wait: Duration::from_micros(300),
            heartbeat: None,
        }
    }
}

impl Config {
    pub(super) fn credentials(&self) -> Credentials {
        Credentials { secrets: self.secrets.clone(), users: self.users.clone() }
    }
}
