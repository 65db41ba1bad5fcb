//! Messages to webhook receivers.

mod address;
mod dispatch;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
mod samples;
mod sender;
mod server;
mod signature;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use signaling_core::{Entropy, Timestamp};

pub(crate) use self::address::Target;
pub(crate) use self::dispatch::Messenger;
pub use self::server::ServerWebhook;
pub(crate) use self::server::{OWNER, recording_message, room_message};

use crate::keys::random_id;
use crate::meeting::{Event, Meeting};
use crate::store::Message;

/// How long completed messages are kept, for inspection and replay.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

/// How long the previous secret is also used for signing.
pub(crate) const OVERLAP: Duration = Duration::from_hours(24);

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: Value,
}

/// The messages about events of a meeting, to its own receiver and to that of the server, as far as they exist.
pub(crate) fn messages(
    meeting: &Meeting,
    events: &[Event],
    at: Timestamp,
    server: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Vec<Message> {
    let own = meeting.webhook.as_deref().map(|endpoint| (endpoint, meeting.id.to_string()));
    let server = server.map(|endpoint| (endpoint, server::order(meeting.id.as_str())));
    let receivers: Vec<_> = own.into_iter().chain(server).collect();
    if receivers.is_empty() {
        return Vec::new();
    }
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
            Some((kind, data))
        })
        .flat_map(|(kind, data)| receivers.iter().map(move |receiver| (kind, data.clone(), receiver.clone())))
        .map(|(kind, data, receiver)| message(kind, data, at, receiver, entropy))
        .collect()
}

/// A message to an endpoint. Those with the same text of order are delivered one after the other.
fn message(
    kind: &'static str,
    data: Value,
    at: Timestamp,
    (endpoint, order): (&str, String),
    entropy: &mut dyn Entropy,
) -> Message {
    let body = serde_json::to_string(&Body { kind, timestamp: at, data }).unwrap_or_default();
    Message { id: random_id("msg_", entropy), endpoint: endpoint.to_owned(), meeting: order, kind, body, at }
}

/// The event's type, and its data beside the meeting.
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

/// Generates a secret of 32 bytes in the format of Standard Webhooks.
pub(crate) fn new_secret(entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("whsec_{}", STANDARD.encode(bytes))
}
