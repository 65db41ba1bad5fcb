//! The room that the path of a request names.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http_api::{Caller, Problem};
use signaling_core::{MalformedRoomName, Refusal, RoomId};

use crate::service::Signaling;

/// The id of the room with this name or id.
pub(super) fn room_id(text: &str) -> Result<RoomId, Refusal> {
    RoomId::of(text).map_err(|malformed| Refusal::bad_request(malformed.to_string()))
}

/// The room that a path names by a code, a name or an id.
pub(super) struct RoomPath {
    text: String,
    /// By name or id.
    pub(super) id: RoomId,
}

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Refusal::bad_request(MalformedRoomName.to_string()))?;
        let id = room_id(&text)?;
        Ok(Self { text, id })
    }
}

impl RoomPath {
    /// The room itself.
    pub(super) async fn room(&self, signaling: &Signaling, caller: &Caller) -> Result<RoomId, Refusal> {
        signaling.room(caller.ip, &self.text).await
    }

    /// How a link names the room. A code is not passed on, since it permits more than a token does.
    pub(super) fn in_link(&self, room: &RoomId) -> String {
        let text = if self.id == *room { self.text.trim() } else { room.as_str() };
        text.bytes().fold(String::new(), |link, byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                link + char::from(byte).encode_utf8(&mut [0; 1])
            }
            _ => link + &format!("%{byte:02X}"),
        })
    }
}
