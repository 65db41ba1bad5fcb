//! The HTTP interface under `/api/v1/meetings` and `/api/v1/invitations`.

mod deliveries;
mod invitations;
mod meetings;
mod openapi;
mod origin;
mod request;
mod view;
mod webhook_url;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_api::{Problem, method_not_allowed};
use signaling_core::{Code, Refusal};

use crate::service::Meetings;
use crate::store::StoreError;

/// The routes. The accept loop must add an [`http_api::ClientAddr`] to each request's extensions and check `Origin`.
/// The descriptions in `others` of routes beside these, in `OpenAPI` form (`paths` and `components.schemas`), are
/// included in the description.
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
        .layer(DefaultBodyLimit::max(request::BODY_BYTES))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(meetings)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale => {
                let why = "the meeting has been changed since the version that `If-Match` names";
                let stale = Refusal::new(Code::InvalidState, why);
                Self::with_status(StatusCode::PRECONDITION_FAILED, stale)
            }
            error => Refusal::from(error).into(),
        }
    }
}
