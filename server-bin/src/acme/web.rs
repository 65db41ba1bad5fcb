//! The listener of HTTP-01 (RFC 8555 section 8.3): it answers challenges, and sends everybody else to the page.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{StatusCode, Uri};
use signaling_core::Watch;
use signaling_transport::net::{Server, ServerConfig};
use tokio_util::sync::CancellationToken;

/// The answers to the challenges of the present order, by their tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Mutex<HashMap<String, String>>>);

/// One answer, given until this is dropped.
pub(super) struct Answer {
    answers: Answers,
    token: String,
}

impl Answers {
    pub(super) fn set(&self, token: String, answer: &str) -> Answer {
        self.lock().insert(token.clone(), answer.to_owned());
        Answer { answers: self.clone(), token }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.answers.lock().remove(&self.token);
    }
}

#[derive(Clone)]
struct Site {
    answers: Answers,
    /// The page's URL without a slash at its end.
    page: String,
}

/// Serves the answers on `address` until `ending`.
pub(crate) fn listen(
    address: SocketAddr,
    page: String,
    ending: CancellationToken,
    watch: &Watch,
) -> anyhow::Result<Answers> {
    let server = Server::bind(address, ServerConfig::default()).with_context(|| {
        format!("cannot listen on {address} for the directory's checks: look at --acme-http-listen")
    })?;
    tracing::info!(addr = %server.local_addr(), "http for the directory's checks ready");
    let answers = Answers::default();
    let site = Site { answers: answers.clone(), page };
    let router = Router::new()
        .route("/.well-known/acme-challenge/{token}", get(answer))
        .fallback(to_page)
        .with_state(site);
    tokio::spawn(watch.engine("acme-http").run(server.serve(router, ending, Duration::ZERO)));
    Ok(answers)
}

async fn answer(State(site): State<Site>, Path(token): Path<String>) -> Response {
    let answer = site.answers.lock().get(&token).cloned();
    answer.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn to_page(State(site): State<Site>, uri: Uri) -> Redirect {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Redirect::temporary(&format!("{}{path}", site.page))
}
