//! A server by its URL, and connections to it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::Error;

/// A server. Cheap to clone; it holds no connection.
#[derive(Clone)]
pub struct Server {
    url: Url,
    tls: Option<TlsConnector>,
}

/// A connection, plain or by TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Server {
    /// A server at an `http` or `https` URL, which may have a path. Certificates are checked against the authorities that
    /// the machine trusts.
    pub fn new(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Url(format!("{url}: {why}"));
        let mut parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if parsed.host_str().is_none() {
            return Err(bad("it names no host"));
        }
        if !parsed.path().ends_with('/') {
            parsed.set_path(&format!("{}/", parsed.path()));
        }
        match parsed.scheme() {
            "http" => Ok(Self { url: parsed, tls: None }),
            "https" => Ok(Self { url: parsed, tls: None }.with_tls(Arc::new(trusting_the_machine()?))),
            _ => Err(bad("it is neither http nor https")),
        }
    }

    /// The same with another configuration of TLS, such as one that trusts a self-signed certificate.
    #[must_use]
    pub fn with_tls(self, config: Arc<ClientConfig>) -> Self {
        let tls = (self.url.scheme() == "https").then(|| TlsConnector::from(config));
        Self { tls, ..self }
    }

    /// The URL of a path below the server's.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        self.url.join(path).map_err(|error| Error::Url(format!("{path}: {error}")))
    }

    /// `host` and, unless it is the scheme's own, `:port`.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// Whether the server is on this machine, so that media stays there, too.
    pub(crate) async fn is_local(&self) -> bool {
        let addresses = lookup_host((self.host(), self.port())).await;
        addresses.is_ok_and(|mut addresses| {
            addresses.all(|address| match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip.is_loopback(),
            })
        })
    }

    pub(crate) async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let tcp = TcpStream::connect((self.host(), self.port())).await.map_err(Error::Connection)?;
        tcp.set_nodelay(true).map_err(Error::Connection)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(self.host().to_owned()).map_err(Error::connection)?;
        Ok(Box::new(tls.connect(name, tcp).await.map_err(Error::Connection)?))
    }
}

fn trusting_the_machine() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Connection(io::Error::other(error)))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
