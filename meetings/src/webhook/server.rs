//! The receiver of webhooks for the whole server: about every meeting, and about rooms without one.

use std::fmt;

use serde_json::{Value, json};
use signaling_core::meeting::{Happening, RoomHappening};
use signaling_core::{Entropy, Refusal, RoomId, Timestamp};

use super::address::Target;
use super::message;
use crate::meeting::webhook_secret;
use crate::store::Message;

/// The owner of its endpoint, which no key's customer can be called.
pub(crate) const OWNER: &str = "@";

/// A receiver of the events of all rooms and meetings.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerWebhook {
    pub(crate) url: String,
    pub(crate) secret: String,
}

impl fmt::Debug for ServerWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerWebhook")
    }
}

impl ServerWebhook {
    /// A receiver at a URL, which may be a non-public address. The secret is `whsec_` and the base64 of 24 to 64 bytes.
    pub fn new(url: String, secret: String) -> Result<Self, Refusal> {
        Target::parse(&url, true)?;
        Ok(Self { url, secret: webhook_secret(secret)? })
    }
}

/// What orders the messages to this receiver. Those to a meeting's own receiver do not wait for them.
pub(super) fn order(of: &str) -> String {
    format!("{OWNER} {of}")
}

/// The message about an event in a room without a meeting.
pub(crate) fn room_message(
    happening: &Happening,
    endpoint: &str,
    entropy: &mut dyn Entropy,
) -> Option<Message> {
    let (kind, more) = match &happening.what {
        RoomHappening::Joined(who) => ("peer.joined", json!(who)),
        RoomHappening::Left { who, reason } => ("peer.left", with(json!(who), "reason", json!(reason))),
        RoomHappening::Ended { reason, .. } => ("room.ended", json!({"reason": reason})),
        // `recording_message` reports files that are complete.
        RoomHappening::Recording { .. } => return None,
    };
    Some(about(&happening.room, kind, more, happening.at, endpoint, entropy))
}

/// The message about a finished recording of a room without a meeting.
pub(crate) fn recording_message(
    room: &RoomId,
    recording: &str,
    at: Timestamp,
    endpoint: &str,
    entropy: &mut dyn Entropy,
) -> Message {
    about(room, "recording.ready", json!({"recording": recording}), at, endpoint, entropy)
}

fn about(
    room: &RoomId,
    kind: &'static str,
    data: Value,
    at: Timestamp,
    endpoint: &str,
    entropy: &mut dyn Entropy,
) -> Message {
    message(kind, with(data, "room", json!(room)), at, (endpoint, order(room.as_str())), entropy)
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
    object
}
