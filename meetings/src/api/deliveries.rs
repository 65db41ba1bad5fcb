//! A meeting's webhook deliveries, and their signing secret.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use http_api::{Problem, no_store};
use serde::{Deserialize, Serialize};
use signaling_core::{Code, Refusal, Timestamp};
use utoipa::ToSchema;

use super::request::MeetingRequest;
use crate::store::Delivery;
use crate::webhook::{OVERLAP, new_secret};

/// Maximum number of messages listed.
const LISTED: u32 = 100;

/// One message to a receiver of webhooks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    /// Its id: `webhook-id` of every attempt.
    delivery: String,
    #[serde(rename = "type")]
    kind: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    attempts: u32,
    /// When it is tried next, if it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
    last_status: Option<u16>,
    last_error: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            delivery: delivery.id,
            kind: delivery.kind,
            created_at: delivery.created_at,
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_at,
            delivered_at: delivery.delivered_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
        }
    }
}

/// Messages, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub(super) struct DeliveriesView {
    deliveries: Vec<DeliveryView>,
}

/// `GET /api/v1/meetings/{id}/deliveries`
pub(super) async fn list(MeetingRequest { request, meeting }: MeetingRequest) -> Result<Response, Problem> {
    let listed = request.meetings.inner.store.deliveries(meeting.id.as_str(), LISTED).await?;
    let deliveries = listed.into_iter().map(DeliveryView::from).collect();
    Ok(no_store(Json(DeliveriesView { deliveries })))
}

#[derive(Deserialize)]
pub(super) struct DeliveryPath {
    delivery: String,
}

/// `POST /api/v1/meetings/{id}/deliveries/{delivery}/replay`
pub(super) async fn replay(
    MeetingRequest { request, meeting }: MeetingRequest,
    Path(DeliveryPath { delivery }): Path<DeliveryPath>,
) -> Result<StatusCode, Problem> {
    let meetings = &request.meetings;
    // Only well-formed ids are looked up: databases reject some texts.
    let is_id = delivery.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_there =
        is_id && meetings.inner.store.replay(meeting.id.as_str(), &delivery, meetings.now()).await?;
    if !is_there {
        return Err(Refusal::new(Code::NotFound, "there is no such delivery").into());
    }
    meetings.wake_outboxes();
    Ok(StatusCode::ACCEPTED)
}

/// A new secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookSecret)]
pub(super) struct SecretView {
    webhook_secret: String,
    /// Until then every message is signed with the secret of before as well.
    #[schema(value_type = String, format = DateTime)]
    previous_until: Timestamp,
}

/// `POST /api/v1/meetings/{id}/webhook-secret`
pub(super) async fn rotate(MeetingRequest { request, meeting }: MeetingRequest) -> Result<Response, Problem> {
    let meetings = &request.meetings;
    let none = || Refusal::new(Code::InvalidState, "the meeting has no webhook");
    let endpoint = meeting.webhook.ok_or_else(none)?;
    let webhook_secret = meetings.with_entropy(new_secret);
    let previous_until = meetings.now() + OVERLAP;
    meetings.inner.store.rotate_secret(&endpoint, &webhook_secret, previous_until).await?;
    Ok(no_store(Json(SecretView { webhook_secret, previous_until })))
}
