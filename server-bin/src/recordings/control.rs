//! `POST /api/v1/recordings` and `POST /api/v1/recordings/stop`: the beginning and the end of a room's recording.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use signaling_core::{Code, Refusal, RoomId, json_object};
use signaling_transport::net::ClientAddr;
use signaling_transport::{JsonBody, Problem};

use super::access::{self, Reach};
use super::api::{Api, bearer};

/// Bytes of a body that names a room.
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

/// Records everybody in a room from now on. What became of it the room hears, and the list shows.
pub(super) async fn start(
    State(api): State<Api>,
    client: Option<Extension<ClientAddr>>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    record(&api, client, &headers, body, true).await
}

/// Records a room no more.
pub(super) async fn stop(
    State(api): State<Api>,
    client: Option<Extension<ClientAddr>>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    record(&api, client, &headers, body, false).await
}

async fn record(
    api: &Api,
    client: Option<Extension<ClientAddr>>,
    headers: &HeaderMap,
    body: JsonBody,
    on: bool,
) -> Result<Response, Problem> {
    let reach = access::control(api.key(), api.keys(), bearer(headers)?).await?;
    let which: Which = json_object(&body.read(BODY).await?)?;
    let room = api.room(client.as_ref().map(|Extension(client)| client), &which.room).await?;
    let life = match reach {
        Reach::All => None,
        Reach::Room(own, life) if own == room => Some(life),
        Reach::Room(..) => {
            return Err(Refusal::new(Code::Forbidden, "the token is one of another room").into());
        }
    };
    api.hub().record(room.clone(), life, on).await?;
    let state = if on { "starting" } else { "stopping" };
    let accepted = Json(Accepted { room, state });
    Ok((StatusCode::ACCEPTED, [(CACHE_CONTROL, "no-store")], accepted).into_response())
}
