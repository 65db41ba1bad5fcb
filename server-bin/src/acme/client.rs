//! Requests to the directory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::https;

/// A directory that answers no sooner does not work.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client that remembers for how long the directory wants to be left alone. It trusts the authorities of the system, or
/// those of `SSL_CERT_FILE`.
#[derive(Clone)]
pub(super) struct Client {
    inner: HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    wait: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(https::client()?)
            .https_only()
            .enable_http1()
            .build();
        let inner = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { inner, wait: Arc::default() })
    }

    /// The wait that the directory demanded with its last refusal.
    pub(super) fn demanded_wait(&self) -> Option<Duration> {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (responding, wait) = (self.inner.request(request), Arc::clone(&self.wait));
        Box::pin(async move {
            let response = tokio::time::timeout(TIMEOUT, responding).await;
            let response = response
                .map_err(|error| Error::Other(error.into()))?
                .map_err(|error| Error::Other(error.into()))?;
            let demanded = retry_after(response.headers()).filter(|_| !response.status().is_success());
            *wait.lock().unwrap_or_else(PoisonError::into_inner) = demanded;
            Ok(BytesResponse::from(response))
        })
    }
}

/// `Retry-After` in either of its forms (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    Duration::from_secs(at.try_into().ok()?).checked_sub(clock::wall())
}
