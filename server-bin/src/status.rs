//! `/livez`, `/readyz` and `/version`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Serialize;
use signaling_core::{Code, Refusal};
use signaling_transport::Problem;
use tokio_util::sync::CancellationToken;

/// What the three tell.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Cancelled when the process is about to end.
    pub(crate) draining: CancellationToken,
    pub(crate) about: About,
}

/// The body of `/version`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// What this server offers, in kebab-case.
    pub(crate) features: Vec<String>,
}

/// Routes for orchestrators, load balancers and people.
pub(crate) fn router(status: Status) -> Router {
    Router::new()
        .route("/livez", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .with_state(status)
}

async fn readyz(State(status): State<Status>) -> Response {
    if status.draining.is_cancelled() {
        Problem::from(Refusal::new(Code::Overloaded, "draining: the server is about to end")).into_response()
    } else {
        plain(StatusCode::OK, "ok\n")
    }
}

async fn version(State(status): State<Status>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(status.about)).into_response()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
