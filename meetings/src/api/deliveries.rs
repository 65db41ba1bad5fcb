//! What a meeting's webhooks were told, and what they are signed with.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use signaling_core::{Code, Refusal, Timestamp};
use utoipa::ToSchema;

use super::access::{Principal, Want};
use super::problem::Problem;
use super::request::Client;
use crate::service::Meetings;
use crate::store::Delivery;
use crate::webhook::{OVERLAP, new_secret};

/// Messages that are listed.
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
pub(super) async fn list(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Read).await?;
    let meeting = principal.meeting(&meetings, &id).await?;
    let store = &meetings.inner.store;
    let listed = store.patiently(store.deliveries(meeting.id.as_str(), LISTED)).await?;
    let view = DeliveriesView { deliveries: listed.into_iter().map(DeliveryView::from).collect() };
    Ok(([(CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// `POST /api/v1/meetings/{id}/deliveries/{delivery}/replay`
pub(super) async fn replay(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    let meeting = principal.meeting(&meetings, &id).await?;
    let store = &meetings.inner.store;
    // What is no id of ours is not looked for: a database takes offence at some texts.
    let is_id = delivery.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_there =
        is_id && store.patiently(store.replay(meeting.id.as_str(), &delivery, meetings.now())).await?;
    if !is_there {
        return Err(Refusal::new(Code::NotFound, "there is no such delivery").into());
    }
    meetings.inner.outbox.notify_one();
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
pub(super) async fn rotate(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Write).await?;
    let meeting = principal.meeting(&meetings, &id).await?;
    let none = || Refusal::new(Code::InvalidState, "the meeting has no webhook");
    let endpoint = meeting.webhook.ok_or_else(none)?;
    let webhook_secret = meetings.with_entropy(new_secret);
    let previous_until = meetings.now() + OVERLAP;
    let store = &meetings.inner.store;
    store.patiently(store.rotate_secret(&endpoint, &webhook_secret, previous_until)).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(SecretView { webhook_secret, previous_until })).into_response())
}
