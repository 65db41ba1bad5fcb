//! The server by its URL: addresses, TLS, and plain requests.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use url::Url;

/// How long the server may take for one step of opening a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum size of a response to a plain request.
const RESPONSE_BYTES: u64 = 4 << 20;

/// A server, or its metrics.
pub(super) struct Target {
    url: Url,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Resolves an `http` or `https` URL. With `insecure`, any certificate is accepted.
    pub(super) fn new(url: &Url, insecure: bool) -> anyhow::Result<Self> {
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(tls_config(insecure)?),
            other => bail!("neither http nor https: {other}"),
        };
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let host = url.host_str().context("the URL has no host")?.trim_matches(['[', ']']);
        let port = url.port_or_known_default().context("the URL has no port")?;
        let addresses: Vec<SocketAddr> =
            (host, port).to_socket_addrs().with_context(|| format!("no address for {host}"))?.collect();
        // Media is sent from IPv4 addresses.
        let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let address = *preferred.with_context(|| format!("no address for {host}"))?;
        Ok(Self { url, address, tls })
    }

    /// The address of the server.
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The URL of a WebSocket with this path.
    pub(super) fn websocket(&self, path: &str) -> anyhow::Result<String> {
        let mut url = self.url.join(path)?;
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        ensure!(url.set_scheme(scheme).is_ok(), "the URL cannot be one of a WebSocket");
        Ok(url.into())
    }

    /// Connects from this address, or from any.
    pub(super) fn connect(&self, from: Option<IpAddr>) -> std::io::Result<Stream> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(self.address),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect_timeout(&self.address.into(), PATIENCE)?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let Some(config) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let mut session = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
        let mut tcp = tcp;
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Stream::Tls(Box::new(rustls::StreamOwned::new(session, tcp))))
    }

    /// The status and the body of the response to a GET of the URL itself, or of a path below it.
    pub(super) fn get(&self, path: Option<&str>) -> anyhow::Result<(u16, String)> {
        let url = path.map_or_else(|| Ok(self.url.clone()), |path| self.url.join(path))?;
        // A URL without a path below it names a document, which does not end with a slash.
        let path = if path.is_none() && url.path().len() > 1 {
            url.path().trim_end_matches('/')
        } else {
            url.path()
        };
        let mut stream = self.connect(None)?;
        let host = url.authority();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        match stream.take(RESPONSE_BYTES).read_to_end(&mut answer) {
            // Many servers close TLS connections without notice.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            result => drop(result?),
        }
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP response")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        Ok((status, body.to_owned()))
    }
}

/// A connection to the server.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub(super) fn set_nonblocking(&self) -> std::io::Result<()> {
        self.tcp().set_nonblocking(true)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp().as_fd()
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn tls_config(insecure: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = if insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        builder.with_root_certificates(roots)
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Accepts every certificate; the signatures of the handshake are checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
