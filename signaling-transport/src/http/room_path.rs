//! The room that the path of a request names.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http_api::{Caller, Problem};
use signaling_core::{Code, MalformedRoomName, Refusal, RoomId};

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
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let text = path.ok().and_then(|Path(mut path)| path.remove("room"));
        let text = text.ok_or_else(|| Refusal::bad_request(MalformedRoomName.to_string()))?;
        let id = room_id(&text)?;
        Ok(Self { text, id })
    }
}

/// The peer that a path names below its room.
pub(super) struct PeerPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PeerPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let peer = path.ok().and_then(|Path(mut path)| path.remove("peer"));
        Ok(Self(peer.ok_or_else(|| Refusal::new(Code::PeerUnknown, "there is no such peer"))?))
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
