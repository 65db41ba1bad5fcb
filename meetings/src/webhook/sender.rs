//! Sends one POST to a webhook URL, only to addresses that have been checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Target;

/// Time limit of an attempt, including name resolution.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time limit for connecting to one of several addresses.
const ONE_ADDRESS: Duration = Duration::from_secs(2);
/// Maximum number of redirects followed, where redirects are allowed.
const REDIRECTS: usize = 3;

/// Sends webhooks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    tls: TlsConnector,
    may_be_private: bool,
}

/// Why there was no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("{0}")]
    Target(String),
    #[error("the name cannot be looked up: {0}")]
    Name(std::io::Error),
    #[error("the host has no address that is public")]
    Private,
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written")]
    Request,
    #[error("no answer within 10 s")]
    Slow,
}

impl Sender {
    /// Creates a sender that trusts the certificate authorities of this machine.
    pub(super) fn new(may_be_private: bool) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            tracing::warn!("this machine trusts no certificates: webhooks cannot go to https");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        // The provider supports all requested versions.
        let config = config.unwrap_or_else(|_| {
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        });
        Self { tls: TlsConnector::from(Arc::new(config)), may_be_private }
    }

    /// The same for non-public addresses too.
    #[must_use]
    pub(super) fn with_private_addresses(self) -> Self {
        Self { may_be_private: true, ..self }
    }

    /// Sends a body and returns the status of the response.
    pub(super) async fn send(&self, url: &str, headers: &HeaderMap, body: &str) -> Result<u16, SendError> {
        tokio::time::timeout(PATIENCE, self.follow(url, headers, body)).await.unwrap_or(Err(SendError::Slow))
    }

    async fn follow(&self, url: &str, headers: &HeaderMap, body: &str) -> Result<u16, SendError> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let (status, location) = self.once(&url, headers, body).await?;
            match location {
                Some(location) if self.may_be_private && matches!(status, 307 | 308) => url = location,
                _ => return Ok(status),
            }
        }
        Err(SendError::Target("too many redirects".to_owned()))
    }

    async fn once(
        &self,
        url: &str,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(u16, Option<String>), SendError> {
        let target =
            Target::parse(url, self.may_be_private).map_err(|refusal| SendError::Target(refusal.message))?;
        let addresses = target.resolve(self.may_be_private).await.map_err(SendError::Name)?;
        let stream = connect(&addresses).await?;
        if target.is_https {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|_| SendError::Target("the host is no name for a certificate".to_owned()))?;
            let stream = self.tls.connect(name, stream).await.map_err(SendError::Connect)?;
            exchange(stream, &target, headers, body).await
        } else {
            exchange(stream, &target, headers, body).await
        }
    }
}

/// Connects to the first of these addresses that answers. They are exactly the addresses that were checked, so a name
/// that resolves differently later (DNS rebinding) gains nothing.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
    let mut failed = SendError::Private;
    for address in addresses {
        // An address that does not answer leaves time for the others.
        match tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = SendError::Connect(error),
            Err(_) => failed = SendError::Connect(std::io::ErrorKind::TimedOut.into()),
        }
    }
    Err(failed)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    headers: &HeaderMap,
    body: &str,
) -> Result<(u16, Option<String>), SendError> {
    let uri: Uri = target.path.parse().map_err(|_| SendError::Request)?;
    let mut request = Request::post(uri)
        .header(HOST, &target.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("visavis/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(|_| SendError::Request)?;
    request.headers_mut().extend(headers.clone());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    // Only the head of the response is read.
    driving.abort();
    let answer = answer?;
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    Ok((answer.status().as_u16(), location.map(str::to_owned)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_tried_in_turn() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = free.local_addr().unwrap();
        drop(free);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let stream = connect(&[nobody, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        assert!(matches!(connect(&[nobody]).await, Err(SendError::Connect(_))));
        assert!(matches!(connect(&[]).await, Err(SendError::Private)));
    }
}
