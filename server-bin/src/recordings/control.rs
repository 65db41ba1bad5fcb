//! `POST /api/v1/recordings` and `POST /api/v1/recordings/stop`: the beginning and the end of a room's recording.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use signaling_core::{Code, Refusal, RoomId};
use signaling_transport::{JsonBody, Problem};

use super::access::{self, Reach};
use super::api::{Api, bearer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(deserialize_with = "RoomId::deserialize_of")]
    room: RoomId,
}

#[derive(Serialize)]
struct Accepted {
    room: RoomId,
    state: &'static str,
}

/// Records everybody in a room from now on. What became of it the room hears, and the list shows.
pub(super) async fn start(
    State(api): State<Api>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    record(&api, &headers, &body, true).await
}

/// Records a room no more.
pub(super) async fn stop(
    State(api): State<Api>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    record(&api, &headers, &body, false).await
}

async fn record(api: &Api, headers: &HeaderMap, body: &[u8], on: bool) -> Result<Response, Problem> {
    let reach = access::control(api.key(), api.keys(), bearer(headers)?).await?;
    let which: Which = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("expected {{\"room\": …}}: {error}")))?;
    let life = match reach {
        Reach::All => None,
        Reach::Room(own, life) if own == which.room => Some(life),
        Reach::Room(..) => {
            return Err(Refusal::new(Code::Forbidden, "the token is one of another room").into());
        }
    };
    api.hub().record(which.room.clone(), life, on).await?;
    let state = if on { "starting" } else { "stopping" };
    let accepted = Json(Accepted { room: which.room, state });
    Ok((StatusCode::ACCEPTED, [(CACHE_CONTROL, "no-store")], accepted).into_response())
}
