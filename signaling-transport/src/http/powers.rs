//! The powers of a host for other programs, which are not in the room.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use http_api::{Caller, JsonBody, Problem, Scope, bearer};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use signaling_core::RoomId;
use signaling_core::message::{Host, HostAction};

use super::room_path::{PeerPath, RoomPath};
use super::rooms::{check_power, described, no_bearer, no_room};
use crate::service::Signaling;

/// The room in the path, in which the caller has a host's power.
pub(super) struct HostedRoom(pub(super) RoomId);

impl FromRequestParts<Signaling> for HostedRoom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, signaling: &Signaling) -> Result<Self, Problem> {
        reached(parts, signaling, Scope::MeetingsWrite).await.map(Self)
    }
}

/// The room in the path, in which the caller is host or has a key with the scope `own`.
pub(super) async fn reached(parts: &mut Parts, signaling: &Signaling, own: Scope) -> Result<RoomId, Problem> {
    let Ok(caller) = Caller::from_request_parts(parts, signaling).await;
    let path = RoomPath::from_request_parts(parts, signaling).await?;
    // A caller without credentials must not learn about codes.
    bearer(&parts.headers).ok_or_else(no_bearer)?;
    let room = path.room(signaling, &caller).await?;
    check_power(signaling, &parts.headers, &room, own).await?;
    Ok(room)
}

fn about(action: HostAction, peer: PeerPath) -> Host {
    Host { action, peer: Some(peer.0), value: None }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    action: HostAction,
    #[serde(default)]
    peer: Option<String>,
    #[serde(default)]
    value: Option<Value>,
}

/// `POST /api/v1/rooms/{room}/actions`: any action of the message `host`.
pub(super) async fn act(
    State(signaling): State<Signaling>,
    HostedRoom(room): HostedRoom,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    let (Wanted { action, peer, value }, _) = body.object(signaling.limits().message_bytes).await?;
    signaling.hub().host(room, Host { action, peer, value }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What changes of a room. A field that is missing stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    locked: Option<bool>,
    #[serde(default)]
    lobby: Option<bool>,
    /// `null` takes the password away.
    #[serde(default, deserialize_with = "given")]
    password: Option<Value>,
}

/// A field that is there, even if it is null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Changes {
    /// The password is first: it alone can be refused, and then nothing has changed.
    fn actions(self) -> impl Iterator<Item = Host> {
        let host = |action, value| Host { action, peer: None, value };
        let password = self.password.map(|password| host(HostAction::SetPassword, Some(password)));
        let locked =
            self.locked.map(|locked| host(if locked { HostAction::Lock } else { HostAction::Unlock }, None));
        let lobby = self.lobby.map(|lobby| host(HostAction::SetLobby, Some(lobby.into())));
        [password, locked, lobby].into_iter().flatten()
    }
}

/// `PATCH /api/v1/rooms/{room}`: changes a room, and answers with it.
pub(super) async fn change(
    State(signaling): State<Signaling>,
    HostedRoom(room): HostedRoom,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (changes, _): (Changes, _) = body.object(signaling.limits().message_bytes).await?;
    for action in changes.actions() {
        signaling.hub().host(room.clone(), action).await?;
    }
    let summary = signaling.hub().summary(room).await?;
    Ok(described(summary.ok_or_else(no_room)?))
}

/// `DELETE /api/v1/rooms/{room}/peers/{peer}`: removes a peer, and bars its session as `kick` does.
pub(super) async fn remove(
    State(signaling): State<Signaling>,
    HostedRoom(room): HostedRoom,
    peer: PeerPath,
) -> Result<StatusCode, Problem> {
    signaling.hub().host(room, about(HostAction::Kick, peer)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/rooms/{room}/peers/{peer}/mute`: mutes a peer until it unmutes itself.
pub(super) async fn mute(
    State(signaling): State<Signaling>,
    HostedRoom(room): HostedRoom,
    peer: PeerPath,
) -> Result<StatusCode, Problem> {
    signaling.hub().host(room, about(HostAction::Mute, peer)).await?;
    Ok(StatusCode::NO_CONTENT)
}
