//! The HTTP interface under `/api/v1/meetings` and `/api/v1/invitations`.

mod access;
mod deliveries;
mod invitations;
mod meetings;
mod openapi;
mod problem;
mod request;
mod view;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub(crate) use access::Principal;
pub use request::Client;

use crate::service::Meetings;
use problem::Problem;

/// The routes. Whoever accepts connections puts a [`Client`] into each request's extensions, and looks at `Origin`. What
/// `others` say of the routes beside these, as `OpenAPI` has it (`paths` and `components.schemas`), stands in the description
/// too.
pub fn router(meetings: Meetings, others: &[serde_json::Value]) -> Router {
    let description: Bytes = openapi::document(others).to_string().into();
    let description = get(async move || {
        ([(CACHE_CONTROL, "no-cache"), (CONTENT_TYPE, "application/json")], description.clone())
    });
    Router::new()
        .route("/api/v1/meetings", get(meetings::list).post(meetings::create))
        .route("/api/v1/meetings/{id}", get(meetings::show).patch(meetings::change).delete(meetings::cancel))
        .route("/api/v1/meetings/{id}/end", post(meetings::end))
        .route("/api/v1/meetings/{id}/calendar.ics", get(invitations::calendar))
        .route("/api/v1/meetings/{id}/deliveries", get(deliveries::list))
        .route("/api/v1/meetings/{id}/deliveries/{delivery}/replay", post(deliveries::replay))
        .route("/api/v1/meetings/{id}/webhook-secret", post(deliveries::rotate))
        .route("/api/v1/openapi.json", description)
        .route("/api/v1/invitations/{id}", get(invitations::show))
        .route("/api/v1/invitations/{id}/qr.svg", get(invitations::qr))
        .layer(DefaultBodyLimit::max(usize::try_from(request::BODY_BYTES).unwrap_or(usize::MAX)))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(meetings)
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes other methods; see `Allow`")
}
