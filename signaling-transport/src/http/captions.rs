//! What programs say in a room without being in it: captions, and messages to everybody.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use http::request::Parts;
use http_api::{JsonBody, Problem, Scope};
use serde::Deserialize;
use signaling_core::RoomId;
use signaling_core::message::Name;
use signaling_core::room::{Announcement, Caption};

use super::powers::{HostedRoom, reached};
use crate::service::Signaling;

/// The room in the path, to which the caller may send captions.
pub(super) struct CaptionedRoom(RoomId);

impl FromRequestParts<Signaling> for CaptionedRoom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, signaling: &Signaling) -> Result<Self, Problem> {
        reached(parts, signaling, Scope::CaptionsWrite).await.map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    source: String,
    text: Arc<str>,
    #[serde(rename = "final")]
    is_final: bool,
}

/// `POST /api/v1/rooms/{room}/captions`: a line of captions, shown to everybody and kept beside a recording.
pub(super) async fn push(
    State(signaling): State<Signaling>,
    CaptionedRoom(room): CaptionedRoom,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    let (Line { source, text, is_final }, _) = body.object(signaling.limits().message_bytes).await?;
    let caption = Caption { source: Name::parse(&source)?, text, is_final };
    signaling.hub().caption(room, caption).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    name: String,
    text: Arc<str>,
}

/// `POST /api/v1/rooms/{room}/messages`: a chat message to everybody.
pub(super) async fn announce(
    State(signaling): State<Signaling>,
    HostedRoom(room): HostedRoom,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    let (Message { name, text }, _) = body.object(signaling.limits().message_bytes).await?;
    signaling.hub().announce(room, Announcement { name: Name::parse(&name)?, text }).await?;
    Ok(StatusCode::NO_CONTENT)
}
