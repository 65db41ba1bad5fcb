//! Connections of an address that is over its limit.
//!
//! Some of them are answered with 429, whatever they ask for, so that a client knows why and when to come again. This costs
//! the server a TLS handshake, so it answers only as many as [`ANSWERED`] allows, and gives each little time. All others are
//! closed at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::CONNECTION;
use http_api::Problem;
use rate_limit::{Bucket, Rate};
use signaling_core::Refusal;

use super::PlainHttp;
use super::connection::ServerState;

/// The connections that are answered, of all addresses together.
const ANSWERED: Rate = Rate::per_second(20, 100);
/// The time for the handshake and the request of one.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The wait that a client is told.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The bytes of a request's body that are read: closing a connection before would destroy the answer on its way.
const BODY_BYTES: usize = 64 * 1_024;

/// Decides which refused connections are answered.
pub(super) struct Refused {
    server: Arc<ServerState>,
    bucket: Bucket<Instant>,
}

impl Refused {
    /// Answers in place of a server.
    pub(super) fn new(now: Instant, server: &ServerState) -> Self {
        let server = ServerState {
            router: Router::new().fallback(too_many),
            plain_http: PlainHttp::Serve,
            media: None,
            relay: None,
            ..server.clone()
        };
        Self { server: Arc::new(server), bucket: Bucket::full(now) }
    }

    /// The server that answers the next connection; `None` if the connection is to be closed.
    pub(super) fn next(&mut self, now: Instant) -> Option<Arc<ServerState>> {
        self.bucket.take(now, ANSWERED, 1).is_ok().then(|| Arc::clone(&self.server))
    }
}

async fn too_many(body: Body) -> Response {
    drop(to_bytes(body, BODY_BYTES).await);
    let refusal = Refusal::rate_limited(RETRY_AFTER, "too many connections of this address");
    let mut response = Problem::from(refusal).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "where the time begins does not matter")]
mod tests {
    use super::super::{Mount, TrustedProxies};
    use super::*;

    #[test]
    fn a_flood_is_closed_without_an_answer() {
        let now = Instant::now();
        let server = ServerState {
            router: Router::new(),
            certificates: None,
            trusted_proxies: TrustedProxies::default(),
            plain_http: PlainHttp::RedirectOthers,
            mount: Mount::default(),
            header_timeout: PATIENCE,
            body_timeout: PATIENCE,
            media: None,
            relay: None,
            ending: tokio_util::sync::CancellationToken::new(),
        };
        let mut refused = Refused::new(now, &server);
        assert_eq!((0..1_000).filter(|_| refused.next(now).is_some()).count(), 100);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| refused.next(later).is_some()).count(), 20);
    }
}
