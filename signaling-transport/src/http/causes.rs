//! Why a call fails: what the server knows of a client's path, and what the client has found.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_api::{Caller, JsonBody, Problem, bearer, no_store};
use serde::Deserialize;
use signaling_core::message::Cause;
use signaling_core::{Code, Refusal, Seat, SessionClaims};

use super::media::{ask, media_of};
use crate::service::Signaling;

/// More than a report has.
const REPORT_BYTES: usize = 1_024;

/// `GET /api/v1/media-path`: what the media server has received of the session's peer.
pub(super) async fn media_path(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seat = Seat::from(&claims(&signaling, &headers)?);
    let media = media_of(&signaling)?;
    Ok(no_store(Json(ask(|reply| media.reach(seat.room, seat.peer, reply)).await?)))
}

/// The body of a report.
#[derive(Deserialize)]
struct Report {
    cause: Cause,
}

/// `POST /api/v1/causes`: counts what a client has found.
pub(super) async fn report(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    claims(&signaling, &headers)?;
    signaling.pass_gate(&caller)?;
    let body = body.read(REPORT_BYTES).await?;
    let Report { cause } = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?;
    signaling.causes().count(cause);
    Ok(StatusCode::NO_CONTENT)
}

fn claims(signaling: &Signaling, headers: &HeaderMap) -> Result<SessionClaims, Refusal> {
    let secret = bearer(headers).and_then(|secret| signaling.open_secret(secret));
    secret.ok_or_else(|| Refusal::new(Code::Unauthorized, "a session's secret is needed as bearer"))
}
