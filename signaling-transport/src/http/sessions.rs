//! `/api/v1/sessions`: the requests of event stream clients.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_api::{Caller, JsonBody, Problem, bearer, no_store};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signaling_core::message::Leave;
use signaling_core::{ClientMessage, Code, Envelope, Frame, Refusal, Seat, Unreadable};

use super::credentials::{COOKIE_NAME, session_claims};
use crate::service::Signaling;

/// The most messages in one POST.
const MESSAGES: usize = 256;

/// `POST /api/v1/sessions`: joins or resumes, and answers with the welcome. The client then opens the event stream.
pub(super) async fn open(
    State(signaling): State<Signaling>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, Problem> {
    /// The parameters beside the message.
    #[derive(Deserialize)]
    struct Asked {
        #[serde(default)]
        ticket: bool,
    }
    let body = body.read(signaling.limits().message_bytes).await?;
    let Envelope { message, .. } =
        signaling.codec().decode(&body).map_err(|unreadable| unreadable.refusal)?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?;
    let (seat, welcome) = match message {
        ClientMessage::Join(join) => {
            let arrived = clock::now();
            let (join, grant) = signaling.admit(&caller, *join).await?;
            let has_password = join.password.is_some();
            let joining = signaling.hub().join_detached(join, grant);
            let (seat, welcome) = signaling.guessing(&caller, has_password, joining).await?;
            signaling.joined(&seat, arrived);
            (seat, welcome)
        }
        ClientMessage::Resume(resume) => {
            signaling.pass_gate(&caller)?;
            let claims = signaling.claims(&resume)?;
            signaling.hub().resume_detached(claims, resume.last_id).await?
        }
        _ => return Err(Refusal::bad_request("the body is a `join` or a `resume`").into()),
    };
    Ok(welcomed(&signaling, &seat, &welcome, caller.secure, asked.ticket))
}

/// The welcome as a response, with the session's location and cookie, and on request with a ticket for its stream.
fn welcomed(signaling: &Signaling, seat: &Seat, welcome: &Frame, secure: bool, ticket: bool) -> Response {
    /// The field of the welcome that the cookie repeats.
    #[derive(Deserialize)]
    struct Secret {
        secret: String,
    }
    let place = format!("/api/v1/sessions/{}", seat.session);
    let secret = serde_json::from_slice::<Secret>(&welcome.json).ok().map(|Secret { secret }| secret);
    let claims = secret.as_deref().filter(|_| ticket).and_then(|secret| signaling.open_secret(secret));
    let body = match claims.map(|claims| signaling.ticket(claims)) {
        Some(ticket) => with_ticket(&welcome.json, &ticket),
        None => welcome.json.clone(),
    };
    let mut response = no_store((StatusCode::CREATED, body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(secret) = secret {
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE_NAME}={secret}; Path={place}; HttpOnly; SameSite=Strict{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.insert(SET_COOKIE, cookie);
        }
    }
    if let Ok(place) = HeaderValue::from_str(&place) {
        headers.insert(LOCATION, place);
    }
    response
}

/// Adds the ticket to the welcome. A ticket has no characters that JSON escapes.
fn with_ticket(welcome: &[u8], ticket: &str) -> Bytes {
    let fields = welcome.strip_suffix(b"}").unwrap_or(welcome);
    [fields, format!(",\"ticket\":\"{ticket}\"}}").as_bytes()].concat().into()
}

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
}

/// `POST /api/v1/sessions/{session}/messages`: one message or an array of them. Readable messages are accepted;
/// refusals come back as `error` events.
pub(super) async fn post(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    Path(session): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claims = session_claims(&signaling, &headers, &session)?;
    let body = body.read(signaling.limits().signal_bytes).await?;
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let texts = if is_array { split(&body)? } else { vec![&body[..]] };
    let messages: Vec<_> = texts.into_iter().map(|text| signaling.codec().decode(text)).collect();
    let accepted = messages.iter().filter(|message| message.is_ok()).count();
    // If no message can be read, the request itself is at fault.
    let unreadable = match messages.first() {
        Some(Err(Unreadable { refusal, .. })) if accepted == 0 => Some(refusal.clone()),
        _ => None,
    };
    if !signaling.hub().post(Seat::from(&claims), messages).await? {
        return Err(Refusal::new(Code::SessionUnknown, "the session is over").into());
    }
    match unreadable {
        Some(refusal) => Err(refusal.into()),
        None => Ok((StatusCode::ACCEPTED, Json(Accepted { accepted })).into_response()),
    }
}

/// The text of each message in an array.
fn split(body: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let texts: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?;
    if texts.len() > MESSAGES {
        return Err(Refusal::new(Code::TooLarge, format!("a request carries at most {MESSAGES} messages")));
    }
    Ok(texts.into_iter().map(|text| text.get().as_bytes()).collect())
}

/// `DELETE /api/v1/sessions/{session}`: leaves for good.
pub(super) async fn leave(
    State(signaling): State<Signaling>,
    headers: HeaderMap,
    Path(session): Path<String>,
) -> Result<Response, Problem> {
    let claims = session_claims(&signaling, &headers, &session)?;
    let leave = Ok(Envelope { seq: None, message: ClientMessage::Leave(Leave::default()) });
    if !signaling.hub().post(Seat::from(&claims), vec![leave]).await? {
        return Err(Refusal::new(Code::SessionUnknown, "the session is over").into());
    }
    let forget =
        format!("{COOKIE_NAME}=; Path=/api/v1/sessions/{session}; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, forget)]).into_response())
}

/// `GET /api/v1/ice-servers`: STUN and TURN servers with fresh credentials.
pub(super) async fn ice_servers(
    State(signaling): State<Signaling>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unauthorized = || Refusal::new(Code::Unauthorized, "a session's secret is needed as bearer");
    let claims =
        bearer(&headers).and_then(|secret| signaling.open_secret(secret)).ok_or_else(unauthorized)?;
    let servers = signaling.hub().ice_servers(Seat::from(&claims), caller.reached_at()).await?;
    let servers = servers.ok_or_else(|| Refusal::new(Code::Forbidden, "you are not in the room"))?;
    Ok(no_store(Json(servers)))
}
