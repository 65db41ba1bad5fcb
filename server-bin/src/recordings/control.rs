//! `POST /api/v1/recordings` and `POST /api/v1/recordings/stop`: start and stop the recording of a room.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_api::{Caller, JsonBody, Problem, no_store};
use serde::{Deserialize, Serialize};
use signaling_core::{Code, Refusal, RoomId};

use super::access::{self, Reach};
use super::api::Api;

/// Maximum size of a body that names a room, in bytes.
const BODY: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    room: String,
}

#[derive(Serialize)]
struct Accepted {
    room: RoomId,
    state: &'static str,
}

/// Starts recording everybody in a room. The result is reported to the room, and visible in the list.
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    record(&api, &caller, &headers, body, true).await
}

/// Stops recording a room.
pub(super) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    record(&api, &caller, &headers, body, false).await
}

async fn record(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    body: JsonBody,
    on: bool,
) -> Result<Response, Problem> {
    let reach = access::control(api.key(), api.keys(), headers).await?;
    let (which, _): (Which, _) = body.object(BODY).await?;
    let room = api.room(caller, &which.room).await?;
    let life = match reach {
        Reach::All => None,
        Reach::Room(own, life) if own == room => Some(life),
        Reach::Room(..) => {
            return Err(Refusal::new(Code::Forbidden, "the token is one of another room").into());
        }
    };
    api.hub().record(room.clone(), life, on).await?;
    let state = if on { "starting" } else { "stopping" };
    Ok(no_store((StatusCode::ACCEPTED, Json(Accepted { room, state }))))
}
