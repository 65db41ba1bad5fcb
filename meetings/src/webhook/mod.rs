//! What receivers of webhooks are told.

mod address;
mod dispatch;
mod sender;
mod signature;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use signaling_core::{Entropy, Timestamp};

pub(crate) use self::dispatch::dispatch;

use self::address::Target;
use crate::meeting::{Event, Meeting};
use crate::service::Meetings;
use crate::store::{Endpoint, StoreError};

/// How long messages are kept that were dealt with, to be looked at and sent again.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

/// How long the secret of before signs as well.
pub(crate) const OVERLAP: Duration = Duration::from_hours(24);

/// A message on its way into the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) meeting: String,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) at: Timestamp,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: Value,
}

/// The messages about what happened to a meeting, if anybody is to be told.
pub(crate) fn messages(
    meeting: &Meeting,
    events: &[Event],
    at: Timestamp,
    entropy: &mut dyn Entropy,
) -> Vec<Message> {
    let Some(endpoint) = &meeting.webhook else { return Vec::new() };
    events
        .iter()
        .filter_map(|event| {
            let (kind, more) = kind_of(event)?;
            let mut data = json!({
                "meeting": meeting.id,
                "room": meeting.room,
                "code": meeting.code,
                "title": meeting.title,
                "startsAt": meeting.starts_at,
                "endsAt": meeting.ends_at(),
                "state": meeting.state(at),
            });
            if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
                data.extend(more);
            }
            let body = serde_json::to_string(&Body { kind, timestamp: at, data }).unwrap_or_default();
            Some(Message {
                id: random_id("msg_", entropy),
                endpoint: endpoint.clone(),
                meeting: meeting.id.to_string(),
                kind,
                body,
                at,
            })
        })
        .collect()
}

/// What it is called, and what stands in it beside the meeting.
fn kind_of(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Created => ("meeting.created", Value::Null),
        Event::Changed => ("meeting.changed", Value::Null),
        Event::Started => ("meeting.started", Value::Null),
        Event::Ended { reason } => ("meeting.ended", json!({"reason": reason})),
        Event::Cancelled => ("meeting.cancelled", Value::Null),
        Event::PeerJoined(who) => ("peer.joined", json!(who)),
        Event::PeerLeft { who, reason } => {
            let mut left = json!(who);
            if let Some(left) = left.as_object_mut() {
                left.insert("reason".to_owned(), json!(reason));
            }
            ("peer.left", left)
        }
        Event::Emptied => return None,
        Event::RecordingReady { recording } => ("recording.ready", json!({"recording": recording})),
    })
}

/// An id with 96 random bits.
pub(crate) fn random_id(prefix: &str, entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 12];
    entropy.fill(&mut bytes);
    bytes.iter().fold(prefix.to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

impl Meetings {
    /// Sees to it that a meeting's webhooks have an endpoint, with this secret if one is given; the secret that it has.
    pub(crate) async fn point_webhook(
        &self,
        meeting: &mut Meeting,
        secret: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let Some(url) = meeting.webhook_url.clone() else {
            meeting.webhook = None;
            return Ok(None);
        };
        Target::parse(&url, self.inner.private_webhooks)?;
        // Without an owner nobody else's meetings share it.
        let owner = meeting.owner.clone().unwrap_or_else(|| format!("@{}", meeting.id));
        let new = self.with_entropy(|entropy| Endpoint {
            id: random_id("ep_", entropy),
            owner,
            url,
            secret: secret.map_or_else(|| new_secret(entropy), str::to_owned),
            previous: None,
            disabled_at: None,
        });
        let now = self.now();
        let store = &self.inner.store;
        let endpoint = store.patiently(store.endpoint_for(&new, now)).await?;
        // Other meetings had the endpoint before, with another secret: both are good for a while, as in every change.
        if let Some(secret) = secret.filter(|secret| **secret != endpoint.secret) {
            store.patiently(store.rotate_secret(&endpoint.id, secret, now + OVERLAP)).await?;
        }
        meeting.webhook = Some(endpoint.id);
        Ok(Some(secret.map_or(endpoint.secret, str::to_owned)))
    }
}

/// A secret of 32 bytes, as Standard Webhooks writes it.
pub(crate) fn new_secret(entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("whsec_{}", STANDARD.encode(bytes))
}
