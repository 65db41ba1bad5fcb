//! `/livez`, `/readyz` and `/version`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_api::{Problem, no_store};
use serde::Serialize;
use signaling_core::{Code, Refusal};

use crate::health::Health;

/// The state behind the three endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) health: Arc<Health>,
    pub(crate) about: About,
}

/// The body of `/version`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// The features of this server, in kebab-case.
    pub(crate) features: Vec<String>,
}

/// Routes for orchestrators, load balancers and people.
pub(crate) fn router(status: Status) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .with_state(status)
}

async fn livez(State(status): State<Status>) -> Response {
    answer(status.health.dead())
}

async fn readyz(State(status): State<Status>) -> Response {
    answer(status.health.unready())
}

fn answer(trouble: Option<String>) -> Response {
    match trouble {
        Some(trouble) => Problem::from(Refusal::new(Code::Overloaded, trouble)).into_response(),
        None => no_store("ok\n"),
    }
}

async fn version(State(status): State<Status>) -> Response {
    no_store(Json(status.about))
}
