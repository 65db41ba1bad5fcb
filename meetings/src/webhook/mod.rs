//! Messages to webhook receivers.

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

pub(crate) use self::address::Target;
pub(crate) use self::dispatch::Messenger;

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

/// The messages about an event of a meeting, if it has a receiver.
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
