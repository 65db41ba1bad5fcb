//! `/api/v1/rooms`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use signaling_core::message::{Topology, TopologyChoice};
use signaling_core::{HostClaims, Refusal, RoomId};

use super::Problem;
use super::credentials::bearer;
use crate::caller::Caller;
use crate::service::Signaling;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    topology: TopologyChoice,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    room: RoomId,
    url: String,
    host_token: String,
}

/// `POST /api/v1/rooms`: a room with a name that nobody guesses.
pub(super) async fn make(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let wanted: Wanted = if body.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?
    };
    signaling.pass_gate(&caller)?;
    signaling.may_make_room(bearer(&headers))?;
    let made = signaling.hub().make_room(wanted.topology).await?;
    let url = signaling.url(&caller, &format!("/r/{}", made.room));
    let location = format!("/api/v1/rooms/{}", made.room);
    let made = Made { room: made.room, url, host_token: made.host_token };
    Ok((StatusCode::CREATED, [(LOCATION, location), (CACHE_CONTROL, "no-store".into())], Json(made))
        .into_response())
}

#[derive(Serialize)]
struct Shown {
    room: RoomId,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    more: Option<More>,
}

#[derive(Serialize)]
struct More {
    topology: Topology,
    epoch: u64,
    locked: bool,
    peers: usize,
    viewers: usize,
}

/// `GET /api/v1/rooms/{room}`: without a right to know more, the same for every name.
pub(super) async fn show(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    Path(room): Path<String>,
) -> Result<Response, Problem> {
    let room: RoomId = room
        .parse()
        .map_err(|_| Refusal::bad_request("a room id has 1 to 64 letters, digits, `_` and `-`"))?;
    let bearer = bearer(&headers);
    let claims = bearer.and_then(|token| HostClaims::open(signaling.key(), token));
    let claims = claims.filter(|claims| claims.room == room);
    let mut more = None;
    if claims.is_some() || bearer.is_some_and(|token| signaling.is_join_token(&room, token)) {
        let summary = signaling.hub().summary(room.clone()).await?;
        // A host token of an earlier room of that name says nothing of this one.
        let is_current = |life| claims.as_ref().is_none_or(|claims| claims.life == life);
        more = summary.filter(|summary| is_current(summary.life)).map(|summary| More {
            topology: summary.room.topology,
            epoch: summary.room.epoch,
            locked: summary.room.locked,
            peers: summary.peers,
            viewers: summary.viewers,
        });
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(Shown { room, more })).into_response())
}
